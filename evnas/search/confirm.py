"""The final front measured and trained again with more seeds, before anybody prints it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from evnas.arch.spec import ArchSpec
from evnas.phases.base import Need
from evnas.record import Record
from evnas.search.driver import Ask
from evnas.search.state.history import History
from evnas.stats.pareto import Front
from evnas.sweep.candidate import Candidate
from evnas.tables import phases


@dataclass(slots=True)
class Confirm:
    """An agenda that is over when every member of the front has `seeds` seeds: what is found may
    move others up to the front."""

    history: History
    seeds: int
    full_budget: float
    over: str = "the front is confirmed"
    _asked: set[tuple[str, str, Need]] = field(default_factory=set)
    """What is under way, as (label, phase, need)."""

    @property
    def under_way(self) -> int:
        """Pieces of work that were asked for and have not come back."""
        return len(self._asked)

    def next(self, free: int, wall_s: float) -> list[Ask]:
        """What the present front still lacks; of one front all, before the next is looked at."""
        found: list[Ask] = []
        for ask in self.missing():
            key = (ask.label, ask.phase, ask.need)
            if len(found) < free and key not in self._asked:
                self._asked.add(key)
                found.append(ask)
        return found

    def take(self, record: Record) -> Record:
        """Judge a record by the constraints, learn from it, and give back what is to be stored."""
        need = Need(seed=record.seed, budget=record.budget, target=record.target)
        self._asked.discard((record.label, record.phase, need))
        return self.history.take(record)

    def missing(self) -> Iterator[Ask]:
        """What the present front still lacks."""
        for label in final_front(self.history):
            trial = self.history.trials[label]
            candidate = Candidate(label=label, arch=ArchSpec.from_dict(trial.arch), published="")
            for seed in range(1, self.seeds):
                for phase in phases():
                    for need in phase.again(list(trial.speed), seed, self.full_budget):
                        done = (phase.name, need.seed, need.budget, need.target) in trial.done
                        if not done:
                            yield Ask(
                                candidate=candidate,
                                phase=phase.name,
                                need=need,
                                origin=trial.origin,
                            )


def final_front(history: History) -> list[str]:
    """Labels on the front of what is known now, all seeds and measurements in."""
    front = Front(len(history.objectives))
    for trial in history.complete:
        vector = trial.vector(history.objectives)
        if vector is not None:
            front.add(trial.label, vector)
    order = sorted(range(len(front.labels)), key=lambda i: tuple(front.points[i]))
    return [front.labels[i] for i in order]
