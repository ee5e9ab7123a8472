"""How a search went: hypervolume over trials and device time, and who holds the front."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evnas.report.frame.objectives import Objective
from evnas.report.frame.trial_frame import TrialFrame
from evnas.report.query.front import Points, collect_points, find_front, hypervolume_fraction

MOMENTS = 120
"""Points of the curves: enough for a screen, and 100,000 trials cost no more than 1,000."""


def compute_front_history(frame: TrialFrame, aims: Sequence[Objective]) -> dict[str, Any] | None:
    """The front's history, or None while fewer than two trials have all objectives.

    Returns:
        `trials`, `device_hours` and `hypervolume` a moment; `share`: a mixer's share of the front
        at each; `reference`: the worst and best of each objective that the hypervolume is scaled
        by, so its unit is the share of that box.
    """
    rows, values = collect_points(frame, aims)
    if len(rows) < 2 or len(aims) < 2:
        return None
    worst, best = values.max(axis=0), values.min(axis=0)
    hours = np.cumsum(np.nan_to_num(frame.column("seconds"))) / 3600
    moments = np.unique(np.linspace(1, len(rows), MOMENTS).round().astype(int))
    history = _history(values, moments)
    fronts = [Counter(frame.text["mixers"][rows[i]] for i in kept) for kept in history]
    names = [name for name, _ in sum(fronts, Counter[str]()).most_common()]
    return {
        "trials": [int(rows[m - 1]) + 1 for m in moments],
        "device_hours": [float(hours[rows[m - 1]]) for m in moments],
        "hypervolume": [
            hypervolume_fraction(values[kept], worst=worst, best=best) for kept in history
        ],
        "share": {name: [count[name] / count.total() for count in fronts] for name in names},
        "reference": _spelt(aims, worst, best),
    }


def _history(values: Points, moments: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The front among the first m points, for each m: each built on the one before."""
    kept = np.empty(0, dtype=np.int64)
    start, found = 0, []
    for m in moments:
        candidates = np.concatenate([kept, np.arange(start, m)])
        kept = candidates[find_front(values[candidates])]
        start = int(m)
        found.append(kept)
    return found


def _spelt(aims: Sequence[Objective], worst: Points, best: Points) -> list[dict[str, Any]]:
    sign = [-1.0 if aim.better == "more" else 1.0 for aim in aims]
    return [
        {"key": aim.key, "worst": float(w * s), "best": float(b * s)}
        for aim, w, b, s in zip(aims, worst, best, sign, strict=True)
    ]
