"""Why counting cannot reproduce some printed figures: reasons on file, beside the tables."""

import csv
import functools
import importlib.resources
from dataclasses import dataclass
from fnmatch import fnmatchcase

from evnas.papers.published import PublishedRow


@dataclass(frozen=True, slots=True)
class KnownDifference:
    """Why a printed figure cannot be reproduced; `row` and `quantity` may hold wildcards."""

    paper: str
    table: str
    row: str
    quantity: str
    reason: str

    def explains(self, row: PublishedRow, quantity: str) -> bool:
        """Whether it speaks of this figure."""
        return (
            (self.paper, self.table) == (row.paper, row.table)
            and fnmatchcase(row.row, self.row)
            and fnmatchcase(quantity, self.quantity)
        )


@functools.cache
def known_differences() -> tuple[KnownDifference, ...]:
    """The reasons on file."""
    file = importlib.resources.files("evnas.papers").joinpath("data/known_differences.csv")
    return tuple(
        KnownDifference(**row) for row in csv.DictReader(file.read_text("utf-8").splitlines())
    )


def known_reason(row: PublishedRow, quantity: str) -> str:
    """Why this figure is known to differ, or ""."""
    return next((k.reason for k in known_differences() if k.explains(row, quantity)), "")
