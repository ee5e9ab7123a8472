"""Shares of images: their intervals, and two models' answers to the same images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from evnas.stats.interval import Interval, wilson

Bits = NDArray[np.bool_]


def share_percent(hits: int, images: int) -> Interval:
    """A share in percent with Wilson's 95 % interval."""
    found = wilson(hits / images, images)
    return Interval(100 * found.low, 100 * found.mid, 100 * found.high)


def student_mean(values: Sequence[float] | NDArray[np.float64]) -> Interval:
    """A mean with Student's 95 % interval; the value alone where there is one."""
    found = np.asarray(values, dtype=np.float64)
    mean = float(found.mean())
    if len(found) < 2:
        return Interval(mean, mean, mean)
    error = float(found.std(ddof=1)) / math.sqrt(len(found))
    half = float(scipy.stats.t.ppf(0.975, len(found) - 1)) * error
    return Interval(mean - half, mean, mean + half)


@dataclass(frozen=True, slots=True)
class PairedShares:
    """Two models on the same images."""

    difference_percent: Interval
    """Share right of the first less that of the second, in percentage points."""
    only_first: int
    """Images that the first alone has right."""
    only_second: int
    p_value: float
    """Of McNemar's exact test, two-sided: that either is as likely to be the one that is right."""


def paired_shares(first: Bits, second: Bits) -> PairedShares:
    """The difference of two shares, image by image.

    Args:
        first, second: which images are right, (N,) each, in one order.

    Source: Q. McNemar, Psychometrika 12 (1947), in its exact, binomial form; the interval is of
    `paired_difference`.
    """
    if first.shape != second.shape:
        raise ValueError(f"both must answer the same images, got {first.shape}, {second.shape}")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    apart = only_first + only_second
    p_value = float(scipy.stats.binomtest(only_first, apart).pvalue) if apart else 1.0
    span = paired_difference(only_first, only_second, len(first))
    return PairedShares(span, only_first, only_second, p_value)


def paired_difference(
    only_first: int, only_second: int, images: int, *, level: float = 0.95
) -> Interval:
    """Difference of two shares of the same images, in percentage points.

    The interval is Wald's for a paired difference with half an image added to each kind of
    agreement, so that it keeps a width where both answer alike. It knows the images' chance, not
    that of another training.

    Source: A. Agresti and Y. Min, Statistics in Medicine 24 (2005), 729-740, for the halves.
    """
    total = images + 2
    centre = (only_first - only_second) / total
    error = math.sqrt(((only_first + only_second + 1) / total - centre**2) / total)
    half = float(scipy.stats.norm.ppf(0.5 + level / 2)) * error
    mid = (only_first - only_second) / images
    return Interval(100 * (centre - half), 100 * mid, 100 * (centre + half))
