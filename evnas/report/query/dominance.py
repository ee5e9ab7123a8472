"""Who stands where on some axes: the front, what ties with it, the cloud, what ended early.

For studies too large to send whole; the page computes the same from its own columns
(static/js/front_data.js, pareto.js), and a test holds the two together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from evnas.report.frame.columns import describe_column
from evnas.report.frame.objectives import Objective
from evnas.report.frame.snapshot import Rows, Snapshot
from evnas.stats.pareto import front_mask

SURE = 0.95
TWO_Z95 = 3.919927969080108
"""Width of a 95 % interval in standard deviations."""

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DominanceGroups:
    """Rows by how they take part."""

    front: Rows
    tied: Rows
    cloud: Rows
    peers: Rows
    infeasible: Rows
    ended: Rows
    unplaced: Rows
    floor: Rows
    """Of the unplaced, those that ended badly and have the first axis: they stand on the floor
    of the complete ones, where there are any."""
    base: float
    """The second axis' smallest value among complete trials; inf without any."""


def group_by_dominance(
    columns: Snapshot, keys: Sequence[str], signs: Sequence[float], kept: Rows
) -> DominanceGroups:
    """Sort rows `kept` by how they take part on the axes `keys`.

    Args:
        signs: a key, 1 where less is better and -1 where more is.
    """
    values = np.stack([columns.numbers[key][kept] for key in keys], axis=1)
    placed = np.isfinite(values).all(axis=1)
    complete = columns.text["status"].is_one("complete")[kept]
    infeasible = columns.text["status"].is_one("infeasible")[kept]
    peer = columns.text["mixers"].is_one("timm")[kept]
    taking_part = kept[placed & complete & ~peer]
    points, noise = estimates(columns, keys, signs, taking_part)
    front = front_mask(points) if len(points) else np.zeros(0, dtype=bool)
    tied = ~front & ~find_dominated(points, noise, by=np.flatnonzero(front))
    return DominanceGroups(
        front=taking_part[front],
        tied=taking_part[tied],
        cloud=taking_part[~front & ~tied],
        peers=kept[placed & complete & peer],
        infeasible=kept[placed & infeasible],
        ended=kept[placed & ~complete & ~infeasible],
        unplaced=kept[~placed],
        floor=kept[~placed & ~complete & np.isfinite(values[:, 0]) & bool(len(taking_part))],
        base=float(columns.numbers[keys[1]][taking_part].min()) if len(taking_part) else np.inf,
    )


def estimates(
    columns: Snapshot, keys: Sequence[str], signs: Sequence[float], rows: Rows
) -> tuple[Points, Points]:
    """Values, less better, and their standard deviations, both (rows, axes)."""
    values = [sign * columns.numbers[key][rows] for key, sign in zip(keys, signs, strict=True)]
    noise = [_deviation(columns, key, rows) for key in keys]
    return np.stack(values, axis=1), np.stack(noise, axis=1)


def _deviation(columns: Snapshot, key: str, rows: Rows) -> Points:
    if f"{key}:low" not in columns.numbers:
        return np.zeros(len(rows))
    width = columns.numbers[f"{key}:high"][rows] - columns.numbers[f"{key}:low"][rows]
    return np.maximum(0.0, np.nan_to_num(width)) / TWO_Z95


def dominance_probability(lead: Points, spread: Points) -> NDArray[np.float64]:
    """P(at least as good on every axis), (rows,), errors normal and independent.

    Args:
        lead: by how much better on each axis, (rows, axes).
        spread: standard deviation of that lead, (rows, axes).
    """
    known = spread == 0
    each = np.where(known, lead >= 0, ndtr(lead / np.where(known, 1.0, spread)))
    return np.asarray(each.prod(axis=1))


def find_dominated(points: Points, noise: Points, *, by: Rows) -> NDArray[np.bool_]:
    """Which points one of `by` dominates with 95 % probability; where no axis has errors, all."""
    if not noise.any():
        return np.ones(len(points), dtype=bool)
    beaten = np.zeros(len(points), dtype=bool)
    for member in by:
        left = np.flatnonzero(~beaten)
        lead = points[left] - points[member]
        beaten[left] = dominance_probability(lead, np.hypot(noise[left], noise[member])) >= SURE
    return beaten


MOST_LISTED = 5


def axis_sign(key: str, aims: Sequence[Objective]) -> float:
    """1 for an axis of which less is better, -1 for one of which more is."""
    better = next((a.better for a in aims if a.key == key), describe_column(key).better)
    return -1.0 if better == "more" else 1.0


def find_dominators(
    columns: Snapshot, row: int, keys: Sequence[str], aims: Sequence[Objective]
) -> dict[str, Any]:
    """How many trials dominate a row on the axes `keys`, and the surest of them.

    Returns:
        `count`, and `surest`: `label`, `by` (the difference on each axis) and `probability`.
    """
    signs = [axis_sign(key, aims) for key in keys]
    complete = columns.text["status"].is_one("complete")
    rows = np.flatnonzero(complete & ~columns.text["mixers"].is_one("timm"))
    points, noise = estimates(columns, keys, signs, rows)
    point, deviation = (found[0] for found in estimates(columns, keys, signs, np.array([row])))
    with np.errstate(invalid="ignore"):
        better = (points <= point).all(axis=1) & (points < point).any(axis=1) & (rows != row)
    rows, points, noise = rows[better], points[better], noise[better]
    sureness = dominance_probability(point - points, np.hypot(noise, deviation))
    surest = np.argsort(-sureness, kind="stable")[:MOST_LISTED]
    return {
        "count": len(rows),
        "surest": [
            {
                "label": columns.text["label"].distinct[columns.text["label"].codes[rows[i]]],
                "by": [float(columns.numbers[k][rows[i]] - columns.numbers[k][row]) for k in keys],
                "probability": float(sureness[i]),
            }
            for i in surest
        ],
    }
