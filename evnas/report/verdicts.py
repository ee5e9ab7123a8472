"""What a measured cell says beside the printed one, in a word and a reason."""

from dataclasses import dataclass
from typing import Literal

from evnas.record import Interval
from evnas.space.published import prints_as

Kind = Literal["matches", "same direction", "differs", "not comparable", ""]
"""`matches`: it prints the same, or the printed ratio or difference lies in our interval."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a cell compares with print; the empty kind where there is nothing to compare."""

    kind: Kind = ""
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
    share = f" ({100 * off / float(printed):+.1f} %)" if float(printed) else ""
    return Verdict("differs", f"by {off:+.{_decimals(printed)}f}{share}")


def against_reference(mine: Interval, printed: float, *, neutral: float) -> Verdict:
    """A ratio (`neutral` 1) or difference (`neutral` 0) against the printed one.

    Args:
        mine: our estimate with its 95 % interval.
        printed: what the paper's own figures give.
    """
    if mine.holds(printed):
        return Verdict("matches")
    off = f"by {mine.mid - printed:+.3g}"
    clear = mine.low > neutral or mine.high < neutral
    if clear and (mine.mid > neutral) == (printed > neutral) and printed != neutral:
        return Verdict("same direction", off)
    return Verdict("differs", off)


def not_comparable(reason: str) -> Verdict:
    """Two figures that do not mean the same thing."""
    return Verdict("not comparable", reason)


def _decimals(printed: str) -> int:
    return len(printed.partition(".")[2])
