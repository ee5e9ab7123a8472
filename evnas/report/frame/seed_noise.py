"""The noise between training seeds of a search, as its own outcome files take it.

A trial with two seeds says little of its own spread (Student's interval over them is 13 times
their standard error), so a search pools the spread over all trials that have several, and
dominance by probability is computed with it (`evnas.search.results.front_files`). The page draws
the same.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evnas.stats.pareto import from_seeds

POOLED = ("top1_percent",)
"""Quantities whose spread a search pools."""


def seed_variance(values: Sequence[float]) -> float:
    """Between a trial's seeds; NaN for one seed, which says nothing of it."""
    if len(values) < 2:
        return math.nan
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / (len(values) - 1)


def pooled_spread(variances: NDArray[np.float64]) -> float:
    """Standard deviation between seeds, from the variances of trials; 0 when all are NaN."""
    known = variances[np.isfinite(variances)]
    return math.sqrt(float(known.mean())) if len(known) else 0.0


@functools.cache
def unit_interval() -> tuple[float, float]:
    """The central 95 % that `from_seeds` believes of one seed whose spread is 1, around it.

    Its draws scale with the spread and with one over the root of the number of seeds, so those of
    any trial follow from these.
    """
    return from_seeds([0.0], spread=1.0).interval
