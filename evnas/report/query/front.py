"""The front of a frame by its objectives: a thin turn from rows and columns to
`evnas.stats.pareto`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evnas.report.frame.objectives import Objective
from evnas.report.frame.trial_frame import TrialFrame
from evnas.stats.pareto import front_mask, hypervolume

Points = NDArray[np.float64]


def collect_points(
    frame: TrialFrame, aims: Sequence[Objective]
) -> tuple[NDArray[np.int64], Points]:
    """Rows of complete trials with every objective, and their values (n, objectives), less better.

    The sign of an objective of which more is better is turned. Peers from timm are references
    beside the front and take no part.
    """
    if not aims:
        return np.empty(0, dtype=np.int64), np.empty((0, 0))
    values = np.stack([_less_is_better(frame, aim) for aim in aims], axis=1)
    taking_part = frame.text["status"].is_one("complete") & ~frame.text["mixers"].is_one("timm")
    rows = np.flatnonzero(taking_part & np.isfinite(values).all(axis=1))
    return rows, values[rows]


def _less_is_better(frame: TrialFrame, aim: Objective) -> NDArray[np.float64]:
    values = frame.column(aim.key)
    return -values if aim.better == "more" else values


def find_front(values: Points) -> NDArray[np.bool_]:
    """Which of the points (n, objectives), less better, no other dominates; equals all count."""
    return front_mask(values) if len(values) else np.zeros(0, dtype=bool)


def hypervolume_fraction(values: Points, *, worst: Points, best: Points) -> float:
    """Share of the box between `best` and `worst` that the points dominate, 0 to 1."""
    span = np.where(worst > best, worst - best, 1.0)
    scaled = (values - best) / span
    return hypervolume(scaled, [1.0] * values.shape[1])
