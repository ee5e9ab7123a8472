"""The one loop: what is next, given what was found; run it, store it, until nothing is left.

Rows of an ablation, candidates of a search and seeds of a confirmation come through here. What
is next follows from the history alone, so whatever was killed goes on where it was.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.phases.base import Goal, Need, Setting
from evnas.phases.work import Event, Finished, Work
from evnas.record import Record
from evnas.search.budget import HOPELESS, Meter
from evnas.search.engines.base import Engine
from evnas.search.limits import limits_of
from evnas.search.propose import Proposal, Strategy
from evnas.search.screening import Screen, ScreenedOut
from evnas.search.setting import needs_of
from evnas.search.state.history import History
from evnas.search.state.trial import What
from evnas.store import Store
from evnas.sweep.candidate import Candidate
from evnas.sweep.parts import FAILED_ALIKE
from evnas.sweep.search_spec import BudgetSpec
from evnas.tables import PHASES, phase_order, phases
from evnas.words import counted

TICK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One phase of one candidate that is to be done."""

    candidate: Candidate
    phase: str
    need: Need = Need()  # noqa: RUF009, frozen
    origin: str = ""
    limits: tuple[Mapping[str, Any], ...] = ()
    """Fields of the `Limit`s beyond which it need not be measured further."""
    screened_out: ScreenedOut | None = None
    """Why it need not be measured at all."""

    @property
    def label(self) -> str:
        """The candidate's."""
        return self.candidate.label


class MakeWork(Protocol):
    """Turns what is asked into work for an engine."""

    def __call__(self, ask: Ask) -> Work:
        """Work whose key is that of `ask`."""
        ...


class Agenda(Protocol):
    """Says what is next, and hears what was found."""

    @property
    def under_way(self) -> int:
        """Pieces of work that were asked for and have not come back."""

    @property
    def over(self) -> str:
        """Why there is nothing more, once nothing is under way."""

    def next(self, free: int, wall_s: float) -> list[Ask]:
        """Up to `free` phases to start now."""

    def take(self, record: Record) -> Record:
        """Learn from a record, and give back what is to be stored."""


@dataclass(slots=True)
class _UnderWay:
    """A candidate and what it is to reach."""

    candidate: Candidate
    origin: str
    goal: Goal


@dataclass(slots=True, kw_only=True)
class Schedule:
    """What is next, given what was found. Holds no state that the store does not give back."""

    history: History
    strategy: Strategy
    setting: Setting
    budget: BudgetSpec | None = None
    """When a search ends; a list of rows ends with its last."""
    first_budget: float = 0.0
    """Presentations a new candidate trains for: the whole proxy, or 0 where rungs come first."""
    seeds: tuple[int, ...] = (0,)
    screen: Screen | None = None
    """Whose predictions may stand in the place of a measurement."""
    stop_after: int | None = FAILED_ALIKE
    """So many first trials that all fail for one reason are enough; None goes on."""
    over: str = ""
    """Why it has ended; "" while it goes on."""
    goals: dict[str, _UnderWay] = field(default_factory=dict)
    running: dict[str, Ask] = field(default_factory=dict)
    _meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        self._meter = Meter(self.budget)

    @property
    def under_way(self) -> int:
        """Pieces of work that were asked for and have not come back."""
        return len(self.running)

    def resume(self) -> None:
        """Go on with trials whose phases a kill cut short."""
        needed: dict[Goal, frozenset[What] | None] = {}
        for trial in () if self.strategy.by_phase else self.history.trials.values():
            if trial.ended is not None:
                continue
            again = Proposal(
                arch=None,
                origin=trial.origin,
                label=trial.label,
                budget=self.first_budget,
                seeds=self.seeds,
            )
            goal = self._goal(again)
            if goal not in needed:
                needed[goal] = self._needed_of_all(goal)
            what = needed[goal]
            if what is None or not what <= trial.done:
                self._aim(replace(again, arch=ArchSpec.from_dict(trial.arch)))

    def _needed_of_all(self, goal: Goal) -> frozenset[What] | None:
        """What takes any candidate to a goal; None where a phase may want to see the candidate.

        Mostly it is done, and no architecture has to be read to know that.
        """
        if not all(phase.needs_alike for phase in phases()):
            return None
        nobody = Candidate(label="", arch=None, published="")
        return frozenset(
            (phase, need.seed, need.budget, need.target)
            for phase, need in needs_of(self.setting, nobody, goal)
        )

    def next(self, free: int, wall_s: float) -> list[Ask]:
        """Up to `free` phases to start now.

        Raises:
            SpecError: all candidates break constraints, or fail for one reason.
        """
        if self.stop_after and (reason := self.history.failed_alike(self.stop_after)):
            raise SpecError(
                f"the first {counted(self.stop_after, 'trial')} must not all fail; each did, for "
                f"one reason: {reason}; mend it, and go on with --retry failed,lost"
            )
        if self.strategy.by_phase:
            return self._next_by_phase(free)
        if len(self.history.course) >= HOPELESS and self.history.all_in_vain:
            raise self.hopeless()
        found: list[Ask] = []
        for label in sorted(self.goals, key=int):
            if len(found) < free and label not in self.running:
                found += self._start(label)
        while len(found) < free and not self.over:
            self.over = self._meter.spent(self.history, wall_s)
            full = self._meter.full(self.history)
            proposal = None if self.over else self._proposal(new=not full)
            if proposal is not None:
                found += self._begin(proposal)
            elif self.running or found:  # what is under way may give it something to say
                break
            elif not (self.over or full) and self.history.all_in_vain:
                raise self.hopeless()
            else:
                self.over = self.over or full or "the strategy has nothing more to propose"
        return found

    def extend(self, budget: BudgetSpec) -> None:
        """Go on under another budget."""
        self.budget, self._meter, self.over = budget, Meter(budget), ""

    def outlook(self) -> dict[str, tuple[int, int]]:
        """Phase -> (pieces of work in all, done), of the rows of an ablation."""
        found: dict[str, tuple[int, int]] = {}
        counted: set[object] = set()
        for at in self.goals.values():
            for phase, need in needs_of(self.setting, at.candidate, at.goal):
                key = self._key(at.candidate, phase, need)
                if key not in counted:
                    counted.add(key)
                    total, done = found.get(phase, (0, 0))
                    found[phase] = total + 1, done + self._is_done(at.candidate, phase, need)
        return found

    def aim_at_all(self) -> None:
        """Take in every row that there is."""
        for proposal in self.strategy.propose(self.history, len(self.goals) + 1_000_000):
            if proposal.candidate("").label not in self.goals:
                self._aim(proposal)

    def _next_by_phase(self, free: int) -> list[Ask]:
        """The rows' work of the earliest phase that is not through, in the rows' order."""
        self.aim_at_all()
        waiting: list[tuple[int, int, int, Ask]] = []
        order = phase_order()
        phases_under_way = [order.index(ask.phase) for ask in self.running.values()]
        taken = {self._key(a.candidate, a.phase, a.need) for a in self.running.values()}
        for row, at in enumerate(self.goals.values()):
            place: dict[str, int] = {}
            for phase, need in needs_of(self.setting, at.candidate, at.goal):
                place[phase] = place.get(phase, -1) + 1
                key = self._key(at.candidate, phase, need)
                if key not in taken and not self._is_done(at.candidate, phase, need):
                    taken.add(key)
                    ask = Ask(candidate=at.candidate, phase=phase, need=need, origin=at.origin)
                    waiting.append((order.index(phase), place[phase], row, ask))
        waiting.sort(key=lambda found: found[:3])
        first = min([*phases_under_way, *(found[0] for found in waiting)], default=0)
        found: list[Ask] = []
        for phase_at, _, _, ask in waiting:
            if len(found) < free and phase_at == first and ask.label not in self.running:
                self.running[ask.label] = ask
                found.append(ask)
        if not (found or self.running):
            self.over = "all rows are done"
        return found

    def _key(self, candidate: Candidate, phase: str, need: Need) -> tuple[object, ...]:
        """What makes two rows' needs one piece of work."""
        label = "" if PHASES.get(phase).by_digest and self.strategy.by_phase else candidate.label
        return (label, candidate.digest, phase, need)

    def _is_done(self, candidate: Candidate, phase: str, need: Need) -> bool:
        what = (phase, need.seed, need.budget, need.target)
        trial = self.history.trials.get(candidate.label)
        if trial is not None and what in trial.done:
            return True
        shared = self.strategy.by_phase and PHASES.get(phase).by_digest
        return shared and any(
            other.digest == candidate.digest and what in other.done
            for other in self.history.trials.values()
        )

    def _proposal(self, *, new: bool) -> Proposal | None:
        """The strategy's next; without `new` only what goes on with a known candidate."""
        if new:
            return next(iter(self.strategy.propose(self.history, 1)), None)
        return self.strategy.promote(self.history)

    def _aim(self, proposal: Proposal) -> None:
        candidate = proposal.candidate(proposal.label)
        at = _UnderWay(candidate, proposal.origin, self._goal(proposal))
        if self.strategy.by_phase or self._next_of(at) is not None:
            self.goals[candidate.label] = at

    def _begin(self, proposal: Proposal) -> list[Ask]:
        label = proposal.label or str(self.history.next_number)
        if label in self.goals:
            raise ValueError(f"trial {label} is under way already")
        goal = self._goal(proposal)
        self.goals[label] = _UnderWay(proposal.candidate(label), proposal.origin, goal)
        self.history.begin(label, proposal.digest)
        if proposal.label:
            self.history.promise(label, goal.budget)
        return self._start(label)

    def _goal(self, proposal: Proposal) -> Goal:
        whole = self.history.full_budget
        budget = whole if proposal.budget is None else proposal.budget
        parent = self.history.trials.get(proposal.parent)
        digest = "" if parent is None else parent.digest
        return Goal(seeds=proposal.seeds, budget=budget, parent=digest)

    def _start(self, label: str) -> list[Ask]:
        ask = self._next_of(self.goals[label])
        if ask is None:
            del self.goals[label]
            return []
        self.running[label] = ask
        return [ask]

    def _next_of(self, at: _UnderWay) -> Ask | None:
        for phase, need in needs_of(self.setting, at.candidate, at.goal):
            if not self._is_done(at.candidate, phase, need):
                return Ask(
                    candidate=at.candidate,
                    phase=phase,
                    need=need,
                    origin=at.origin,
                    limits=limits_of(self.history, at.candidate.label, need.target),
                    screened_out=self._verdict(at.candidate, need),
                )
        return None

    def _verdict(self, candidate: Candidate, need: Need) -> ScreenedOut | None:
        if self.screen is None or not need.target or need.seed:
            return None
        return self.screen.of_candidate(self.history, candidate.label, need.target)

    def take(self, record: Record) -> Record:
        """Judge a record by the constraints, learn from it, and give back what is to be stored."""
        del self.running[record.label]
        record = self.history.take(record)
        ended = self.history.trials[record.label].ended is not None
        if ended and not self.strategy.by_phase:
            self.goals.pop(record.label, None)
        return record

    def hopeless(self) -> SpecError:
        """That no candidate met all constraints, at the one that the last of them broke."""
        ended = [t for t in self.history.trials.values() if t.ended == "infeasible"]
        reason = ended[-1].reason
        constraints = self.history.constraints
        path = next((c.path for c in constraints if reason.startswith(c.text)), "constraints")
        candidates = counted(len(ended), "candidate")
        return SpecError(f"{candidates} and none met all of them; the last broke {reason}", path)


def drive(
    agenda: Agenda,
    store: Store,
    engine: Engine,
    *,
    make_work: MakeWork,
    on_event: Callable[[Event], None] = lambda event: None,
    on_tick: Callable[[float], None] = lambda wall_s: None,
    is_held: Callable[[], bool] = lambda: False,
    wall_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Run an agenda to its end; every record is stored before anything follows from it.

    Args:
        on_tick: is called again and again with how long all runs have driven by now, in seconds;
            what it raises ends the drive.
        is_held: whether nothing new may begin. What is under way comes to its end; from then on
            no time counts as driven until it may.
        wall_s: how long earlier runs of the study did.

    Returns:
        Why it ended.

    Raises:
        SpecError: nothing feasible turns up.
    """
    began, held_s = clock(), 0.0

    def driven_s() -> float:
        return wall_s + clock() - began - held_s

    def heard(event: Event) -> None:
        if isinstance(event, Finished):
            record = agenda.take(event.record)
            store.append(record)
            event = replace(event, record=record)
        on_event(event)

    while True:
        on_tick(driven_s())
        if is_held():
            since, idle = clock(), not agenda.under_way
            for event in _nothing(TICK_S) if idle else engine.wait(TICK_S):
                heard(event)
            held_s += clock() - since if idle else 0.0
            continue
        free = engine.slots - agenda.under_way
        asks = agenda.next(free, driven_s()) if free > 0 else []
        for ask in asks:
            work = make_work(ask)
            if ask.screened_out is None:
                engine.submit(work)
            else:
                heard(unmeasured(work, ask.screened_out))
        if any(ask.screened_out is not None for ask in asks):
            continue  # their places are free
        if not agenda.under_way:
            on_tick(driven_s())
            if agenda.over:
                return agenda.over
            continue  # it was asked for more at the last moment
        for event in engine.wait(TICK_S):
            heard(event)


def _nothing(seconds: float) -> list[Event]:
    """Nothing happens for a while; an engine without work might not wait."""
    time.sleep(seconds)
    return []


def unmeasured(work: Work, verdict: ScreenedOut) -> Finished:
    """What stands in the place of a measurement."""
    record = work.record(
        verdict.status,
        error=verdict.reason,
        started=time.time(),
        seconds=0.0,
        found={"details": dict(verdict.details)},
    )
    return Finished(work, record)


def expected(schedule: Schedule, each: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Phase -> (pieces of work in all, done), as far as it is known.

    Args:
        each: phase -> pieces of work that a search's candidate has of it.
    """
    if schedule.strategy.by_phase:
        return schedule.outlook()
    history, spec = schedule.history, schedule.budget
    total = (spec.trials if spec is not None else None) or history.next_number
    found = {}
    for phase, n in each.items():
        done = history.tried[phase]
        found[phase] = max(total, done + 1) * n, done * n
    return found
