"""Whether two studies order the same rows the same way, and which pairs they turn round.

Orders compare where absolute figures do not: speeds of two machines, trainings of two lengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evnas.report.frame.columns import describe_column
from evnas.report.query.row_figures import Figure, Row, apart, unlike
from evnas.stats.interval import Interval
from evnas.stats.rank_correlation import Agreement, kendall
from evnas.tables import quantity_of

MOST_ROWS = 1500
"""Rows that are ranked at most: pairs grow with their square."""
MOST_LISTED = 60
"""Flips whose leads are worked out, the widest first."""

Both = tuple[Row | None, Row | None]
"""One architecture's row in the first study and in the other."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """Two rows that stand the other way round in the other study."""

    better: str
    """The label, in the first study, of the row that is better there."""
    worse: str
    lead: Interval | None
    """By how much it is better there, in the quantity's unit; None where it cannot be told."""
    lag: Interval | None
    """By how much it is worse in the other study."""
    sure: bool
    """Whether both studies tell the two apart beyond their 95 % intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One quantity's order of the rows that both studies have."""

    quantity: str
    """As the first study calls it."""
    other_quantity: str
    """As the other does: another target where each has one only."""
    places: dict[str, tuple[int, int]]
    """Row of the first study -> its place in both orders, 1 the best; equals share one."""
    left_out: int
    """Rows that are of another kind than the first, in either study, or beyond `MOST_ROWS`."""
    pairs: int
    """Of rows that differ in both studies."""
    flips: int
    """Of these, those that stand the other way round."""
    sure: int
    """Of the flips listed, those beyond the intervals of both."""
    listed: tuple[Flip, ...]
    """The widest flips, sure ones first."""
    tau: Agreement | None
    """Kendall's tau-b of the two orders."""


def orders_of(rows: Sequence[Both]) -> list[Order]:
    """How each quantity that both studies have orders their common rows; nothing below two."""
    common = [(a, b) for a, b in rows if a is not None and b is not None]
    found = [_order(common, first, other) for first, other in _quantities(common)]
    return [order for order in found if order is not None]


def _quantities(common: Sequence[tuple[Row, Row]]) -> list[tuple[str, str]]:
    """Names in both studies: equal ones, and speeds that each has on one target of its own."""
    first = dict.fromkeys(key for a, _ in common for key in a.figures)
    other = dict.fromkeys(key for _, b in common for key in b.figures)
    same = [(key, key) for key in first if key in other]
    names = dict.fromkeys(quantity_of(key) for key in first)
    for name in names:
        mine, theirs = ([k for k in keys if quantity_of(k) == name] for keys in (first, other))
        if len(mine) == len(theirs) == 1 and mine != theirs:
            same.append((mine[0], theirs[0]))
    return same


def _order(common: Sequence[tuple[Row, Row]], first: str, other: str) -> Order | None:
    having = [(a, b) for a, b in common if first in a.figures and other in b.figures]
    alike = [pair for pair in having if _is_alike(pair, having[0], first, other)][:MOST_ROWS]
    if len(having) < 2:
        return None
    sign = -1.0 if describe_column(first).better == "more" else 1.0
    x = sign * np.array([a.figures[first].value for a, _ in alike])
    y = sign * np.array([b.figures[other].value for _, b in alike])
    turned = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    upper = np.triu(turned, 1)
    flips = _listed(alike, (first, other), (x, y), upper)
    return Order(
        quantity=first,
        other_quantity=other,
        places={
            a.label: (int((x < mine).sum()) + 1, int((y < its).sum()) + 1)
            for (a, _), mine, its in zip(alike, x, y, strict=True)
        },
        left_out=len(having) - len(alike),
        pairs=int(np.count_nonzero(upper)),
        flips=int((upper < 0).sum()),
        sure=sum(flip.sure for flip in flips),
        listed=tuple(flips),
        tau=kendall(x.tolist(), y.tolist()),
    )


def _is_alike(pair: tuple[Row, Row], base: tuple[Row, Row], first: str, other: str) -> bool:
    """Whether its figures may be ranked with those of the first pair, in both studies."""
    return not any(
        unlike(base[place].figures[key], pair[place].figures[key])
        for place, key in enumerate((first, other))
    )


def _listed(
    alike: Sequence[tuple[Row, Row]], keys: tuple[str, str], values: tuple[Floats, Floats],
    upper: Floats,
) -> list[Flip]:  # fmt: skip
    rows, columns = np.nonzero(upper < 0)
    if not len(rows):
        return []
    widths = [np.abs(v[rows] - v[columns]) / (np.ptp(v) or 1.0) for v in values]
    widest = np.argsort(-np.minimum(*widths), kind="stable")[:MOST_LISTED]
    found = []
    for at in widest:
        i, j = int(rows[at]), int(columns[at])
        better, worse = (i, j) if values[0][i] < values[0][j] else (j, i)
        found.append(_flip(alike[better], alike[worse], keys))
    return sorted(found, key=lambda flip: not flip.sure)


def _flip(better: tuple[Row, Row], worse: tuple[Row, Row], keys: tuple[str, str]) -> Flip:
    lead = _lead(keys[0], better[0].figures[keys[0]], worse[0].figures[keys[0]])
    lag = _lead(keys[1], worse[1].figures[keys[1]], better[1].figures[keys[1]])
    sure = all(each is not None and each.low > 0 for each in (lead, lag))
    return Flip(better=better[0].label, worse=worse[0].label, lead=lead, lag=lag, sure=sure)


def _lead(key: str, better: Figure, worse: Figure) -> Interval | None:
    """By how much one figure is better than another of its study; NaN bounds are never sure."""
    more = describe_column(key).better == "more"
    return apart(key, worse, better) if more else apart(key, better, worse)
