"""The study as a strategy sees it: kept up to date a record at a time, never scanned again."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from evnas.record import Machine, Record
from evnas.search.state.trial import Trial
from evnas.stats.pareto import Front, Points
from evnas.sweep.search_spec import ObjectiveSpec
from evnas.tables import PHASES


@dataclass(slots=True, kw_only=True)
class History:
    """Trials by label, which ended how, and the front of the complete ones."""

    objectives: tuple[ObjectiveSpec, ...]
    full_budget: float = 0.0
    """Image presentations of a complete training; 0 when nothing is trained."""
    trials: dict[str, Trial] = field(default_factory=dict)
    complete: list[Trial] = field(default_factory=list)
    """Those whose objectives are all known at the full budget, in the order they got there."""
    vectors: list[tuple[float, ...]] = field(default_factory=list)
    """Of `complete`: objectives to be minimised."""
    digests: set[str] = field(default_factory=set)
    """Every architecture proposed, those under way included."""
    promised: dict[str, float] = field(default_factory=dict)
    """Label -> budget of a training that is under way."""
    next_number: int = 0
    device_seconds: float = 0.0
    homes: dict[str, Machine] = field(default_factory=dict)
    """Target -> the machine that timed it first."""
    front: Front = field(init=False)
    _complete_labels: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.front = Front(len(self.objectives))

    def take(self, record: Record) -> Trial:
        """Add a record, and return its trial."""
        return self.settle(self.learn(record))

    def judged(self, record: Record) -> Record:
        """The record; as `lost` where it is a speed that those so far cannot be compared with."""
        home, there = self.homes.get(record.target), record.machine
        if not self.objectives:  # a table compares ratios, which any machine may take
            return record
        if record.on is None or record.status != "complete" or home is None or there is None:
            return record
        if there.is_like(home):
            return record
        reason = f"timed on {there}, while {record.target} is timed on {home}: not comparable"
        return replace(record, status="lost", error=reason)

    def learn(self, record: Record) -> Trial:
        """Add a record to its trial, which the front does not see before it is settled."""
        trial = self.trials.get(record.label)
        if trial is None:
            trial = Trial(
                label=record.label, digest=record.digest, arch=record.arch, origin=record.origin
            )
            self.trials[record.label] = trial
            self.begin(record.label, record.digest)
        trial.take(record)
        if record.on is not None and record.status == "complete" and record.machine:
            self.homes.setdefault(record.target, record.machine)
        if PHASES.get(record.phase).trains:
            self.promised.pop(record.label, None)
        self.device_seconds += record.seconds
        return trial

    def settle(self, trial: Trial) -> Trial:
        """Take note of how a trial stands: ended, complete, or neither."""
        if trial.ended is not None:
            self.promised.pop(trial.label, None)
        if trial.ended is None and self.objectives and trial.label not in self._complete_labels:
            vector = trial.vector(self.objectives)
            if vector is not None and trial.budget >= self.full_budget:
                self._complete_labels.add(trial.label)
                self.complete.append(trial)
                self.vectors.append(vector)
                self.front.add(trial.label, vector)
        return trial

    def take_all(self, records: Iterable[tuple[int, Record]]) -> "History":
        """Add what a store holds; of a search, without records that belong to no candidate."""
        for _, record in records:
            if record.label.isdigit() or not self.objectives:
                self.take(record)
        return self

    def begin(self, label: str, digest: str) -> None:
        """A candidate goes under way: nobody proposes it again."""
        self.digests.add(digest)
        if label.isdigit():
            self.next_number = max(self.next_number, int(label) + 1)

    def promise(self, label: str, budget: float) -> None:
        """A known candidate begins to train for `budget` image presentations."""
        self.promised[label] = budget

    def is_complete(self, trial: Trial) -> bool:
        """Whether a trial's objectives are all known at the full budget."""
        return trial.label in self._complete_labels

    def points(self) -> Points:
        """The vectors of `complete`, (n, m)."""
        return np.asarray(self.vectors, dtype=np.float64).reshape(-1, len(self.objectives))

    def reference(self) -> tuple[float, ...]:
        """A reference point for hypervolumes: the worst of the first complete trials, and a tenth
        of their range beyond it. Fixed early, so that hypervolumes compare along a search."""
        first = np.asarray(self.vectors[:20], dtype=np.float64)
        worst, best = first.max(axis=0), first.min(axis=0)
        return tuple((worst + 0.1 * np.maximum(worst - best, 1e-9)).tolist())
