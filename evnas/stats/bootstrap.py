"""Bootstrap intervals of medians, of many measurements at once."""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evnas.stats.interval import Interval


def median_intervals(
    samples: Sequence[Sequence[float]] | NDArray[np.float64],
    level: float = 0.95,
    *,
    draws: int = 2000,
) -> list[Interval]:
    """The median of each row of samples (measurements, n) between its percentile-bootstrap bounds,
    seed fixed.

    Source: B. Efron, Ann. Statist. 7 (1979).
    """
    ordered = np.sort(np.asarray(samples, dtype=np.float64), axis=1)
    n = ordered.shape[1]
    lower, upper, times = _resampled_middles(n, draws)
    medians = (ordered[:, lower] + ordered[:, upper]) / 2
    order = np.argsort(medians, axis=1)
    medians = np.take_along_axis(medians, order, axis=1)
    ends = np.cumsum(times[order], axis=1)  # rank in the sorted resamples where each median ends
    low, high = (
        _percentiles(medians, ends, share) for share in ((1.0 - level) / 2, (1.0 + level) / 2)
    )
    middles = (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2
    found = zip(low.tolist(), middles.tolist(), high.tolist(), strict=True)
    return [Interval(*bounds) for bounds in found]


@functools.cache
def _resampled_middles(
    n: int, draws: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Ranks of the two middle values of each resample of n sorted samples, and how often.

    They depend on n alone, so that 100,000 intervals of a study draw once.
    """
    picks = np.sort(np.random.default_rng(0).integers(n, size=(draws, n)), axis=1)
    middles = picks[:, [(n - 1) // 2, n // 2]]
    pairs, times = np.unique(middles, axis=0, return_counts=True)
    return pairs[:, 0], pairs[:, 1], times


def _percentiles(
    values: NDArray[np.float64], ends: NDArray[np.int64], share: float
) -> NDArray[np.float64]:
    """Percentile, linearly interpolated, of each row of sorted `values`; the i-th value of a row
    reaches up to rank `ends[row, i]`."""
    last = int(ends[0, -1]) - 1
    place = share * last
    below = int(place)
    rows = np.arange(len(values))
    first, second = (
        values[rows, (ends <= rank).sum(axis=1)] for rank in (below, min(below + 1, last))
    )
    percentiles: NDArray[np.float64] = first + (place - below) * (second - first)
    return percentiles
