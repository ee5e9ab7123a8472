"""The study as a strategy sees it: kept up to date a record at a time, never scanned again."""

import contextlib
import gc
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evnas.record import Outline, Record, Status, comparable
from evnas.search.state.trial import Trial
from evnas.space.expressions import Expression
from evnas.stats.pareto import Front, Points
from evnas.store import Store
from evnas.sweep.constraints import first_broken, phase_of
from evnas.sweep.search_spec import ObjectiveSpec
from evnas.tables import PHASES, quantity_and_target

SCREENED = "screened"
"""Under this the details of a record say which prediction stands in a measurement's place."""

_Found = tuple[bool, str]
"""Whether trainings find something, and the target that it is of."""


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
    first_timed: dict[str, Record | Outline] = field(default_factory=dict)
    """Target -> the first record that says which machine timed it."""
    tried: Counter[str] = field(default_factory=Counter)
    """Phase -> trials that have a record of it."""
    screened: set[str] = field(default_factory=set)
    """Labels of trials that ended by a prediction, unmeasured."""
    front: Front = field(init=False)
    _complete_labels: set[str] = field(default_factory=set)
    _through: set[str] = field(default_factory=set)
    """Labels of `course`."""
    _constraints_by: dict[_Found, list[Expression]] = field(default_factory=dict)
    """Those that hang on what is found so, and those on fields alone."""
    _front_waits: bool = False
    """While many records are taken: the front of all trials is found at their end."""

    def __post_init__(self) -> None:
        self.front = Front(len(self.objectives))

    def take(self, record: Record) -> Record:
        """Add a record, and return what is to be stored of it: as `lost` where it is a speed that
        cannot be compared, as `infeasible` where its trial breaks a constraint by it."""
        record = self.judged(record)
        broken = self._take(record)
        return replace(record, status="infeasible", error=broken) if broken else record

    def _take(self, record: Record | Outline) -> str:
        """Learn from a record; the constraint that its trial breaks by it, with the values."""
        trial = self._learn(record)
        asked = record.status == "complete" and trial.ended is None
        if broken := self._broken(trial, record) if asked else "":
            trial.ended, trial.reason = "infeasible", broken
        self._settle(trial)  # judged first: what breaks a constraint is on no front
        return broken

    def judged(self, record: Record) -> Record:
        """The record; as `lost` where it is a speed that those so far cannot be compared with."""
        if not self.objectives:  # a table compares ratios, which any machine may take
            return record
        first = self.first_timed.get(record.target)
        return comparable(record, None if first is None else first.machine)

    def _learn(self, record: Record | Outline) -> Trial:
        """Add a record to its trial, which the front does not see before it is settled."""
        trial = self.trials.get(record.label)
        if trial is None:
            trial = self._begun(record)
        if record.phase not in trial.phases:
            self.tried[record.phase] += 1
        trial.take(record)
        if SCREENED in record.details:
            self.screened.add(record.label)
        new = bool(record.target) and record.target not in self.first_timed
        if new and record.status == "complete" and record.machine and record.on:
            self.first_timed[record.target] = record
        if record.label in self.promised and PHASES.get(record.phase).trains:
            del self.promised[record.label]
        self.device_seconds += record.seconds
        return trial

    def _begun(self, record: Record | Outline) -> Trial:
        """The trial of a label that is new."""
        trial = Trial(
            label=record.label,
            digest=record.digest,
            kept_arch=record.arch,
            origin=record.origin,
        )
        self.trials[record.label] = trial
        self.begin(record.label, record.digest)
        return trial

    def _broken(self, trial: Trial, record: Record | Outline) -> str:
        """The first constraint that what is known so far breaks, with the values, or ""."""
        asked = self._asked_by(record) if self.constraints else ()
        known = trial.known({name for constraint in asked for name in constraint.quantities})
        arch = trial.arch if any(constraint.fields for constraint in asked) else {}
        return first_broken(asked, arch, known)

    def _asked_by(self, record: Record | Outline) -> Sequence[Expression]:
        """Constraints whose answer a record may change, being of what it finds; and of fields."""
        by = _found_by(record.phase, record.target)
        if by not in self._constraints_by:
            self._constraints_by[by] = [
                constraint
                for constraint in self.constraints
                if not constraint.quantities
                or any(by == _where(name) for name in constraint.quantities)
            ]
        return self._constraints_by[by]

    def _settle(self, trial: Trial) -> None:
        """Take note of how a trial stands: ended, complete, or neither."""
        if trial.ended is not None:
            self.promised.pop(trial.label, None)
            self._end(trial)
        elif self.objectives and trial.label not in self._complete_labels:
            trained = trial.budget >= self.full_budget
            vector = trial.vector(self.objectives) if trained else None
            if vector is not None:
                self._complete_labels.add(trial.label)
                self.complete.append(trial)
                self.vectors.append(vector)
                if not self._front_waits:
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
                self._find_front()

    def _find_front(self) -> None:
        self.front = Front.of([trial.label for trial in self.complete], self.points())

    def _came_to_its_end(self, trial: Trial, how: tuple[float, ...] | Status) -> None:
        if trial.label not in self._through:
            self._through.add(trial.label)
            self.course.append(how)

    def take_all(self, records: Iterable[tuple[int, Record]]) -> "History":
        """Add what a store holds; of a search, without records that belong to no candidate."""
        with self._many():
            for _, record in records:
                if self._is_of(record.label):
                    self._take(record)
        return self

    def take_store(self, store: Store) -> "History":
        """The same of a whole store, whose every line is verified; architectures are read when
        somebody asks for them."""
        if not store.has_checksums:  # whether each can be read is not known before
            return self.take_all(store.records())
        with self._many():
            for outline in store.outlines(self._is_of):
                self._take(outline)
        return self

    def _is_of(self, label: str) -> bool:
        """Whether records of this label belong to a candidate of a search, or it is none."""
        return label.isdigit() or not self.objectives

    @contextlib.contextmanager
    def _many(self) -> Iterator[None]:
        """While many records are taken."""
        collects = gc.isenabled()
        gc.disable()  # all that is made here stays: looking through it takes a fifth of the time
        self._front_waits = True
        try:
            yield
        finally:
            self._front_waits = False
            if collects:
                gc.enable()
        if self.objectives:
            self._find_front()

    def await_again(self, set_aside: Iterable[tuple[int, Record]]) -> "History":
        """Know candidates of which every record was set aside: they are under way again."""
        for _, record in set_aside:
            if record.label.isdigit() and record.label not in self.trials:
                self._begun(record)
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


def _found_by(phase: str, target: str) -> _Found:
    """How a phase finds what it finds: trainings share a budget, a speed is of its target."""
    found = PHASES.get(phase)
    return found.trains, target if found.per_target else ""


def _where(name: str) -> _Found:
    """The same of a quantity by its resolved name."""
    return _found_by(phase_of(name), quantity_and_target(name)[1])
