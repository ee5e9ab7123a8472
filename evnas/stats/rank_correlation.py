"""Whether two columns order the same things the same way: Kendall's tau-b with its uncertainty.

Plain numbers in and out, so that reports, searches and the proxy's audit agree on one formula.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from evnas.stats.proportions import paired_difference

DRAWS = 2_000
LARGEST_BOOTSTRAP = 1_000
"""Pairs beyond which the interval is Fieller's approximation: the bootstrap is quadratic."""

Floats = npt.NDArray[np.float64]
Pairs = npt.NDArray[np.bool_]
Column = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Kendall's tau-b of two columns between its bounds, or a difference of two of them."""

    low: float
    tau: float
    high: float
    n: int
    """Things of which both columns had a finite number."""


def kendall(
    x: Column, y: Column, *, level: float = 0.95, pairs: Pairs | None = None
) -> Agreement | None:
    """Rank correlation of two columns over the same things.

    Args:
        x, y: of one length; None, NaN and infinities leave their thing out.
        level: of the interval.
        pairs: (n, n), symmetric: which pairs of things are compared; None compares all.

    Returns:
        tau-b with a percentile bootstrap interval over things (2,000 draws, seed fixed); None
        for fewer than three things, or where no compared pair differs in a column.

    Source: M. G. Kendall, Biometrika 33 (1945), tau-b; B. Efron, Ann. Stat. 7 (1979). Over
    1,000 pairs the interval is E. C. Fieller, H. O. Hartley and E. S. Pearson's, Biometrika 44
    (1957): standard error sqrt(0.437 / (n - 4)) of atanh(tau).
    """
    (a, b), kept = _complete(x, y)
    n = len(a)
    if n < 3 or _constant(a) or _constant(b):
        return None
    if pairs is not None:
        return _of_pairs(pairs[np.ix_(kept, kept)], level, _Ordered(a, b))
    tau = float(scipy.stats.kendalltau(a, b).statistic)
    if n > LARGEST_BOOTSTRAP:
        low, high = _fieller(tau, n, level)
    else:
        low, high = _bounds(_tau_b(_weights(n), a, b), level)
    return Agreement(low, tau, high, n)


def kendall_gain(
    x: Column, rival: Column, truth: Column, *, level: float = 0.95, pairs: Pairs | None = None
) -> Agreement | None:
    """By how much `x` orders as `truth` does better than `rival` orders so; `pairs` as there.

    Returns:
        The difference of the two tau-b over the things that all three columns know, with an
        interval from drawing things, so that what both share cancels; None as in `kendall`.
        Over 1,000 things the interval takes the two as independent, which is too wide.
    """
    (a, b, t), kept = _complete(x, rival, truth)
    n = len(a)
    if n < 3 or _constant(a) or _constant(b) or _constant(t):
        return None
    if pairs is not None:
        inside = pairs[np.ix_(kept, kept)]
        return _of_pairs(inside, level, _Ordered(a, t), _Ordered(b, t))
    ours = float(scipy.stats.kendalltau(a, t).statistic)
    theirs = float(scipy.stats.kendalltau(b, t).statistic)
    if n > LARGEST_BOOTSTRAP:
        half = math.hypot(*((1 - tau**2) * _half_width(n, level) for tau in (ours, theirs)))
        low, high = ours - theirs - half, ours - theirs + half
    else:
        weights = _weights(n)
        low, high = _bounds(_tau_b(weights, a, t) - _tau_b(weights, b, t), level)
    return Agreement(low, ours - theirs, high, n)


def paired_difference_percent(
    right_hex: str, base_hex: str, images: int, *, level: float = 0.95
) -> tuple[float, float, float]:
    """Difference of two top-1 measured on the same held-out images.

    Args:
        right_hex, base_hex: which images each model named right, a bit per image from the top.
        images: number of bits.
        level: of the interval.

    Returns:
        (low, difference, high) in percentage points, as `proportions.paired_difference`.
    """
    ours, theirs = _bits(right_hex, images), _bits(base_hex, images)
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    found = paired_difference(only_ours, only_theirs, images, level=level)
    return found.low, found.mid, found.high


def _bits(digits: str, images: int) -> npt.NDArray[np.bool_]:
    if len(digits) != -(-images // 4):
        raise ValueError(f"{images} images need {-(-images // 4)} hex digits, got {len(digits)}")
    values = np.array([int(digit, 16) for digit in digits], dtype=np.uint8)
    return np.unpackbits(values[:, None], axis=1)[:, 4:].reshape(-1)[:images].astype(bool)


@dataclass(frozen=True, slots=True)
class _Ordered:
    """Two columns, (n,) each."""

    x: Floats
    y: Floats


def _of_pairs(
    pairs: Pairs, level: float, ours: _Ordered, theirs: _Ordered | None = None
) -> Agreement | None:
    """tau-b over some pairs, or by how much one exceeds the other, with its bootstrap."""
    n = len(ours.x)
    weights = np.vstack([np.ones(n), _weights(n)])
    draws = _tau_b(weights, ours.x, ours.y, pairs)
    if theirs is not None:
        draws = draws - _tau_b(weights, theirs.x, theirs.y, pairs)
    if not np.isfinite(draws[0]):
        return None
    low, high = _bounds(draws[1:], level)
    return Agreement(low, float(draws[0]), high, n)


def _complete(*columns: Column) -> tuple[list[Floats], npt.NDArray[np.intp]]:
    """The columns as arrays, only where every one has a finite number, and where that is."""
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"columns must have one length, got {[len(c) for c in columns]}")
    table = np.array(
        [[math.nan if v is None else v for v in column] for column in columns], dtype=np.float64
    )
    kept = np.flatnonzero(np.isfinite(table).all(axis=0))
    return list(table[:, kept]), kept


def _constant(values: Floats) -> bool:
    return bool((values == values[0]).all())


def _weights(n: int) -> Floats:
    """(draws, n): how often each thing is in each bootstrap draw."""
    rng = np.random.default_rng(0)
    return rng.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float64)


def _tau_b(weights: Floats, x: Floats, y: Floats, pairs: Pairs | None = None) -> Floats:
    """tau-b of every draw, (draws,): concordance is a quadratic form of the weights."""
    sx, sy = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    if pairs is not None:
        sx, sy = sx * pairs, sy * pairs

    def form(signs: Floats) -> Any:
        return ((weights @ signs) * weights).sum(axis=1)

    with np.errstate(invalid="ignore", divide="ignore"):
        tau: Floats = form(sx * sy) / np.sqrt(form(np.abs(sx)) * form(np.abs(sy)))
    return tau


def _bounds(draws: Floats, level: float) -> tuple[float, float]:
    # a draw in which one column has a single value has no tau
    known = draws[np.isfinite(draws)]
    low, high = np.percentile(known, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def _fieller(tau: float, n: int, level: float) -> tuple[float, float]:
    if abs(tau) == 1:
        return tau, tau
    half, centre = _half_width(n, level), math.atanh(tau)
    return math.tanh(centre - half), math.tanh(centre + half)


def _half_width(n: int, level: float) -> float:
    """Of the interval of atanh(tau)."""
    return float(scipy.stats.norm.ppf(0.5 + level / 2)) * math.sqrt(0.437 / (n - 4))
