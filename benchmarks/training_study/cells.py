"""The cells of the training study, and the lines that its file of curves has of them; no torch.

A line without `data` is of `USUAL_DATA`: the first ones were written before there was another.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rows import chosen, counts_by_paper

CURVES = Path(__file__).parents[2] / "results/reference/training_study/curves.jsonl"
FEW, MANY = 3_000, 30_000
USUAL_DATA = "fashion-mnist-12k"
HARDER_DATA = "long_range_copy"
"""Chosen before any row was trained on it, by two nets that are none of the rows, at `FEW`
presentations and seed 0: EfficientViM-M1's sizes with HSM-SSD and one plain head, and with
inverted residuals in place of every block. `long_range_copy` tells them apart (36.9 % and 56.9 %,
chance being 25 %); HSM-SSD is at chance on `associative_recall` (25.2 %), inverted residuals are
on `path_tracing` (24.3 %)."""
SEEDS = {FEW: (0,), MANY: (0, 1)}
HARDER_SEEDS = (0,)

Line = Mapping[str, Any]
Key = tuple[str, str, int, int]
"""Name, data, presentations, seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One cell of the study."""

    name: str
    data: str = USUAL_DATA
    presentations: int
    seed: int
    macs: float

    @property
    def key(self) -> Key:
        """What it is known by in the file."""
        return self.name, self.data, self.presentations, self.seed


def trainings() -> list[Training]:
    """Every cell: the usual images, then the harder ones, the cheapest of each first."""
    counts = counts_by_paper()
    longer = set(chosen(counts))
    every = {name: macs for of in counts.values() for name, macs in of.items()}
    usual = [
        Training(name=name, presentations=presentations, seed=seed, macs=macs)
        for name, macs in every.items()
        for presentations, seeds in SEEDS.items()
        for seed in seeds
        if presentations == FEW or name in longer
    ]
    harder = [
        Training(name=name, data=HARDER_DATA, presentations=FEW, seed=seed, macs=macs)
        for name, macs in every.items()
        for seed in HARDER_SEEDS
        if name in longer
    ]
    return sorted([*usual, *harder], key=lambda cell: (cell.macs * cell.presentations, cell.key))


def key_of(line: Line) -> Key:
    """Which cell a line is of."""
    return line["name"], line.get("data", USUAL_DATA), line["presentations"], line["seed"]


def lines_in(file: Path) -> list[Line]:
    """The trainings that have ended; none where there is no file."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.splitlines()]
