"""What a figure of a front shows of a study: two axes, who stands where, and which printed points
may stand beside them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evnas.errors import EvnasError, SpecError, nearest
from evnas.report.frame.objectives import Constraint, Objective, find_constraints, resolve_column
from evnas.report.frame.snapshot import Snapshot
from evnas.report.frame.study_reader import StudyReader
from evnas.report.page.about import published_marks
from evnas.report.query.dominance import DominanceGroups, axis_sign, group_by_dominance
from evnas.tables import quantity_of
from evnas.words import counted

RATIO = "throughput_ratio"
_PRINTED = {
    "params_m": "params_m",
    "macs_exact_g": "macs_paper_g",
    "macs_paper_g": "macs_paper_g",
    "predicted_top1_percent": "predicted_top1_percent",
    RATIO: RATIO,
    "top1_percent": "top1_difference",
}
"""Column -> what is printed of the same kind on whatever machine, in `published_marks`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoints:
    """A study on two axes."""

    columns: Snapshot
    keys: tuple[str, str]
    groups: DominanceGroups
    printed: tuple[tuple[str, float, float], ...]
    """Label and place of each printed row, where it is of the kind of both axes."""
    step: str
    """How the front goes on between two members, as matplotlib calls it: by what is had with at
    least, or for at most, so much across."""
    bounds: tuple[Constraint, ...]
    """What the study demands of either axis."""
    notes: tuple[str, ...]
    """What the figure does not show."""

    def bars(self, axis: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """How far 95 % intervals reach below and above, (2, rows); 0 where there is none."""
        key, numbers = self.keys[axis], self.columns.numbers
        if f"{key}:low" not in numbers:
            return np.zeros((2, len(rows)))
        mid, low, high = (numbers[k][rows] for k in (key, f"{key}:low", f"{key}:high"))
        return np.nan_to_num(np.maximum(0.0, np.stack([mid - low, high - mid])))

    def place(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both coordinates of some rows."""
        x, y = (self.columns.numbers[key][rows] for key in self.keys)
        return x, y

    def texts(self, name: str, rows: NDArray[np.int64]) -> list[str]:
        """A text column of some rows."""
        column = self.columns.text[name]
        return [column.distinct[column.codes[row]] for row in rows]


def front_points(reader: StudyReader, *, x: str | None, y: str | None) -> FrontPoints:
    """A study's trials on two axes.

    Args:
        x, y: columns, or names on their first target; None takes the study's own objectives.

    Raises:
        SpecError: there is no such column.
        EvnasError: no trial has both.
    """
    aims = reader.objectives()
    keys = _keys(reader, aims, x, y)
    columns = reader.columns()
    every = np.arange(len(columns))
    signs = [axis_sign(key, aims) for key in keys]
    groups = group_by_dominance(columns, keys, signs, every)
    if not len(groups.front):
        raise EvnasError(f"{reader.folder}: no trial has both {keys[0]} and {keys[1]} yet")
    printed, left_out = _printed(reader, columns, keys)
    return FrontPoints(
        columns=columns,
        keys=keys,
        groups=groups,
        printed=printed,
        step="steps-pre" if signs[0] < 0 else "steps-post",
        bounds=tuple(b for b in find_constraints(reader.sweep, reader.frame) if b.key in keys),
        notes=tuple(filter(None, [left_out, _unplaced(columns, groups, keys)])),
    )


def _unplaced(columns: Snapshot, groups: DominanceGroups, keys: tuple[str, str]) -> str:
    n, of = len(groups.unplaced), len(columns)
    trials = counted(of, "trial")
    return f"not drawn: {n} of {trials}, for want of {keys[0]} or {keys[1]}" if n else ""


def _keys(
    reader: StudyReader, aims: list[Objective], x: str | None, y: str | None
) -> tuple[str, str]:
    own = [aim.key for aim in aims]
    found = []
    for place, (option, name) in enumerate((("--x", x), ("--y", y))):
        if name is not None:
            found.append(_column(reader, name, option))
        elif len(own) >= 2:
            found.append(own[place])
        else:
            raise EvnasError(f"{reader.folder}: no trial has two objectives yet")
    return found[0], found[1]


def _column(reader: StudyReader, name: str, option: str) -> str:
    found = resolve_column(name, reader.frame)
    if found is None:
        known = [key for key in reader.frame.number_keys() if ":" not in key]
        raise SpecError(
            f"{option} must name a column of {reader.folder}, got {name!r}{nearest(name, known)}"
        )
    return found


def _printed(
    reader: StudyReader, columns: Snapshot, keys: tuple[str, str]
) -> tuple[tuple[tuple[str, float, float], ...], str]:
    marks = published_marks(reader.sweep, reader.frame.reference)
    if not marks:
        return (), ""
    found = [_printed_values(reader, columns, key, marks) for key in keys]
    for key, values in zip(keys, found, strict=True):
        if not values:
            return (), f"printed points are left out: {_why(key)}"
    first, second = found
    labels = [label for label in first if label in second]
    return tuple((label, first[label], second[label]) for label in labels), ""


def _why(key: str) -> str:
    name = quantity_of(key)
    if name in ("throughput_img_s", "latency_ms"):
        return f"{key} is of this machine, and print's of another; --x {RATIO} compares with it"
    return f"{key} is not what tables print"


def _printed_values(
    reader: StudyReader, columns: Snapshot, key: str, marks: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Label -> what is printed of the kind of a column, as far as it compares: top-1 as far from
    the reference's own as in print."""
    name, own = quantity_of(key), 0.0
    printed = {mark["label"]: mark.get(_PRINTED.get(name, "")) for mark in marks}
    if name == "top1_percent":
        row = reader.frame.row(reader.frame.reference)
        own = math.nan if row is None else float(columns.numbers[key][row])
    return {
        label: own + value
        for label, value in printed.items()
        if value is not None and math.isfinite(own)
    }
