"""What a measured cell says beside the printed one, in a word and a reason."""

import math
from dataclasses import dataclass
from typing import Literal

from evnas.papers.published import prints_as
from evnas.stats.interval import Interval

VerdictKind = Literal["matches", "same direction", "differs", "cannot tell", "not comparable", ""]
"""`matches`: it prints the same, or the printed ratio or difference lies in our interval, as far
as the printed digits tell."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a cell compares with print; the empty kind where there is nothing to compare."""

    kind: VerdictKind = ""
    reason: str = ""

    def __str__(self) -> str:
        if self.kind == "differs":
            return f"differs {self.reason}"
        return f"{self.kind}: {self.reason}" if self.reason else self.kind


def as_printed(value: float, printed: str) -> Verdict:
    """A count against print: it must round to the very digits that stand there."""
    if prints_as(value, printed):
        return Verdict("matches")
    off = value - float(printed)
    return Verdict("differs", f"by {off:+.{_decimals(printed)}f}{_share(value, float(printed))}")


def _share(value: float, printed: float) -> str:
    """How much that is of what is printed: in percent, or by a factor where percent say little."""
    if not printed:
        return ""
    times = value / printed
    return f" ({times:.3g} times)" if not 0.5 <= times <= 2 else f" ({100 * (times - 1):+.1f} %)"


def against_reference(mine: Interval, printed: Interval, *, neutral: float) -> Verdict:
    """A ratio (`neutral` 1) or difference (`neutral` 0) against the printed one.

    Args:
        mine: our estimate with its 95 % interval.
        printed: what the paper's own figures give, as far apart as their digits allow.
    """
    if mine.low <= printed.high and printed.low <= mine.high:
        return Verdict("matches")
    off = f"by {mine.mid - printed.mid:+.3g}"
    clear = mine.low > neutral or mine.high < neutral
    same_side = (mine.mid > neutral) == (printed.mid > neutral) and printed.mid != neutral
    return Verdict("same direction" if clear and same_side else "differs", off)


def against_difference(mine: Interval, printed: float, *, smallest: float = 0.0) -> Verdict:
    """A difference of top-1 against the printed one, in points.

    Where the two agree but a difference of the printed size could not be distinguished from none,
    nothing is known of it, and `matches` would say too much.

    Args:
        mine: our estimate with its 95 % interval.
        printed: the papers' difference.
        smallest: the least difference that shows here, as far as noise beyond the interval says.
    """
    smallest = max(smallest, (mine.high - mine.low) / 2)
    if abs(mine.mid - printed) <= smallest and abs(printed) < smallest:
        return Verdict("cannot tell", f"the least that shows here is {smallest:.1f}")
    return against_reference(mine, Interval(printed, printed, printed), neutral=0.0)


def printed_ratio(above: str, below: str) -> Interval | None:
    """The ratio of two printed figures, between what their rounding allows; None without both.

    "0.12" over "0.34" lies within 0.115 / 0.345 and 0.125 / 0.335.
    """
    try:
        a, b = float(above), float(below)
    except ValueError:  # nothing is printed, or OOM
        return None
    half_a, half_b = (0.5 * 10.0 ** -_decimals(text) for text in (above, below))
    if not (math.isfinite(a) and math.isfinite(b) and b > half_b):
        return None
    return Interval((a - half_a) / (b + half_b), a / b, (a + half_a) / (b - half_b))


def not_comparable(reason: str) -> Verdict:
    """Two figures that do not mean the same thing."""
    return Verdict("not comparable", reason)


def _decimals(printed: str) -> int:
    return len(printed.partition(".")[2])
