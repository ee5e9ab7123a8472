"""A phase of another package: how many pixels the last map has."""

from collections.abc import Iterator

from evnas.phases.base import (
    Found,
    Goal,
    Need,
    OnProgress,
    Phase,
    Quantity,
    Setting,
    Task,
    Workshop,
)
from evnas.phases.work import Work
from evnas.record import Record
from evnas.sweep.candidate import Candidate


class LastMap(Phase):
    """The side of the last map at 224 pixels."""

    name = "last_map"
    guess_s = 0.01
    quantities = (Quantity("last_side_px", "last map", "px", "max"),)

    def needed(self, setting: Setting, candidate: Candidate, goal: Goal) -> Iterator[Need]:
        yield Need()

    def task(self, setting: Setting, candidate: Candidate, need: Need) -> Task:
        return Task()

    def evaluate(self, work: Work, workshop: Workshop, on_progress: OnProgress) -> Found:
        stride = work.arch["stem"]["stride"] * 2 ** (len(work.arch["stages"]) - 1)
        return Found(values={"last_side_px": 224 / stride})

    def words(self, record: Record) -> str:
        return f"last map {record.values['last_side_px']:.1f} px"


PHASE = LastMap()
