"""A cell of an ablation table: a measured quantity beside the printed one, and the verdict."""

import math
from dataclasses import dataclass, field

from evnas.report.table.verdicts import Verdict
from evnas.stats.interval import Interval

PRINT_ONLY = "print only"
"""Status of a printed quantity that the sweep does not measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A measured quantity beside the printed one."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    """The 95 % interval, where there is one."""
    published: str = ""
    verdict: Verdict = field(default_factory=Verdict)
    status: str = ""
    """How it ended when there is no value: `diverged`, `oom`, ..., or `print only`."""
    unranked: str = ""
    """Why it has no place among the rows where these are ranked; "" where it has one."""


def interval_cell(
    found: Interval | None, published: str, verdict: Verdict, status: str = ""
) -> Cell:
    """A cell with its interval, or with how it ended."""
    if found is None:
        return Cell(published=published, verdict=verdict, status=status)
    return Cell(
        value=found.mid, low=found.low, high=found.high, published=published, verdict=verdict
    )


def print_only(published: str) -> Cell:
    """A printed quantity that the sweep does not measure; empty where nothing is printed."""
    return Cell(published=published, status=PRINT_ONLY if published else "")


def parse_number(text: str) -> float | None:
    """A printed cell as a finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def data_name(data: object) -> str:
    """A data set's name, without the path of a folder."""
    return data if isinstance(data, str) else "an image folder"
