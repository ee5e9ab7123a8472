"""`tpe`, `nsga2`, `nsga3`, `gp`: Optuna's samplers by ask, rebuilt from the records.

The only file that imports optuna. An Optuna study is kept in memory as a cache of the history and
gains each complete trial once; nothing is ever read back from it. What a sampler asks for is
repaired into the space, and the sampler is told the point that was evaluated. These samplers do
not know branches (NSGA and GP draw at random where a knob is conditional): `evolution` does.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna

from evnas.search.history import History
from evnas.search.propose import Proposal, generator
from evnas.search.strategies.drawing import fresh_sample
from evnas.space.arch import ArchSpec
from evnas.space.axes import Axis
from evnas.space.space import Point, SearchSpace
from evnas.space.vary import repair

Sampler = Literal["tpe", "nsga2", "nsga3", "gp"]
MOST_ASKS = 8


@dataclass(slots=True, kw_only=True)
class OptunaAsk:
    """See the module."""

    space: SearchSpace
    seed: int
    sampler: Sampler
    population: int = 40
    startup: int = 24
    _study: optuna.Study | None = field(default=None, repr=False)
    _told: int = 0
    _settled: int = 0
    """Generations whose parents are chosen."""

    def propose(self, history: History, n: int) -> list[Proposal]:
        """`n` proposals; what was proposed before is replaced by a random one."""
        study = self._brought_up(history)
        taken = set(history.digests)
        found: list[Proposal] = []
        for i in range(n):
            rng = generator(self.seed, history.next_number + i)
            proposal = None
            study.sampler = self._sampler(rng.getrandbits(31))
            for _ in range(MOST_ASKS):
                _, arch = repair(self.space, self._asked(study), rng)
                if arch.digest not in taken:
                    proposal = Proposal(arch=arch, origin=self.sampler)
                    break
            if proposal is None:
                fallback = fresh_sample(self.space, taken, rng)
                if fallback is None:
                    break
                proposal = Proposal(
                    arch=fallback, origin=f"random ({self.sampler} repeats itself)"
                )
            taken.add(proposal.arch.digest)
            found.append(proposal)
        return found

    def _brought_up(self, history: History) -> optuna.Study:
        if self._study is None:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            directions = [optuna.study.StudyDirection.MINIMIZE] * len(history.objectives)
            self._study = optuna.create_study(directions=directions)
        fresh = range(self._told, len(history.complete))
        self._study.add_trials([self._frozen(history, i) for i in fresh])
        self._told = len(history.complete)
        if self.sampler in ("nsga2", "nsga3"):
            self._settle_parents(self._study)
        return self._study

    def _settle_parents(self, study: optuna.Study) -> None:
        """Select each generation's parents with a seed of the generation's own.

        NSGA-III selects at random, once a generation, and Optuna keeps the choice in the study:
        a rebuilt study has to choose the same whichever trial asks first.
        """
        last = self._told // self.population
        for generation in range(self._settled + 1, last + 1):
            sampler = self._sampler(generator(self.seed, -generation).getrandbits(31))
            assert isinstance(sampler, optuna.samplers.BaseGASampler)
            sampler.get_parent_population(study, generation)
        self._settled = max(self._settled, last)

    def _frozen(self, history: History, i: int) -> optuna.trial.FrozenTrial:
        arch = ArchSpec.from_dict(history.complete[i].arch)
        point = self.space.encode(arch)
        point = {} if isinstance(point, str) else point
        axes = [self.space.by_key[key] for key in point]
        generations: Mapping[str, Any] = {}
        if self.sampler in ("nsga2", "nsga3"):
            # a serial NSGA run gives each complete trial just this generation
            name = {"nsga2": "NSGAIISampler", "nsga3": "NSGAIIISampler"}[self.sampler]
            generations = {f"{name}:generation": i // self.population}
        return optuna.trial.create_trial(
            params={a.key: _param(a, point) for a in axes},
            distributions={a.key: _distribution(a) for a in axes},
            values=list(history.vectors[i]),
            system_attrs=dict(generations),
        )

    def _asked(self, study: optuna.Study) -> Point:
        trial = study.ask()
        point: Point = {}
        for axis in self.space.active(point):
            if axis.domain.ordered:
                at = trial.suggest_int(axis.key, 0, len(axis.domain) - 1)
                point[axis.key] = axis.domain.values[at]
            else:
                value = trial.suggest_categorical(axis.key, list(axis.domain.values))
                assert value is not None
                point[axis.key] = value
        study.tell(trial, state=optuna.trial.TrialState.FAIL)  # the evaluated point is told later
        return point

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        if self.sampler == "tpe":
            return optuna.samplers.TPESampler(n_startup_trials=self.startup, seed=seed)
        if self.sampler == "gp":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.samplers.GPSampler(n_startup_trials=self.startup, seed=seed)
        if self.sampler == "nsga2":
            return optuna.samplers.NSGAIISampler(population_size=self.population, seed=seed)
        with warnings.catch_warnings():  # it says that its signature may change
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.NSGAIIISampler(population_size=self.population, seed=seed)


FEWEST_FOR_IMPORTANCE = 20
"""Trials with an axis active, below which nothing is said about it."""


def importances(space: SearchSpace, history: History) -> dict[str, dict[str, float]]:
    """How much each axis moves each objective: objective -> axis -> share, largest first.

    PED-ANOVA among the better half, over the trials in which an axis is active and times their
    share, so that an axis of a rare branch does not outweigh one that every candidate has.
    Empty while there are too few trials.

    Source: Watanabe et al., "PED-ANOVA", IJCAI 2023, in Optuna's implementation; the weighting
    of conditional axes is ours.
    """
    study = OptunaAsk(space=space, seed=0, sampler="tpe")._brought_up(history)
    active = [[t.params[key] for t in study.trials if key in t.params] for key in space.by_key]
    axes = [
        (key, len(values) / len(study.trials))
        for key, values in zip(space.by_key, active, strict=True)
        if len(values) >= FEWEST_FOR_IMPORTANCE and len(set(values)) > 1
    ]
    found: dict[str, dict[str, float]] = {}
    for i, objective in enumerate(history.objectives if axes else ()):
        raw = {key: weight * _moved(study, key, i) for key, weight in axes}
        total = sum(raw.values())
        ranked = sorted(raw.items(), key=lambda item: -item[1])
        found[objective.metric] = {key: value / total if total else 0.0 for key, value in ranked}
    return found


def _moved(study: optuna.Study, key: str, objective: int) -> float:
    def value(trial: optuna.trial.FrozenTrial) -> float:
        return float(trial.values[objective])

    with warnings.catch_warnings():
        # that it may change, and that low values count as good: ours are to be minimised
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="PedAnova", category=UserWarning)
        shares = optuna.importance.get_param_importances(
            study,
            evaluator=optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.5),
            params=[key],
            target=value,
            normalize=False,
        )
    return shares[key]


def _distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    if axis.domain.ordered:
        return optuna.distributions.IntDistribution(0, len(axis.domain) - 1)
    return optuna.distributions.CategoricalDistribution(list(axis.domain.values))


def _param(axis: Axis, point: Point) -> Any:
    value = point[axis.key]
    return axis.domain.index(value) if axis.domain.ordered else value
