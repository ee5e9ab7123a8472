"""A value between two bounds, and Wilson's bounds of a share. No heavy imports."""

import math
from dataclasses import dataclass

Z95 = 1.959963984540054
"""The normal distribution's 97.5 % point."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate between two bounds, all in one unit."""

    low: float
    mid: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether `value` lies within the bounds, ends included."""
        return self.low <= value <= self.high

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return {"low": self.low, "mid": self.mid, "high": self.high}


def wilson(share: float, trials: float) -> Interval:
    """A share of `trials` with its 95 % interval, within 0 and 1.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927).
    """
    shrink = 1 + Z95 * Z95 / trials
    centre = (share + Z95 * Z95 / (2 * trials)) / shrink
    spread = share * (1 - share) / trials + Z95 * Z95 / (4 * trials * trials)
    half = Z95 / shrink * math.sqrt(spread)
    return Interval(max(0.0, centre - half), share, min(1.0, centre + half))
