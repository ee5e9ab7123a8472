"""When a measurement has seen enough: its interval is narrow, or it is surely beyond a limit.

Both are asked again and again, and hold under repeated looks. Neither supposes anything about the
noise but that the samples share a median.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

LOOKS = (6, 9, 12, 18, 24)
"""Rounds after which the interval is looked at. With these few looks the interval that is printed
holds the median in nine of ten measurements or more, whatever the noise; with a look after each
round it would be 88 of 100."""
LEVEL = 0.95
STOPPING_ERROR = 0.02
"""The chance at most that a measurement is broken off whose quantities keep all limits."""
STAKE = 0.8
"""Of what a bet holds, that is put on the next sample lying beyond the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A value beyond which a quantity is not worth measuring further."""

    quantity: str
    """`latency_ms`, `throughput_img_s` or `throughput_ratio`."""
    beyond: Literal["above", "below"]
    """The side on which it is not."""
    value: float
    why: str
    """As records say it: `breaks latency_ms <= 30`, `no better than trial 12`."""

    def is_broken_by(self, sample: float) -> bool:
        """Whether a sample lies beyond it; one that meets it exactly does not."""
        return sample > self.value if self.beyond == "above" else sample < self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRule:
    """What ends a measurement before its budget does."""

    uncertainty_fraction: float | None = None
    """How far the interval may reach from the median to either side; None asks nothing."""
    narrow: tuple[str, ...] = ()
    """The quantities that it is asked of; () is the ratio where one is taken, else latency."""
    limits: tuple[Limit, ...] = ()

    def beyond(self, series: Mapping[str, Sequence[float]]) -> str:
        """Which limit the samples so far surely break; "" while none is.

        Args:
            series: quantity -> its samples, as `time_alternating` gives them.
        """
        error = STOPPING_ERROR / max(1, len(self.limits))
        for limit in self.limits:
            if is_surely_beyond(series.get(limit.quantity, ()), limit, error=error):
                return f"{limit.quantity} is surely {limit.beyond} {limit.value:.6g}: {limit.why}"
        return ""

    def enough(self, series: Mapping[str, Sequence[float]]) -> str:
        """Which intervals are as narrow as was asked; "" while they are not."""
        if self.uncertainty_fraction is None or len(series[_usual(series)]) not in LOOKS:
            return ""
        asked = [name for name in self.narrow if name in series] or [_usual(series)]
        if all(is_narrow(series[name], self.uncertainty_fraction) for name in asked):
            return f"{' and '.join(asked)} within {100 * self.uncertainty_fraction:g} %"
        return ""


def is_narrow(samples: Sequence[float], fraction: float) -> bool:
    """Whether the median's interval reaches no further than `fraction` of it to either side.

    The interval lies between order statistics, interpolated (Hettmansperger and Sheather 1986).
    """
    ordered = sorted(samples)
    n = len(ordered)
    rank, inward = _place(n)
    low = ordered[rank] + inward * (ordered[rank + 1] - ordered[rank])
    high = ordered[-1 - rank] - inward * (ordered[-1 - rank] - ordered[-2 - rank])
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return max(high - middle, middle - low) <= fraction * middle


def is_surely_beyond(samples: Sequence[float], limit: Limit, *, error: float) -> bool:
    """Whether the median surely lies beyond a limit, asked after each sample.

    Somebody who bets on each sample lying beyond gains 1 / `error` times his money, at any time,
    with a chance of at most `error` while the median keeps the limit (Ville's inequality;
    Waudby-Smith and Ramdas, arXiv 2010.09686).
    """
    beyond = sum(limit.is_broken_by(sample) for sample in samples)
    won = beyond * math.log(1 + STAKE) + (len(samples) - beyond) * math.log(1 - STAKE)
    return won >= -math.log(error)


def _usual(series: Mapping[str, Sequence[float]]) -> str:
    return "throughput_ratio" if "throughput_ratio" in series else "latency_ms"


@functools.cache
def _place(n: int) -> tuple[int, float]:
    """Where the interval of n samples begins: the rank of a sample, counted from 0, and the share
    of the way to the next one."""
    rank = 0
    while _held(n, rank + 1) >= LEVEL:
        rank += 1
    more, less = _held(n, rank), _held(n, rank + 1)
    share = (more - LEVEL) / (more - less)
    outside = rank + 1
    inward = (n - outside) * share / (outside + (n - 2 * outside) * share)
    return rank, max(0.0, inward)


def _held(n: int, rank: int) -> float:
    """The chance that the median lies between the samples of `rank` from below and from above."""
    outside = sum(math.comb(n, i) for i in range(rank + 1))
    return 1 - 2 * outside / float(2**n)
