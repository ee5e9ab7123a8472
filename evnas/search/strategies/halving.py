"""`mo_asha`: successive halving over trainings of growing length, by non-dominated sorting.

After ASHA (Li et al., arXiv 1810.05934) and its multi-objective form (Schmucker et al., arXiv
2106.12639). The lowest rung is counting and measured speed alone: what breaks a constraint, or
what a model of the accuracies so far says to be dominated, never trains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.search.propose import Proposal, Sieve, Strategy, Taken, generator
from evnas.search.state.history import History
from evnas.search.state.objectives import is_trained
from evnas.search.state.trial import Trial
from evnas.search.strategies.evolution import BreedingSpec, Evolution, best_first
from evnas.search.strategies.first import after
from evnas.search.strategies.surrogate import MOST, Array, Surrogate, fit, sign_of
from evnas.search.strategies.warm import seeds
from evnas.space.space import SearchSpace
from evnas.stats.pareto import Points

WINDOW = 400
"""The newest trials, among which a rung is sorted: older ones had their chance."""


class HalvingSpec(BreedingSpec):
    """Successive halving over trainings of growing length."""

    kind: Literal["mo_asha"] = "mo_asha"
    eta: int = Field(default=3, ge=2, le=1000)
    """One in `eta` is promoted."""
    rungs: tuple[float, ...] = ()
    """Image presentations of each rung, ascending; () derives them from the proxy."""

    needs_training = True

    @field_validator("rungs")
    @classmethod
    def _ascending(cls, rungs: tuple[float, ...]) -> tuple[float, ...]:
        if any(r <= 0 for r in rungs) or list(rungs) != sorted(set(rungs)):
            raise ValueError(f"rungs must be ascending and over 0, got {list(rungs)}")
        return rungs

    def rungs_of(self, full_budget: float) -> tuple[float, ...]:
        """As given, else the whole proxy and what promoting one in `eta` leaves of it, twice."""
        if not self.rungs:
            return (full_budget / self.eta**2, full_budget / self.eta, full_budget)
        if full_budget and self.rungs[-1] != full_budget:
            raise SpecError(
                f"the last rung must be the whole proxy, {full_budget:g} presentations, "
                f"got {self.rungs[-1]:g}",
                "strategy.rungs",
            )
        return self.rungs

    def least_trials(self, full_budget: float) -> int:
        """Each rung, speed alone being the lowest, passes one in `eta` on."""
        return int(self.eta ** len(self.rungs_of(full_budget)))

    def strategy(
        self, space: SearchSpace, *, warm: Sequence[tuple[str, ArchSpec]], full_budget: float
    ) -> Strategy:
        """Warm starts and the catalogue's members begin untrained, as all do."""
        rungs = self.rungs_of(full_budget)
        halving = Halving(breeder=self.breeder(space), rungs=rungs, eta=self.eta)
        return after([*warm, *seeds(space)], halving, budget=0.0)


@dataclass(slots=True, kw_only=True)
class Halving(Strategy):
    """Rung 0 is speed; rung k trains for `rungs[k - 1]` image presentations."""

    breeder: Evolution
    rungs: Sequence[float]
    eta: int = 3

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Promotions first, from the top rung down; then new candidates for rung 0."""
        found: list[Proposal] = []
        model = self._accuracy(history)
        aims = dict(history.promised)
        fresh = 0
        while len(found) < n:
            up = self._promotion(history, aims, model)
            if up is not None:
                aims[up.label] = up.budget or 0.0
                found.append(up)
                continue
            new = self._newcomer(history, fresh, model=model, beside={p.digest for p in found})
            if new is None:
                break
            fresh += 1
            found.append(new)
        return found

    def promote(self, history: History) -> Proposal | None:
        """The promotion that is due, if one is."""
        return self._promotion(history, history.promised, self._accuracy(history))

    def sifted(self, sieve: Sieve) -> Strategy:
        """The same, whose newcomers are sifted; what it promotes was measured."""
        return replace(self, breeder=self.breeder.sifted(sieve))

    def _promotion(
        self, history: History, aims: Mapping[str, float], model: Surrogate | None
    ) -> Proposal | None:
        """`aims`: the budget of trainings under way; they hold their place on that rung."""
        known = [t for t in _newest(history) if self._is_known(t, history)]
        heights = [self._height(t.budget) for t in known]
        aimed = {t.label: self._height(max(t.budget, aims.get(t.label, 0))) for t in known}
        for rung in reversed(range(len(self.rungs))):
            here = [t for t, height in zip(known, heights, strict=True) if height >= rung]
            risen = {t.label for t in here if aimed[t.label] > rung}
            if len(risen) >= len(here) // self.eta:
                continue
            order = best_first(self._vectors(here, history, rung, model=model))
            for i in order[: max(1, len(here) // self.eta)]:
                if here[i].label not in risen:
                    return Proposal(
                        arch=ArchSpec.from_dict(here[i].arch),
                        origin=here[i].origin,
                        label=here[i].label,
                        budget=self.rungs[rung],
                    )
        return None

    def _height(self, budget: float) -> int:
        return sum(budget >= rung for rung in self.rungs)

    def _is_known(self, trial: Trial, history: History) -> bool:
        """Whether a trial has what the lowest rung is sorted by."""
        return trial.ended is None and all(
            trial.value(o.metric) is not None
            for o in history.objectives
            if not is_trained(o.metric)
        )

    def _vectors(
        self, trials: Sequence[Trial], history: History, rung: int, *, model: Surrogate | None
    ) -> Points:
        """Objectives as known at a rung; on rung 0 the accuracy is the model's, hopefully."""
        columns = []
        for objective in history.objectives:
            sign = -1.0 if objective.goal == "max" else 1.0
            if not is_trained(objective.metric):
                column = [sign * (t.value(objective.metric) or 0.0) for t in trials]
            elif rung == 0:
                column = self._hoped(trials, model).tolist()
            else:
                column = [
                    sign * self._at(t, self.rungs[rung - 1], objective.metric) for t in trials
                ]
            columns.append(column)
        return np.asarray(columns).T

    def _at(self, trial: Trial, budget: float, metric: str) -> float:
        seeds = trial.trained.get(budget, {})
        values = [v[metric] for v in seeds.values() if metric in v]
        return sum(values) / len(values) if values else float(trial.value(metric) or 0.0)

    def _hoped(self, trials: Sequence[Trial], model: Surrogate | None) -> Array:
        """Accuracy to be minimised: the model's mean less a standard deviation; size at first."""
        x = np.stack([self.breeder.known(t)[1] for t in trials])
        if model is None:
            return -x[:, -3]
        mean, sd = model.predict(model.gaps(x))
        return model.back(mean - sd)

    def _accuracy(self, history: History) -> Surrogate | None:
        """A model of the trained objective, each trial at its rung, less that rung's mean."""
        names = [o for o in history.objectives if is_trained(o.metric)]
        trained = [t for t in _newest(history) if t.trained and t.ended is None][-MOST:]
        if not names or len(trained) < 8:
            return None
        sign = -1.0 if names[0].goal == "max" else 1.0
        lowest = self.rungs[0]
        y = np.asarray([sign * self._at(t, lowest, names[0].metric) for t in trained])
        x = np.stack([self.breeder.known(t)[1] for t in trained])
        return fit(x, [y], signs=[sign_of(y)])[0]

    def _newcomer(
        self, history: History, offset: int, *, model: Surrogate | None, beside: set[str]
    ) -> Proposal | None:
        rng = generator(self.breeder.seed, history.next_number + offset)
        taken = Taken(history.digests, beside)
        if len(history.complete) >= 4 and rng.random() < 0.7:
            child = self.breeder.child(history, taken, rng, models=self.breeder.models(history))
            return child and replace(child, budget=0.0)
        new = self.breeder.newcomer(history, taken, rng)
        return new and replace(new, budget=0.0)


def _newest(history: History) -> list[Trial]:
    return list(history.trials.values())[-WINDOW:]
