"""The table's rows: those within the lasso, in the order asked for."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evnas.errors import SpecError
from evnas.report.frame.snapshot import Rows, Snapshot

_NUMBERS = re.compile(r"(\d+)", re.ASCII)


def sort_rows(
    columns: Snapshot,
    kept: Rows,
    *,
    axes: Sequence[str] = (),
    lasso: Sequence[tuple[float, float]] = (),
    sort: str = "number",
) -> Rows:
    """Rows of the table in its order; what has no value comes last, whichever way.

    Args:
        kept: rows that pass the filter.
        axes: the two columns in whose units the lasso is.
        sort: a column, `-COLUMN` for falling.

    Raises:
        SpecError: no column is called so.
    """
    if lasso:
        x, y = (columns.numbers[key][kept] for key in axes)
        kept = kept[find_enclosed(x, y, lasso)]
    key, falling = sort.removeprefix("-"), sort.startswith("-")
    if key in columns.text:
        return kept[_by_text(columns, key, kept, falling=falling)]
    if key not in columns.numbers:
        raise SpecError(f"sort must name a column, got {key[:60]!r}")
    values = columns.numbers[key][kept]
    return kept[np.argsort(-values if falling else values, kind="stable")]


def _by_text(columns: Snapshot, key: str, kept: Rows, *, falling: bool) -> NDArray[np.int64]:
    """Numbers within texts by their size, as a reader expects of trials 2 and 10."""
    distinct = columns.text[key].distinct
    order = sorted(range(len(distinct)), key=lambda i: _natural(distinct[i]))
    place = np.empty(len(distinct), dtype=np.int64)
    place[order] = np.arange(len(distinct))
    ranks = place[columns.text[key].codes[kept]]
    return np.argsort(-ranks if falling else ranks, kind="stable")


def _natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    pieces = [piece for piece in _NUMBERS.split(text.lower()) if piece]
    return tuple((not p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in pieces)


def find_enclosed(
    x: NDArray[np.float64], y: NDArray[np.float64], polygon: Sequence[tuple[float, float]]
) -> NDArray[np.bool_]:
    """Which points lie within a polygon: an odd number of its edges stands to their right."""
    odd = np.zeros(len(x), dtype=bool)
    for (xi, yi), (xj, yj) in zip(polygon, (*polygon[-1:], *polygon[:-1]), strict=True):
        if yi == yj:
            continue
        crosses = ((yi > y) != (yj > y)) & (x < (xj - xi) * (y - yi) / (yj - yi) + xi)
        odd ^= crosses
    return odd
