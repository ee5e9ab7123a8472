"""`tpe`, `nsga2`, `nsga3`, `gp`: Optuna's samplers by ask, rebuilt from the records.

`tpe` models each axis by itself and the axes of a branch together in turn.

An Optuna study is kept in memory as a cache of the history and gains each complete trial once;
nothing is ever read back from it. What a sampler asks for is repaired into the space, and the
sampler is given the point that was evaluated. These samplers do not know branches (NSGA and GP
draw at random where a knob is conditional): `evolution` does.
"""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna

from evnas.search.propose import Proposal, Strategy, Taken, generator
from evnas.search.state.history import History
from evnas.search.strategies.drawing import fresh_sample
from evnas.search.strategies.optuna_study import (
    Distributions,
    frozen_trial,
    new_study,
    samples_for_sampler,
)
from evnas.space.mutation import repair, repair_near
from evnas.space.space import Point, SearchSpace
from evnas.stats.pareto import best

GENETIC = {"nsga2": "NSGAIISampler", "nsga3": "NSGAIIISampler"}
MOST_ASKS = 8
MOST_TOLD = 320
"""Trials that `tpe` and `gp` are given: both look at each again for every axis they propose."""
BLOCK = 64
"""Which ones is chosen again after so many."""
MOST_BRED = 5000
"""Complete trials of which `nsga2` and `nsga3` are given each; of more, they are given the best of
all as their first generation, and those that came since. Going on with 100,000 trials would take
them 9 s before the first proposal."""
GENERATIONS = 50
"""Which ones are the best of all is settled again after so many."""


@dataclass(slots=True, kw_only=True)
class OptunaAsk(Strategy):
    """See the module."""

    space: SearchSpace
    seed: int
    sampler: str
    """`tpe`, `nsga2`, `nsga3` or `gp`."""
    population: int = 40
    startup: int = 24
    _study: optuna.Study | None = field(default=None, repr=False)
    _told: list[int] = field(default_factory=list, repr=False)
    """The study's trials, by their places among the complete ones."""
    _frozen: dict[int, optuna.trial.FrozenTrial] = field(default_factory=dict, repr=False)
    """The same as Optuna has them, while trials may be given again."""
    _chosen: tuple[int, list[int]] = (0, [])
    """Of so many complete trials, the places of those that are given."""
    _common: list[Distributions] | None = None
    """Of a genetic one the axes that every given trial has."""
    _groups: list[Distributions] = field(default_factory=list)
    """Of `tpe` the axes in groups: of each the given trials have all or none."""
    _settled: int = 0
    """Generations whose parents are chosen."""

    def propose(self, history: History, n: int) -> list[Proposal]:
        """`n` proposals; what was proposed before is replaced by a random one."""
        study = self._brought_up(history)
        taken = Taken(history.digests)
        found: list[Proposal] = []
        for i in range(n):
            number = history.next_number + i
            rng = generator(self.seed, number)
            proposal = None
            together = self.sampler == "tpe" and number % 2 == 0
            sampler = self._sampler(rng.getrandbits(31), together=together)
            spaces = self._groups if together else self._common
            study.sampler = sampler if spaces is None else _WithSpaces(sampler, spaces)
            for _ in range(MOST_ASKS):
                with _one_thread() if self.sampler == "gp" else contextlib.nullcontext():
                    asked = self._asked(study)
                # a walk at random moves several axes, and TPE would learn from those
                mended = repair_near if self.sampler == "tpe" else repair
                _, arch = mended(self.space, asked, rng)
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
            taken.add(proposal.digest)
            found.append(proposal)
        return found

    def _brought_up(self, history: History) -> optuna.Study:
        places = self._places(history)
        if self._study is None or places[: len(self._told)] != self._told:
            self._study, self._told = new_study(len(history.objectives)), []
            self._common, self._groups, self._settled = None, [], 0
        fresh = enumerate(places[len(self._told) :], start=len(self._told))
        trials = {i: self._frozen.get(i) or self._trial(history, i, at) for at, i in fresh}
        self._study.add_trials(trials.values())
        self._told = places
        if self.sampler in GENETIC:
            for trial in trials.values():
                self._common = [_shared(self._common, trial.distributions)]
            self._settle_parents(self._study)
        else:
            for trial in trials.values():
                self._groups = _split(self._groups, trial.distributions)
            self._frozen = {i: trials.get(i) or self._frozen[i] for i in places}
        return self._study

    def _places(self, history: History) -> list[int]:
        """Which complete trials the sampler is given: a function of the history alone."""
        count, genetic = len(history.complete), self.sampler in GENETIC
        if count <= (MOST_BRED if genetic else MOST_TOLD):
            return list(range(count))
        size = GENERATIONS * self.population if genetic else BLOCK
        block = count // size * size
        if self._chosen[0] != block:
            before = history.points()[:block]
            chosen = (
                best(before, self.population)
                if genetic
                else samples_for_sampler(before, MOST_TOLD - BLOCK)
            )
            self._chosen = (block, chosen)
        return [*self._chosen[1], *range(block, count)]

    def _trial(self, history: History, i: int, at: int) -> optuna.trial.FrozenTrial:
        """Complete trial `i` as the study's trial `at`."""
        attributes: dict[str, Any] = {}
        if self.sampler in GENETIC:
            # a serial NSGA run gives each complete trial just this generation
            attributes[f"{GENETIC[self.sampler]}:generation"] = at // self.population
        return frozen_trial(
            self.space, history.complete[i].arch, history.vectors[i], attributes=attributes
        )

    def _settle_parents(self, study: optuna.Study) -> None:
        """Select each generation's parents with a seed of the generation's own.

        NSGA-III selects at random, once a generation, and Optuna keeps the choice in the study:
        a rebuilt study has to choose the same whichever trial asks first.
        """
        last = len(self._told) // self.population
        for generation in range(self._settled + 1, last + 1):
            sampler = self._sampler(generator(self.seed, -generation).getrandbits(31))
            assert isinstance(sampler, optuna.samplers.BaseGASampler)
            sampler.get_parent_population(study, generation)
        self._settled = max(self._settled, last)

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
        study.tell(trial, state=optuna.trial.TrialState.FAIL)  # the evaluated point is given later
        return point

    def _sampler(self, seed: int, *, together: bool = False) -> optuna.samplers.BaseSampler:
        """A sampler as new, so that a proposal hangs on its number alone.

        Args:
            seed: of its draws.
            together: of `tpe`, whether the axes of a branch are modelled together. Each axis by
                itself finds values that are good anywhere, together they find what must go
                together; in turn they reach more than either (docs/guide/search.md).
        """
        with warnings.catch_warnings():  # settings and signatures are said to be experimental
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if self.sampler == "tpe":
                return optuna.samplers.TPESampler(
                    n_startup_trials=self.startup, seed=seed, multivariate=together
                )
            if self.sampler == "gp":
                return optuna.samplers.GPSampler(
                    n_startup_trials=self.startup,
                    seed=seed,
                    warn_independent_sampling=False,  # the module's docstring says it, once
                )
            if self.sampler == "nsga2":
                return optuna.samplers.NSGAIISampler(population_size=self.population, seed=seed)
            return optuna.samplers.NSGAIIISampler(population_size=self.population, seed=seed)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Torch keeps to the thread that asks.

    The Gaussian process works in thousands of small steps. With a thread per core each of them
    waits for all threads, 9 times the CPU time and as many minutes on a busy machine, taken from
    what the workers measure; and their number would show in the last bits of what is proposed.
    """
    import torch  # Optuna's process needs it too; the other samplers do without

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _shared(known: Sequence[Distributions] | None, here: Distributions) -> Distributions:
    if known is None:
        return here
    (before,) = known
    return before if before.keys() <= here.keys() else {k: before[k] for k in before if k in here}


def _split(groups: list[Distributions], here: Distributions) -> list[Distributions]:
    """Groups of axes such that `here` too has of each all or none (`group` of Optuna's
    TPESampler, in its order)."""
    found = []
    for group in groups:
        found.append({k: group[k] for k in group if k in here})
        found.append({k: group[k] for k in group if k not in here})
        here = {k: here[k] for k in here if k not in group}
    return [group for group in [*found, here] if group]


class _WithSpaces(optuna.samplers.BaseSampler):
    """A sampler that is given which axes it models together, in place of finding that out from
    all trials each time."""

    def __init__(
        self, inner: optuna.samplers.BaseSampler, spaces: Sequence[Distributions]
    ) -> None:
        self._inner = inner
        several = [
            {k: space[k] for k in sorted(space) if not space[k].single()} for space in spaces
        ]
        self._spaces = [space for space in several if space]

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> Distributions:
        return {name: axis for space in self._spaces for name, axis in space.items()}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: Distributions,
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for space in self._spaces:
            found |= self._inner.sample_relative(study, trial, space)
        return found

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: optuna.distributions.BaseDistribution,
    ) -> Any:
        return self._inner.sample_independent(study, trial, param_name, param_distribution)
