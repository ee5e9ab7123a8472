"""The study as a strategy sees it: kept up to date a record at a time, never scanned again."""

import gc
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evnas.record import Machine, Record, Status, comparable
from evnas.search.state.trial import Trial
from evnas.space.expressions import Expression
from evnas.stats.pareto import Front, Points
from evnas.sweep.constraints import first_broken
from evnas.sweep.search_spec import ObjectiveSpec
from evnas.tables import PHASES

SCREENED = "screened"
"""Under this the details of a record say which prediction stands in a measurement's place."""


@dataclass(slots=True, kw_only=True)
class History:
    """Trials by label, which ended how, and the front of the complete ones.

    A constraint is asked of every record, whichever seed or repetition it is of: a trial that
    breaks one has ended, and leaves `complete` and the front if it stood there.
    """

    objectives: tuple[ObjectiveSpec, ...]
    constraints: Sequence[Expression] = ()
    """With whole target ids."""
    full_budget: float = 0.0
    """Image presentations of a complete training; 0 when nothing is trained."""
    trials: dict[str, Trial] = field(default_factory=dict)
    complete: list[Trial] = field(default_factory=list)
    """Those whose objectives are all known at the full budget, in the order they got there."""
    vectors: list[tuple[float, ...]] = field(default_factory=list)
    """Of `complete`: objectives to be minimised."""
    course: list[tuple[float, ...] | Status] = field(default_factory=list)
    """How each trial first came to its end, in that order: the vector of one that was complete,
    else its status. Nothing is ever taken back here: budgets depend on it."""
    digests: set[str] = field(default_factory=set)
    """Every architecture proposed, those under way included."""
    promised: dict[str, float] = field(default_factory=dict)
    """Label -> budget of a training that is under way."""
    next_number: int = 0
    device_seconds: float = 0.0
    homes: dict[str, Machine] = field(default_factory=dict)
    """Target -> the machine that timed it first."""
    screened: set[str] = field(default_factory=set)
    """Labels of trials that ended by a prediction, unmeasured."""
    front: Front = field(init=False)
    _complete_labels: set[str] = field(default_factory=set)
    _through: set[str] = field(default_factory=set)
    """Labels of `course`."""

    def __post_init__(self) -> None:
        self.front = Front(len(self.objectives))

    def take(self, record: Record) -> Record:
        """Add a record, and return what is to be stored of it: as `lost` where it is a speed that
        cannot be compared, as `infeasible` where its trial breaks a constraint by it."""
        return self._take(self.judged(record))

    def _take(self, record: Record) -> Record:
        trial = self._learn(record)
        broken = self._broken(trial) if record.status == "complete" else ""
        if broken and trial.ended is None:
            record = replace(record, status="infeasible", error=broken)
            trial.ended, trial.reason = "infeasible", broken
        self._settle(trial)  # judged first: what breaks a constraint is on no front
        return record

    def judged(self, record: Record) -> Record:
        """The record; as `lost` where it is a speed that those so far cannot be compared with."""
        if not self.objectives:  # a table compares ratios, which any machine may take
            return record
        return comparable(record, self.homes.get(record.target))

    def _learn(self, record: Record) -> Trial:
        """Add a record to its trial, which the front does not see before it is settled."""
        trial = self.trials.get(record.label)
        if trial is None:
            trial = Trial(
                label=record.label, digest=record.digest, arch=record.arch, origin=record.origin
            )
            self.trials[record.label] = trial
            self.begin(record.label, record.digest)
        trial.take(record)
        if SCREENED in record.details:
            self.screened.add(record.label)
        if record.on is not None and record.status == "complete" and record.machine:
            self.homes.setdefault(record.target, record.machine)
        if PHASES.get(record.phase).trains:
            self.promised.pop(record.label, None)
        self.device_seconds += record.seconds
        return trial

    def _broken(self, trial: Trial) -> str:
        """The first constraint that what is known so far breaks, with the values, or ""."""
        known = trial.quantities() if self.constraints else {}
        return first_broken(self.constraints, trial.arch, known)

    def _settle(self, trial: Trial) -> None:
        """Take note of how a trial stands: ended, complete, or neither."""
        if trial.ended is not None:
            self.promised.pop(trial.label, None)
            self._end(trial)
        elif self.objectives and trial.label not in self._complete_labels:
            vector = trial.vector(self.objectives)
            if vector is not None and trial.budget >= self.full_budget:
                self._complete_labels.add(trial.label)
                self.complete.append(trial)
                self.vectors.append(vector)
                self.front.add(trial.label, vector)
                self._came_to_its_end(trial, vector)

    def _end(self, trial: Trial) -> None:
        """A trial ended before its goal; one that was complete already leaves the front."""
        assert trial.ended is not None
        # what nobody measured is no try without a gain: patience is not lost by it
        untried = trial.label in self.screened
        self._came_to_its_end(trial, "infeasible" if untried else trial.ended)
        if trial.label in self._complete_labels:
            self._complete_labels.discard(trial.label)
            places = reversed(range(len(self.complete)))  # mostly the newest
            place = next(i for i in places if self.complete[i] is trial)
            del self.complete[place], self.vectors[place]
            if trial.label in self.front.labels:  # those that it alone stood before come back
                self.front = Front(len(self.objectives))
                for other, vector in zip(self.complete, self.vectors, strict=True):
                    self.front.add(other.label, vector)

    def _came_to_its_end(self, trial: Trial, how: tuple[float, ...] | Status) -> None:
        if trial.label not in self._through:
            self._through.add(trial.label)
            self.course.append(how)

    def take_all(self, records: Iterable[tuple[int, Record]]) -> "History":
        """Add what a store holds; of a search, without records that belong to no candidate."""
        collects = gc.isenabled()
        gc.disable()  # all that is made here stays: looking through it takes a fifth of the time
        try:
            for _, record in records:
                if record.label.isdigit() or not self.objectives:
                    self._take(record)
        finally:
            if collects:
                gc.enable()
        return self

    def await_again(self, set_aside: Iterable[tuple[int, Record]]) -> "History":
        """Know candidates of which every record was set aside: they are under way again."""
        for _, record in set_aside:
            if record.label.isdigit() and record.label not in self.trials:
                self.trials[record.label] = Trial(
                    label=record.label,
                    digest=record.digest,
                    arch=record.arch,
                    origin=record.origin,
                )
                self.begin(record.label, record.digest)
        return self

    def begin(self, label: str, digest: str) -> None:
        """A candidate goes under way: nobody proposes it again."""
        self.digests.add(digest)
        if label.isdigit():
            self.next_number = max(self.next_number, int(label) + 1)

    def promise(self, label: str, budget: float) -> None:
        """A known candidate begins to train for `budget` image presentations."""
        self.promised[label] = budget

    @property
    def all_in_vain(self) -> bool:
        """Whether there were candidates, and each broke a constraint."""
        return bool(self.course) and all(how == "infeasible" for how in self.course)

    def failed_alike(self, first: int) -> str:
        """Why each of the first trials failed, where there are so many and it is one reason."""
        reasons: set[str] = set()
        trials = list(itertools.islice(self.trials.values(), first))
        for trial in trials:
            if trial.ended not in ("failed", "lost"):  # out of memory is a result
                return ""
            reasons.add((trial.reason.strip().splitlines() or [""])[-1])
            if len(reasons) > 1:
                return ""
        return reasons.pop() if len(trials) == first else ""

    def is_complete(self, trial: Trial) -> bool:
        """Whether a trial's objectives are all known at the full budget."""
        return trial.label in self._complete_labels

    def points(self) -> Points:
        """The vectors of `complete`, (n, m)."""
        return np.asarray(self.vectors, dtype=np.float64).reshape(-1, len(self.objectives))
