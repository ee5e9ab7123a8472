"""Curves of whole trainings, kept as files beside the store of the study that they came from.

A training may run on another machine and for days, while the study's one writer is somebody else.
So it keeps a copy of its curve as a file of its own, and needs no lock.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evnas.errors import DataError
from evnas.files import write_whole

FOLDER = "trainings"
_TEXTS = ("trial", "digest", "data", "recipe_name", "status", "output")
_NUMBERS = ("seed", "resolution", "epochs", "of_epochs", "written")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTraining:
    """A training of a study's trial."""

    trial: str
    """The trial's label."""
    digest: str
    """Of the trial's architecture, which is trained with the data's classes."""
    data: str
    recipe_name: str
    status: str
    """`running`, `complete`, `stopped` or `diverged`; one that was killed still says `running`."""
    output: str
    """Its folder as it was named, on the machine that trains."""
    seed: int
    resolution: int
    """Side of the images in pixels."""
    epochs: int
    """Finished."""
    of_epochs: int
    written: float
    """When this was noted, seconds since the epoch."""
    curve: Sequence[Mapping[str, float]] = field(default_factory=tuple)
    """A point an epoch, as in `curve.json`."""


def keep_training(study: Path, found: KeptTraining, also: Mapping[str, Any]) -> Path:
    """Note how far a training of a study's trial is; what it noted before is replaced.

    Args:
        study: the study's folder.
        also: what the file holds beside, as plain data: the recipe, say.

    Raises:
        StoreError: there is no room for it.
        OSError: the folder cannot be written.
    """
    whose = hashlib.sha256(str(Path(found.output).absolute()).encode()).hexdigest()[:8]
    safe = "".join(c if c.isalnum() else "_" for c in found.trial)
    path = study / FOLDER / f"{safe}_{whose}.json"
    path.parent.mkdir(exist_ok=True)
    held = {name: getattr(found, name) for name in (*_TEXTS, *_NUMBERS)}
    text = json.dumps({**also, **held, "curve": [dict(point) for point in found.curve]}, indent=1)
    write_whole(path, text + "\n")
    return path


def files_of_trainings(study: Path) -> list[Path]:
    """The files that trainings of this study's trials have left, by name."""
    return sorted((study / FOLDER).glob("[!.]*.json"))


def trainings_changed(study: Path) -> int:
    """A number that is another one whenever a training has noted something; 0 before the first."""
    try:
        return (study / FOLDER).stat().st_mtime_ns
    except OSError:
        return 0


def read_training(path: Path) -> KeptTraining:
    """What a training noted.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise DataError(f"{path} must hold a training's curve, it cannot be read ({e})") from e
    if not _is_whole(held):
        raise DataError(f"{path} must hold a training's curve, it holds something else")
    named = {name: held[name] for name in (*_TEXTS, *_NUMBERS)}
    return KeptTraining(**named, curve=tuple(held["curve"]))


def _is_whole(held: Any) -> bool:
    return (
        isinstance(held, dict)
        and all(isinstance(held.get(name), str) for name in _TEXTS)
        and all(_is_number(held.get(name)) for name in _NUMBERS)
        and isinstance(held.get("curve"), list)
        and all(
            isinstance(point, dict) and "epoch" in point and all(map(_is_number, point.values()))
            for point in held["curve"]
        )
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max  # not NaN
