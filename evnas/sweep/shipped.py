"""The sweeps that come with evnas, run by name from any folder: `evnas sweep table_c`."""

import functools
import importlib.resources
import os
from collections.abc import Mapping
from pathlib import Path

from evnas.errors import SpecError, nearest


@functools.cache
def shipped_sweeps() -> Mapping[str, Path]:
    """Name -> file of every sweep that comes with evnas, in alphabetical order."""
    folder = Path(str(importlib.resources.files("evnas").joinpath("sweeps")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def sweep_file(path: Path) -> Path:
    """The file that is meant: one that is there, else the shipped sweep of that name.

    Raises:
        SpecError: there is neither, with what was probably meant.
    """
    known = shipped_sweeps()
    if str(path) in known and not path.is_file():  # a folder under results/ has a sweep's name
        return known[str(path)]
    if os.path.lexists(path):
        return path
    must = f"{path}: must be a readable YAML file or the name of a sweep that comes with evnas"
    if path.stem in known:
        raise SpecError(f"{must}, and there is no such file; did you mean {path.stem!r}?")
    near = nearest(path.stem, known) or "; `evnas init` writes one"
    raise SpecError(f"{must}, and there is neither{near}")
