"""Paths in a sweep's file: a relative one lies beside the file, from wherever it is read."""

import copy
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from evnas.errors import SpecError
from evnas.files import placed

ARCH_FILES = (".yaml", ".yml", ".json")
"""How an architecture's file is told from a name of the catalogue."""
RULE = "a relative path lies beside the sweep's file"
"""What is said with a file that is not there."""
_FILE_OR_NAME = ("base", "strategy.base")
_SHARED_PARTS = 2
"""Last parts of a path by which a study knows a file that was moved."""


def beside(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A sweep as plain data with absolute paths, `~` and `${NAME}` replaced.

    Args:
        data: as a file has it, not validated yet.
        folder: that of the file; of what is typed, the working directory.

    Raises:
        SpecError: at the path, for a variable that is not set.
    """
    found = copy.deepcopy(dict(data))
    for holder, key, place in _paths_in(found):
        try:
            holder[key] = str(placed(holder[key], folder))
        except SpecError as e:
            raise SpecError(e.reason, place) from None
    return found


def is_arch_file(name: object) -> bool:
    """Whether a `base` is a path."""
    return isinstance(name, str) and name.endswith(ARCH_FILES)


def paths_as_now(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What a study is of, with its files where they lie now.

    Older studies hold paths as they were typed, and a checkout may have moved: a file is the same
    if its name and its folder's are.
    """
    found = copy.deepcopy(dict(before))
    for holder, here in ((found, now), (found.get("strategy", {}), now.get("strategy", {}))):
        if is_arch_file(holder.get("base")) and isinstance(here.get("base"), Mapping):
            holder["base"] = here["base"]  # older studies do not hold what the file said
    new = {place: holder[key] for holder, key, place in _paths_in(copy.deepcopy(dict(now)))}
    for holder, key, place in _paths_in(found):
        if place in new and _tail(holder[key]) == _tail(new[place])[-len(_tail(holder[key])) :]:
            holder[key] = new[place]
    return found


def _tail(path: str) -> tuple[str, ...]:
    """Its last parts, as far as they name something."""
    parts = [part for part in PurePath(os.path.normpath(path)).parts if part not in ("..", "/")]
    return tuple(parts[-_SHARED_PARTS:])


def _paths_in(data: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """(mapping, key, place in the file) of every path that is text; validation judges the rest."""
    yield from _paths_of(data, "")
    quick = data.get("quick")
    if isinstance(quick, dict):
        for path in list(quick):
            yield from _of_quick(quick, path)


def _paths_of(data: dict[str, Any], at: str) -> Iterator[tuple[dict[str, Any], str, str]]:
    for name in _FILE_OR_NAME:
        holder = data if "." not in name else data.get("strategy")
        if isinstance(holder, dict) and is_arch_file(holder.get("base")):
            yield holder, "base", f"{at}{name}"
    proxy = data.get("proxy")
    if isinstance(proxy, dict):
        yield from _of_folder(proxy.get("data"), f"{at}proxy.data.folder")
    starts = data.get("warm_start")
    for i, start in enumerate(starts if isinstance(starts, list) else ()):
        for key in ("study", "csv"):
            if isinstance(start, dict) and isinstance(start.get(key), str) and start[key]:
                yield start, key, f"{at}warm_start[{i}].{key}"


def _of_folder(data: object, place: str) -> Iterator[tuple[dict[str, Any], str, str]]:
    if isinstance(data, dict) and isinstance(data.get("folder"), str):
        yield data, "folder", place


def _of_quick(quick: dict[str, Any], path: str) -> Iterator[tuple[dict[str, Any], str, str]]:
    """`quick` holds path -> value."""
    value, place = quick[path], f"quick.{path}"
    if (path == "base" and is_arch_file(value)) or (
        path == "proxy.data.folder" and isinstance(value, str)
    ):
        yield quick, path, place
    elif path == "proxy.data":
        yield from _of_folder(value, place)
    elif path == "proxy" and isinstance(value, dict):
        yield from _of_folder(value.get("data"), place)
