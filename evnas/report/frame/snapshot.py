"""A frame's columns as arrays, taken at one moment: what is computed with while records come."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evnas.report.frame.trial_frame import TrialFrame

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CodedTexts:
    """A text column: each text once, and its number a row."""

    distinct: Sequence[str]
    codes: NDArray[np.uint32]

    def where(self, holds: Sequence[bool]) -> NDArray[np.bool_]:
        """Rows whose text is one of those that `holds` marks, (rows,)."""
        picked: NDArray[np.bool_] = np.asarray(holds, dtype=bool)[self.codes]
        return picked

    def is_one(self, text: str) -> NDArray[np.bool_]:
        """Rows with that text, (rows,)."""
        return self.where([t == text for t in self.distinct])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Columns of (rows,) each; numbers float64 with NaN where nothing was found."""

    last_id: int
    touched: NDArray[np.int64]
    """Id of the newest record of each row."""
    text: dict[str, CodedTexts]
    numbers: dict[str, NDArray[np.float64]]
    """Bounds of intervals stand under `KEY:low` and `KEY:high`."""
    noise: dict[str, tuple[float, float]]
    """Of pooled quantities: how far one seed's interval reaches below and above it."""
    targets: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.touched)

    def resolve(self, name: str) -> str | None:
        """A column by its key, or by its name on the first target that has it."""
        keys = (name, *(f"{name}@{target}" for target in self.targets))
        return next((key for key in keys if key in self.numbers), None)

    def as_rows(self, rows: Rows) -> list[dict[str, Any]]:
        """Rows as plain data, None where nothing was found."""
        found: list[dict[str, Any]] = [
            {name: c.distinct[c.codes[row]] for name, c in self.text.items()} for row in rows
        ]
        for key, values in self.numbers.items():
            for one, value in zip(found, values[rows].tolist(), strict=True):
                one[key] = value if math.isfinite(value) else None
        return found

    def rows_of(self, labels: Sequence[str]) -> list[int]:
        """The newest row of each label that is known."""
        column = self.text["label"]
        found = (np.flatnonzero(column.is_one(label)) for label in labels)
        return [int(rows[-1]) for rows in found if len(rows)]


def take_snapshot(frame: TrialFrame) -> Snapshot:
    """The frame as it is now; whoever adds to it from another thread must wait meanwhile."""
    return Snapshot(
        last_id=frame.last_id,
        touched=np.array(frame.touched, dtype=np.int64),
        text={k: CodedTexts(tuple(t.distinct), t.coded()) for k, t in frame.text.items()},
        numbers={key: frame.column(key) for key in frame.number_keys()},
        noise={key: frame.noise(key) for key in frame.pooled if key in frame.numbers},
        targets=tuple(frame.targets),
    )
