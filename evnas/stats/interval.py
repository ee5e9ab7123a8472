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

    def spelt(self, sign: str = "") -> str:
        """The value between its bounds, all with as many decimals as tell the bounds apart; the
        value alone where both bounds are one.

        Args:
            sign: "+" for a difference, which shows its sign also where it is positive.
        """
        if math.isnan(self.low) or math.isnan(self.high):
            return f"{self.mid:{sign}.4g} (one sample: no interval)"
        apart = self.high - self.low
        if not 0 < apart < math.inf:
            bounds = "" if apart == 0 else f" [{self.low:{sign}.4g}, {self.high:{sign}.4g}]"
            return f"{self.mid:{sign}.4g}{bounds}"
        # two digits of the shorter side; one digit of the longer is then still exact
        reach = max(min(self.mid - self.low, self.high - self.mid), apart / 20)
        places = max(0, 1 - math.floor(math.log10(reach)))
        low, mid, high = (f"{x:{sign}.{places}f}" for x in (self.low, self.mid, self.high))
        return f"{mid} [{low}, {high}]"

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
