"""The final front measured and trained again with more seeds, before anybody prints it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from evnas.pareto import Front
from evnas.search.engine import Engine
from evnas.search.history import History
from evnas.search.loop import TICK_S, Ask, MakeWork
from evnas.search.work import Event, Finished
from evnas.space.arch import ArchSpec
from evnas.store import Store


@dataclass(slots=True)
class Confirm:
    """Repeats until every member of the front has `seeds` seeds: new ones may move up to it."""

    history: History
    seeds: int
    full_budget: float

    def run(
        self,
        store: Store,
        engine: Engine,
        *,
        make_work: MakeWork,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """Measure and train what is missing; each result is stored as any other."""
        while asks := list(self.missing()):
            running = 0
            while asks or running:
                while asks and running < engine.slots:
                    engine.submit(make_work(asks.pop(0)))
                    running += 1
                for event in engine.wait(TICK_S):
                    if isinstance(event, Finished):
                        event = replace(event, record=self.history.judged(event.record))
                        self.history.take(event.record)
                        store.append(event.record)
                        running -= 1
                    on_event(event)

    def missing(self) -> Iterator[Ask]:
        """What the present front still lacks."""
        for label in final_front(self.history):
            trial = self.history.trials[label]
            for seed in range(1, self.seeds):
                phases = [("speed", 0.0, target) for target in trial.speed]
                phases += [("proxy", self.full_budget, "")] if self.full_budget else []
                for phase, budget, target in phases:
                    if (phase, seed, budget, target) not in trial.done:
                        yield Ask(
                            label=label,
                            arch=ArchSpec.from_dict(trial.arch),
                            phase=phase,  # type: ignore[arg-type] # a literal of Phase
                            seed=seed,
                            budget=budget,
                            target=target,
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
