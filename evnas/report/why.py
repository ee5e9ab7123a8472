"""Who dominates a trial of a large study; of others the page finds it by itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from evnas.report.objectives import Objective
from evnas.report.snapshot import Snapshot
from evnas.report.standing import chance, estimates
from evnas.report.view import sign

SUREST = 5


def dominators(
    columns: Snapshot, row: int, keys: Sequence[str], aims: Sequence[Objective]
) -> dict[str, Any]:
    """How many trials dominate a row on the axes `keys`, and the surest of them.

    Returns:
        `count`, and `surest`: `label`, `by` (the difference on each axis) and `probability`.
    """
    signs = [sign(key, aims) for key in keys]
    complete = columns.text["status"].is_one("complete")
    rows = np.flatnonzero(complete & ~columns.text["mixers"].is_one("timm"))
    points, noise = estimates(columns, keys, signs, rows)
    point, deviation = (found[0] for found in estimates(columns, keys, signs, np.array([row])))
    with np.errstate(invalid="ignore"):
        better = (points <= point).all(axis=1) & (points < point).any(axis=1) & (rows != row)
    rows, points, noise = rows[better], points[better], noise[better]
    sureness = chance(point - points, np.hypot(noise, deviation))
    surest = np.argsort(-sureness, kind="stable")[:SUREST]
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
