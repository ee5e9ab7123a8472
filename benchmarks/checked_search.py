"""What a check of a search holds: who was chosen, what was predicted of them, and trainings."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "training_study"))

from cells import Line

ANCHOR = "efficientvim_m1"
BEST, DRAWN = "best", "drawn"
LEAST_SEEDS = 3
"""Behind an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A candidate of the study, with what the search knew of it."""

    label: str
    digest: str
    arch: Mapping[str, Any]
    predicted: float
    """Top-1 in percent."""
    low: float
    high: float
    draws: tuple[float, ...]
    """Joint: the i-th of all candidates belong together."""
    speed: float
    """`throughput_ratio`."""
    role: str = ""
    """`best`, `drawn`, or `efficientvim_m1`."""


@dataclass(slots=True, kw_only=True)
class Check:
    """What is written: who was chosen, what was predicted of them, and the trainings."""

    study: str
    target: str
    """That speeds are of."""
    draw_seed: int
    band: float
    """What was meant by equal speed, as a share."""
    presentations: int
    data: str
    notes: list[str]
    chosen: list[Known]
    """The highest prediction first: this order was written before any training."""
    lines: list[Line] = field(default_factory=list)
    first: list[Line] = field(default_factory=list)
    """Of an earlier program, in whose place the same trainings of a later one stand in `lines`."""

    @property
    def settings(self) -> tuple[object, ...]:
        """What a file must agree in with the command that goes on with it."""
        return self.study, self.draw_seed, self.presentations, self.data

    def write(self, file: Path) -> None:
        """All or nothing."""
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_suffix(".part")
        whole.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        whole.replace(file)

    @classmethod
    def read(cls, file: Path) -> "Check":
        """The inverse of `write`."""
        raw = json.loads(file.read_text(encoding="utf-8"))
        chosen = [Known(**{**each, "draws": tuple(each["draws"])}) for each in raw["chosen"]]
        return cls(**{**raw, "chosen": chosen})

    def top1_of(self, label: str) -> dict[int, float]:
        """Seed -> trained top-1 in percent."""
        return tops_in(self.lines, label)


def tops_in(lines: Sequence[Line], label: str) -> dict[int, float]:
    """Seed -> trained top-1 in percent of one candidate."""
    return {
        line["seed"]: line["values"]["top1_percent"]
        for line in lines
        if line["label"] == label and line["status"] == "complete"
    }
