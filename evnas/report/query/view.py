"""What the page shows of a large study: some marks whole, the cloud as counts, a table page.

A study of some ten thousand trials is sent whole and the page computes by itself; beyond that the
server computes, for the axes, filter, zoom and sorting asked for.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evnas.errors import SpecError
from evnas.report.frame.objectives import Objective
from evnas.report.frame.snapshot import Rows, Snapshot
from evnas.report.frame.study_reader import StudyReader
from evnas.report.query.dominance import DominanceGroups, axis_sign, group_by_dominance
from evnas.report.query.filters import apply_filter
from evnas.report.query.sorting import sort_rows

MANY = 2500
"""Dominated trials that are sent one by one; more are counted into cells."""
MARKED = 600
"""Marks of any other kind that are sent at most."""
WIDE, HIGH = 140, 90
"""Cells of the chart."""
PAGE = 50

Window = tuple[float, float, float, float]
"""x0, x1, y0, y1."""


@dataclass(frozen=True, slots=True)
class ViewRequest:
    """What a page asks for."""

    axes: tuple[str, ...]
    log: tuple[bool, bool]
    filter: str
    window: Window | None
    lasso: tuple[tuple[float, float], ...]
    sort: str
    page: int
    labels: tuple[str, ...]
    """Trials to be sent whatever else: the pinned and the chosen one."""


def filter_and_group(
    columns: Snapshot, wish: ViewRequest, aims: Sequence[Objective]
) -> tuple[Rows, str, DominanceGroups]:
    """Rows that pass the filter, what is wrong with it or "", and how they stand."""
    problem = ""
    try:
        kept = np.flatnonzero(apply_filter(wish.filter, columns))
    except SpecError as e:
        kept, problem = np.arange(len(columns)), str(e)
    signs = [axis_sign(key, aims) for key in wish.axes]
    return kept, problem, group_by_dominance(columns, wish.axes, signs, kept)


def build_view(
    columns: Snapshot, wish: ViewRequest, *, stood: tuple[Rows, str, DominanceGroups]
) -> tuple[Rows, dict[str, Any]]:
    """Rows to be sent, and what the page gets beside them.

    Args:
        stood: what `filter_and_group` gave for the same wish; it does not depend on the wish's
            zoom, sorting and page.
    """
    kept, problem, found = stood
    x, y = (columns.numbers[key] for key in wish.axes[:2])
    window = wish.window or _around(columns, wish, found)
    inside = found.cloud[_within(x[found.cloud], y[found.cloud], window)]
    dense = len(inside) > MANY
    rows = sort_rows(columns, kept, axes=wish.axes[:2], lasso=wish.lasso, sort=wish.sort)
    page = rows[(wish.page - 1) * PAGE : wish.page * PAGE]
    marks = {
        name: getattr(found, name)[:: max(1, -(-len(getattr(found, name)) // MARKED))]
        for name in ("front", "tied", "peers", "infeasible", "ended", "floor")
    }
    marks["front"] = found.front
    sent = [*marks.values(), page, np.array(columns.rows_of(wish.labels), dtype=np.int64)]
    beside = {name: rows.tolist() for name, rows in marks.items()} | {
        "page": page.tolist(),
        "total": len(rows),
        "problem": problem,
        "base": found.base if np.isfinite(found.base) else None,
        "range": list(window),
        "numbers": {
            name: len(getattr(found, name))
            for name in ("front", "tied", "peers", "infeasible", "ended", "unplaced", "cloud")
        },
        "counts": _cells(x[inside], y[inside], wish.log, window) if dense else None,
        "cloud": [] if dense else inside.tolist(),
        "mixers": list(_by_number(columns.text["mixers"])),
    }
    return np.unique(np.concatenate([*sent, *([] if dense else [inside])])), beside


def _by_number(mixers: Any) -> dict[str, int]:
    counts = np.bincount(mixers.codes, minlength=len(mixers.distinct))
    order = np.argsort(-counts, kind="stable")
    return {mixers.distinct[i]: int(counts[i]) for i in order if counts[i]}


def _around(columns: Snapshot, wish: ViewRequest, found: DominanceGroups) -> Window:
    """All that is drawn, with some room around it."""
    shown = np.concatenate(
        [found.front, found.tied, found.cloud, found.peers, found.infeasible, found.ended]
    )
    x, y = wish.axes[:2]
    across = [columns.numbers[x][np.concatenate([shown, found.floor])]]
    up = [columns.numbers[y][shown]]
    for ends, key in ((across, x), (up, y)):
        if f"{key}:low" in columns.numbers:
            ends += [columns.numbers[f"{key}:{end}"][found.front] for end in ("low", "high")]
    return (*_ends(across, wish.log[0], 0.04), *_ends(up, wish.log[1], 0.06))


def _ends(parts: list[NDArray[np.float64]], log: bool, room: float) -> tuple[float, float]:
    values = np.concatenate(parts)
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not len(values):
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = (np.log10(v) if log else v for v in (values.min(), values.max()))
    span = high - low or abs(high) * 0.1 or 1.0
    ends = low - room * span, low + span if low == high else high + room * span
    return tuple(float(10**v if log else v) for v in ends)  # type: ignore[return-value]  # two


def _within(x: NDArray[np.float64], y: NDArray[np.float64], window: Window) -> NDArray[np.bool_]:
    x0, x1, y0, y1 = window
    inside: NDArray[np.bool_] = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    return inside


def _cells(
    x: NDArray[np.float64], y: NDArray[np.float64], log: tuple[bool, bool], window: Window
) -> list[int]:
    """Points in each cell of the window, line by line from the top."""
    ends = [np.array(window[:2]), np.array(window[2:])]
    at = [np.log10(v) if is_log else v for v, is_log in zip((x, y), log, strict=True)]
    ends = [np.log10(e) if is_log else e for e, is_log in zip(ends, log, strict=True)]
    counts, _, _ = np.histogram2d(at[1], at[0], bins=(HIGH, WIDE), range=(ends[1], ends[0]))
    found: list[int] = counts[::-1].astype(int).ravel().tolist()
    return found


KEPT = 8


class GroupCache:
    """The newest answers of `filter_and_group`, by study, its newest record, axes and filter."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[object, ...], tuple[Rows, str, DominanceGroups]] = (
            OrderedDict()
        )

    def of(
        self, reader: StudyReader, columns: Snapshot, wish: ViewRequest
    ) -> tuple[Rows, str, DominanceGroups]:
        """Computed, or as computed before."""
        key = (reader.folder, id(reader), columns.last_id, wish.axes, wish.filter)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = filter_and_group(columns, wish, reader.objectives())
            while len(self._found) > KEPT:
                self._found.popitem(last=False)
        return found
