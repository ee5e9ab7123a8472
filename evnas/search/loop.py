"""The search itself: ask the strategy, run phases, append records, until the budget is spent.

It decides what is next from the history alone, so a search that was killed goes on where it was.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from evnas.errors import SpecError
from evnas.record import Phase, Record
from evnas.search.budget import Meter
from evnas.search.engine import Engine
from evnas.search.history import History
from evnas.search.propose import Promotes, Proposal, Strategy
from evnas.search.trial import Trial
from evnas.search.work import Event, Finished, Work
from evnas.space.arch import ArchSpec
from evnas.space.expressions import Expression
from evnas.space.search_spec import BudgetSpec
from evnas.store import Store

TICK_S = 0.25
HOPELESS = 200
"""So many candidates in a row that break a constraint, none ever having met them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One phase of one candidate that is to be done."""

    label: str
    arch: ArchSpec
    phase: Phase
    seed: int = 0
    budget: float = 0.0
    target: str = ""
    origin: str = ""


class MakeWork(Protocol):
    """Turns what is asked into work for an engine."""

    def __call__(self, ask: Ask) -> Work:
        """Work whose key is that of `ask`."""
        ...


@dataclass(slots=True)
class _Goal:
    """What a candidate under way is to reach."""

    arch: ArchSpec
    origin: str
    seeds: tuple[int, ...]
    budget: float


@dataclass(slots=True, kw_only=True)
class Search:
    """What is next, given what was found. Holds no state that the store does not give back."""

    history: History
    strategy: Strategy
    constraints: Sequence[Expression]
    targets: Sequence[str]
    budget: BudgetSpec
    first_budget: float
    """Presentations a new candidate trains for: the whole proxy, or 0 with `mo_asha`."""
    seeds: tuple[int, ...] = (0,)
    scores: bool = False
    """Whether candidates are scored without training, before they are measured."""
    over: str = ""
    """Why the search has ended; "" while it goes on."""
    goals: dict[str, _Goal] = field(default_factory=dict)
    running: dict[str, Ask] = field(default_factory=dict)
    _meter: Meter = field(init=False)
    _in_vain: int = 0

    def __post_init__(self) -> None:
        self._meter = Meter(self.budget)

    def resume(self, restart: Callable[[Trial], bool] = lambda trial: True) -> None:
        """Go on with trials whose phases a kill cut short."""
        for trial in self.history.trials.values():
            goal = _Goal(
                ArchSpec.from_dict(trial.arch), trial.origin, self.seeds, self.first_budget
            )
            if trial.ended is None and restart(trial) and self._next_of(trial.label, goal):
                self.goals[trial.label] = goal

    def next(self, free: int, wall_s: float) -> list[Ask]:
        """Up to `free` phases to start now."""
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
            elif not (self.over or full) and self.all_in_vain():
                raise self.hopeless()
            else:
                self.over = self.over or full or "the strategy has nothing more to propose"
        return found

    def _proposal(self, *, new: bool) -> Proposal | None:
        """The strategy's next; without `new` only what goes on with a known candidate."""
        if new:
            return next(iter(self.strategy.propose(self.history, 1)), None)
        return self.strategy.promote(self.history) if isinstance(self.strategy, Promotes) else None

    def _begin(self, proposal: Proposal) -> list[Ask]:
        label = proposal.label or str(self.history.next_number)
        whole = self.history.full_budget
        budget = whole if proposal.budget is None else proposal.budget
        if label in self.goals:
            raise ValueError(f"trial {label} is under way already")
        self.goals[label] = _Goal(proposal.arch, proposal.origin, proposal.seeds, budget)
        self.history.begin(label, proposal.arch.digest)
        if proposal.label:
            self.history.promise(label, budget)
        return self._start(label)

    def _start(self, label: str) -> list[Ask]:
        ask = self._next_of(label, self.goals[label])
        if ask is None:
            del self.goals[label]
            return []
        self.running[label] = ask
        return [ask]

    def _next_of(self, label: str, goal: _Goal) -> Ask | None:
        trial = self.history.trials.get(label)
        done = set() if trial is None else trial.done
        for phase, seed, budget, target in self._phases(goal):
            if (phase, seed, budget, target) not in done:
                return Ask(
                    label=label,
                    arch=goal.arch,
                    phase=phase,
                    seed=seed,
                    budget=budget,
                    target=target,
                    origin=goal.origin,
                )
        return None

    def _phases(self, goal: _Goal) -> Iterator[tuple[Phase, int, float, str]]:
        yield "count", 0, 0.0, ""
        if self.scores:
            yield "score", 0, 0.0, ""
        for target in self.targets:
            yield "speed", 0, 0.0, target
        if goal.budget:
            for seed in goal.seeds:
                yield "proxy", seed, goal.budget, ""

    def take(self, record: Record) -> Record:
        """Judge a record by the constraints, learn from it, and give back what is to be stored."""
        del self.running[record.label]
        record = self.history.judged(record)
        trial = self.history.learn(record)
        broken = self._broken(trial) if record.status == "complete" else ""
        if broken:
            record = replace(record, status="infeasible", error=broken)
            trial.ended, trial.reason = "infeasible", broken
        self.history.settle(trial)  # judged first: what breaks a constraint is on no front
        if trial.ended is not None:
            self.goals.pop(record.label, None)
        self._count_in_vain(trial)
        return record

    def _broken(self, trial: Trial) -> str:
        """The first constraint that what is known so far breaks, with the values, or ""."""
        known = trial.quantities()
        for constraint in self.constraints:
            if constraint.holds(trial.arch, known) is False:
                values = ", ".join(f"{q} is {known[q]:.6g}" for q in sorted(constraint.quantities))
                return f"{constraint.text}: {values}" if values else constraint.text
        return ""

    def _count_in_vain(self, trial: Trial) -> None:
        if self.history.complete:
            self._in_vain = -1
        if self._in_vain >= 0 and trial.ended == "infeasible":
            self._in_vain += 1
            if self._in_vain >= HOPELESS:
                raise self.hopeless()

    def all_in_vain(self) -> bool:
        """Whether there were candidates, and each broke a constraint."""
        trials = self.history.trials.values()
        return bool(trials) and all(t.ended == "infeasible" for t in trials)

    def hopeless(self) -> SpecError:
        """That no candidate met all constraints, at the one that the last of them broke."""
        ended = [t for t in self.history.trials.values() if t.ended == "infeasible"]
        reason = ended[-1].reason
        path = next((c.path for c in self.constraints if reason.startswith(c.text)), "constraints")
        return SpecError(
            f"{len(ended)} candidates and none met all of them; the last broke {reason}", path
        )


def run_search(
    search: Search,
    store: Store,
    engine: Engine,
    *,
    make_work: MakeWork,
    on_event: Callable[[Event], None] = lambda event: None,
    wall_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Run a search to its end; every record is stored before anything follows from it.

    Args:
        wall_s: what earlier runs of the study took.

    Returns:
        Why it ended.

    Raises:
        SpecError: nothing feasible turns up.
    """
    began = clock()
    search.resume()
    while True:
        free = engine.slots - len(search.running)
        for ask in search.next(free, wall_s + clock() - began) if free else []:
            engine.submit(make_work(ask))
        if not search.running:
            return search.over
        for event in engine.wait(TICK_S):
            if isinstance(event, Finished):
                event = replace(event, record=_kept(search, store, event.record))
            on_event(event)


def _kept(search: Search, store: Store, record: Record) -> Record:
    judged = search.take(record)
    store.append(judged)
    return judged
