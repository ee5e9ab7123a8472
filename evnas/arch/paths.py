"""The path language: `stages[*].mixer.kind`, `stages[1:].dim`, `head.fusion`.

Paths point into the plain form of an ArchSpec (`to_dict`). `assign` changes that form, `diff`
says in paths how two architectures differ.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evnas.arch.mixer_field import unknown_kind
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError, nearest
from evnas.mixers import MIXERS
from evnas.words import counted

Concrete = tuple[str | int, ...]
"""A path without wildcards: ("stages", 1, "dim")."""

_PART = re.compile(r"([A-Za-z_]\w*)((?:\[[^\]]*\])*)")
_INDEX = re.compile(r"\[([^\]]*)\]")
_SLICE = re.compile(r"(-?\d{1,9})?:(-?\d{1,9})?")


def parse(path: str) -> list[str | int | slice]:
    """Names, indices and slices of a path. Raises SpecError when it is not one."""
    parts: list[str | int | slice] = []
    for piece in path.split("."):
        match = _PART.fullmatch(piece)
        if match is None:
            raise SpecError("is not a path such as stages[1].mixer.states or stages[*].dim", path)
        parts.append(match[1])
        parts.extend(_index(text, path) for text in _INDEX.findall(match[2]))
    return parts


def _index(text: str, path: str) -> int | slice:
    if text == "*":
        return slice(None)
    if re.fullmatch(r"-?\d{1,9}", text):
        return int(text)
    if match := _SLICE.fullmatch(text):
        low, high = (int(t) if t else None for t in match.groups())
        return slice(low, high)
    raise SpecError(f"an index must be a number, a slice or *, got [{text}]", path)


def resolve(data: Mapping[str, Any], path: str) -> list[Concrete]:
    """Every place in `data` that a path names, wildcards spread out."""
    places: list[Concrete] = [()]
    for part in parse(path):
        places = [(*place, step) for place in places for step in _steps(data, place, part, path)]
    return places


def _steps(
    data: Mapping[str, Any], place: Concrete, part: str | int | slice, path: str
) -> Sequence[str | int]:
    here = _at(data, place)
    if here is None:
        raise SpecError(f"{spell(place)} is empty here; set the whole of it first", path)
    if isinstance(part, str):
        if not isinstance(here, Mapping) or part not in _known_keys(here):
            known = _known_keys(here) if isinstance(here, Mapping) else []
            raise SpecError(
                f"there is no {part!r} at {spell(place) or 'the top'}{nearest(part, known)}", path
            )
        return [part]
    if not isinstance(here, Sequence) or isinstance(here, str):
        raise SpecError(f"{spell(place)} is not a list", path)
    if isinstance(part, slice):
        return range(len(here))[part]
    if not -len(here) <= part < len(here):
        entries = counted(len(here), "entry", "entries")
        raise SpecError(f"{spell(place)} has {entries}, index {part} is none", path)
    return [part % len(here)]


def _known_keys(here: Mapping[str, Any]) -> list[str]:
    if here.get("kind") in MIXERS:
        return list(MIXERS.get(here["kind"]).fields())
    return list(here)


def _at(data: Any, place: Concrete) -> Any:
    for step in place:
        data = data.get(step) if isinstance(data, Mapping) else data[step]
    return data


def spell(place: Concrete) -> str:
    """("stages", 1, "dim") -> "stages[1].dim"."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def get(data: Mapping[str, Any], path: str) -> list[Any]:
    """The values at every place a path names."""
    return [_at(data, place) for place in resolve(data, path)]


def assign(data: dict[str, Any], path: str, value: Any) -> None:
    """Set `path` in the plain form of an architecture, in place.

    A path of several places takes one value for all, or a list with one for each. Setting
    `mixer.kind` starts from that kind's defaults and keeps the fields both kinds share.
    """
    places = resolve(data, path)
    several = any(isinstance(part, slice) for part in parse(path))
    if several and isinstance(value, list | tuple):
        if len(value) != len(places):
            raise SpecError(
                f"a list here must have one value for each of the {len(places)} places, "
                f"got {len(value)}: {list(value)}",
                path,
            )
        values = list(value)
    else:
        values = [value] * len(places)
    for place, each in zip(places, values, strict=True):
        _set(data, place, each, path)


def _set(data: dict[str, Any], place: Concrete, value: Any, path: str) -> None:
    parent = _at(data, place[:-1])
    last = place[-1]
    if last == "kind" and len(place) > 1 and place[-2] == "mixer":
        _switch_mixer(parent, value, path)
    elif last == "mixer" and isinstance(value, Mapping):
        parent[last] = dict(value)
    elif isinstance(parent.get(last) if isinstance(parent, dict) else None, dict) and isinstance(
        value, Mapping
    ):
        parent[last] = parent[last] | dict(value)
    else:
        parent[last] = value


def _switch_mixer(mixer: dict[str, Any], kind: Any, path: str) -> None:
    if kind not in MIXERS:
        raise SpecError(unknown_kind(kind), path)
    kept = {name: mixer.get(name, default) for name, default in MIXERS.get(kind).fields().items()}
    mixer.clear()
    mixer.update(kept | {"kind": kind})


def edit(arch: ArchSpec, changes: Mapping[str, Any]) -> ArchSpec:
    """`arch` with `changes` (path -> value), applied in order and validated as a whole."""
    raw = arch.to_dict()
    for path, value in changes.items():
        assign(raw, path, value)
    return ArchSpec.from_dict(raw)


def leaves(data: Any, place: Concrete = ()) -> Iterator[tuple[Concrete, Any]]:
    """Every scalar of plain data with its place, in order."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from leaves(value, (*place, key))
    elif isinstance(data, list | tuple):
        for i, value in enumerate(data):
            yield from leaves(value, (*place, i))
    else:
        yield place, data


def diff(a: ArchSpec, b: ArchSpec) -> list[tuple[str, Any, Any]]:
    """(path, value in a, value in b) wherever they differ; None where one has no such place.

    A difference that is the same in every stage is one line under `stages[*]`.
    """
    left, right = dict(leaves(a.to_dict())), dict(leaves(b.to_dict()))
    places = [*left, *(place for place in right if place not in left)]
    changed = [(p, left.get(p), right.get(p)) for p in places if left.get(p) != right.get(p)]
    return _gathered(changed, max(len(a.stages), len(b.stages)))


def _gathered(changed: list[tuple[Concrete, Any, Any]], stages: int) -> list[tuple[str, Any, Any]]:
    by_tail: dict[Concrete, list[tuple[Any, Any]]] = {}
    for place, old, new in changed:
        if place[0] == "stages":
            by_tail.setdefault(place[2:], []).append((old, new))
    lines: list[tuple[str, Any, Any]] = []
    done: set[Concrete] = set()
    for place, old, new in changed:
        tail = place[2:]
        same = by_tail.get(tail, [])
        if (
            place[0] == "stages"
            and stages > 1
            and len(same) == stages
            and len(set(map(repr, same))) == 1
        ):
            if tail not in done:
                done.add(tail)
                lines.append((f"stages[*].{spell(tail)}", old, new))
        else:
            lines.append((spell(place), old, new))
    return lines
