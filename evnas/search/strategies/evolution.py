"""`evolution`: typed mutation, crossover by stage and subtree, repair, ageing, screened children.

After Real et al. (regularised evolution, arXiv 1802.01548) for ageing, and NSGA-II (Deb et al.
2002) for ranking by front and crowding. Of the many children made for one proposal a Gaussian
process on the trials so far picks the one with the largest expected gain of hypervolume (Emmerich
et al. 2006), after the most promising have bred a few generations in the model alone.
"""

import itertools
import random
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from evnas.arch.spec import ArchSpec
from evnas.search.propose import Proposal, Sieve, Strategy, Taken, generator
from evnas.search.state.history import History
from evnas.search.state.trial import Trial
from evnas.search.strategies.acquisition import Acquisition
from evnas.search.strategies.drawing import fresh_sample
from evnas.search.strategies.features import Features
from evnas.search.strategies.first import after
from evnas.search.strategies.surrogate import MOST, Array, Surrogate, fit, sign_of
from evnas.search.strategies.warm import seeds
from evnas.space.mutation import crossover, mutate
from evnas.space.space import Point, SearchSpace
from evnas.stats.pareto import Points, crowding, ranks
from evnas.sweep.strategy_spec import StrategySpec

NEWCOMERS = 0.05
"""Share of proposals that stay random, so that no branch dies out for good."""
GENERATIONS = 4
"""Rounds in which the most promising children breed before one is proposed."""
BREEDERS = 8


class BreedingSpec(StrategySpec):
    """Knobs of all that breed."""

    population: int = Field(default=40, ge=4, le=100_000)
    """Parents that are kept."""
    startup: int | None = Field(default=None, ge=2, le=1_000_000)
    """Complete trials before a model is asked; 12 unless given."""
    screen: int = Field(default=64, ge=1, le=100_000)
    """Children that are made for each that is proposed; 1 leaves the screening out."""

    def breeder(self, space: SearchSpace) -> "Evolution":
        """What makes children."""
        return Evolution(
            space=space,
            seed=self.seed,
            population=self.population,
            startup=self.startup or 12,
            screen=self.screen,
        )


class EvolutionSpec(BreedingSpec):
    """Mutation, crossover and repair, screened by a model of the trials so far."""

    kind: Literal["evolution"] = "evolution"
    version: Literal[1, 2] = 2
    """Of how it chooses among children. 2 has a model that knows what every two axes say together,
    and counts gains in ratios; a study that was begun with 1 goes on with it."""

    def strategy(
        self, space: SearchSpace, *, warm: Sequence[tuple[str, ArchSpec]], full_budget: float
    ) -> Strategy:
        """Warm starts and the catalogue's members of the space, then children."""
        breeder = self.breeder(space)
        if self.version > 1:
            breeder = replace(breeder, pairs=True, ratios=True)
        return after([*warm, *seeds(space)], breeder)


@dataclass(slots=True, kw_only=True)
class Evolution(Strategy):
    """See the module. `_known` holds what follows from a trial alone: point and features."""

    space: SearchSpace
    seed: int
    population: int = 40
    startup: int = 24
    screen: int = 64
    pairs: bool = False
    """Whether the models know what every two axes say together."""
    ratios: bool = False
    """Whether gains are those of logarithms, see `Acquisition`."""
    sieve: Sieve | None = None
    """Drops children that need not be measured, before they breed or are proposed."""
    _features: Features = field(init=False)
    _known: dict[str, tuple[Point, Array]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._features = Features(self.space)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """`n` children, each of its own generator; none when the space is used up."""
        taken = Taken(history.digests)
        found: list[Proposal] = []
        models: list[Surrogate] | None = None
        for i in range(n):
            rng = generator(self.seed, history.next_number + i)
            young = len(history.complete) < self.startup
            if not young and rng.random() >= NEWCOMERS:
                models = models or self.models(history)
                proposal = self.child(history, taken, rng, models=models)
            else:
                proposal = self.newcomer(history, taken, rng)
            if proposal is None:
                break
            taken.add(proposal.digest)
            found.append(proposal)
        return found

    def sifted(self, sieve: Sieve) -> "Evolution":
        """The same, whose children are sifted where they are chosen among."""
        return replace(self, sieve=sieve)

    def newcomer(
        self, history: History, taken: Container[str], rng: random.Random
    ) -> Proposal | None:
        """A random one that nobody has proposed, the first that is not dropped, if one is; None
        when the space is used up."""
        first: Proposal | None = None
        dropped: set[str] = set()
        for _ in range(1 if self.sieve is None else self.sieve.draws):
            arch = fresh_sample(self.space, Taken(taken, dropped), rng)
            if arch is None:
                break
            proposal = Proposal(arch=arch, origin="random")
            if self.sieve is None:
                return proposal
            if not self.sieve.drops(history, proposal):
                return self.sieve.noted(proposal) if dropped else proposal
            dropped.add(arch.digest)
            first = first or proposal
        return first

    def known(self, trial: Trial) -> tuple[Point, Array]:
        """Point and features of a trial's architecture."""
        digest = trial.digest
        if digest not in self._known:
            spec = ArchSpec.from_dict(trial.arch)
            point = self.space.encode(spec)
            if isinstance(point, str):  # a warm start from outside: varied as far as it goes
                point = {}
            self._known[digest] = (point, self._described(point, spec.to_dict()))
        return self._known[digest]

    def _described(self, point: Point, raw: Mapping[str, Any]) -> Array:
        """What the models see of an architecture."""
        return self._features.with_axes(point, raw) if self.pairs else self._features(point, raw)

    def models(self, history: History) -> list[Surrogate]:
        """One model an objective, fitted on the front and the newest trials."""
        chosen = _chosen(history, MOST)
        trials = [history.complete[i] for i in chosen]
        x = np.stack([self.known(t)[1] for t in trials])
        y = np.asarray([history.vectors[i] for i in chosen])
        pairs = self._features.pairs() if self.pairs else None
        signed = np.vstack([y, history.front.points]) if self.ratios else y
        signs = [sign_of(column) for column in signed.T]
        return fit(x, list(y.T), signs=signs, pairs=pairs)

    def child(
        self,
        history: History,
        taken: Container[str],
        rng: random.Random,
        *,
        models: list[Surrogate],
    ) -> Proposal | None:
        """The most promising of `screen` children that nobody has proposed and none drops."""
        parents = [self._parent(t) for t in self._parents(history)]
        seed = rng.getrandbits(64)
        judge = Acquisition(models, history.front.points, seed, ratios=self.ratios)
        born = _Litter(history, self.sieve)
        for _ in range(GENERATIONS):
            # nobody new is born in a small space
            breeders: Sequence[_Parent] = born.best(BREEDERS) or parents
            fresh: dict[str, _Child] = {}
            for _ in range(max(1, self.screen // GENERATIONS)):
                child = self._made(breeders, rng, first=breeders is parents)
                if child is not None and child.digest not in taken and child.digest not in born:
                    fresh.setdefault(child.digest, child)
            if fresh:
                worth = judge(np.stack([c.features for c in fresh.values()]))
                for child, value in zip(fresh.values(), worth.tolist(), strict=True):
                    born.add(replace(child, worth=value))
        return born.proposed() or self.newcomer(history, Taken(taken, born.digests), rng)

    def _parent(self, trial: Trial) -> "_Parent":
        return _Parent(self.known(trial)[0], trial.label)

    def _parents(self, history: History) -> list[Trial]:
        """The `population` best of the young, and the front whatever its age; best first."""
        young = range(max(0, len(history.complete) - 4 * self.population), len(history.complete))
        front = set(history.front.labels)
        chosen = [i for i in young if history.complete[i].label not in front]
        vectors = np.asarray([history.vectors[i] for i in chosen])
        rest = [chosen[i] for i in best_first(vectors)][: self.population] if chosen else []
        return [history.trials[label] for label in history.front.labels] + [
            history.complete[i] for i in rest
        ]

    def _made(
        self, parents: Sequence["_Parent"], rng: random.Random, *, first: bool
    ) -> "_Child | None":
        mother, father = (_tournament(parents, rng) for _ in range(2))
        if not mother.point or not father.point:
            return None
        crossed = mother is not father and rng.random() < 0.4
        if crossed:
            point, arch = crossover(self.space, mother.point, father.point, rng)
            if rng.random() < 0.5:
                point, arch = mutate(self.space, point, rng)
        else:
            point, arch = mutate(self.space, mother.point, rng)
        origin = mother.origin
        if first:
            origin = f"mutation of {mother.origin}"
            if crossed:
                origin = f"child of {mother.origin} and {father.origin}"
        features = self._described(point, arch.plain)
        return _Child(point, origin, arch.digest, arch, features)


@dataclass(frozen=True, slots=True)
class _Parent:
    """What children are bred from."""

    point: Point
    origin: str
    """Of a trial its label."""


@dataclass(frozen=True, slots=True)
class _Child(_Parent):
    """What was bred, with what it promises; it may breed too."""

    digest: str
    arch: ArchSpec
    features: Array
    worth: float = 0.0


class _Litter:
    """The children of one proposal, the sieve being asked of no more of them than it must."""

    def __init__(self, history: History, sieve: Sieve | None) -> None:
        self._history, self._sieve = history, sieve
        self._born: dict[str, _Child] = {}
        self._dropped: dict[str, bool] = {}

    def __contains__(self, digest: str) -> bool:
        return digest in self._born

    def add(self, child: _Child) -> None:
        """A new one, with what it promises."""
        self._born[child.digest] = child

    @property
    def digests(self) -> set[str]:
        """Of all that were born."""
        return set(self._born)

    def best(self, count: int) -> list[_Child]:
        """The most promising that are left."""
        ranked = sorted(self._born.values(), key=lambda c: -c.worth)
        return list(itertools.islice((c for c in ranked if not self._drops(c)), count))

    def proposed(self) -> Proposal | None:
        """The most promising of all; None where none is left."""
        found = next(iter(self.best(1)), None)
        if found is None:
            return None
        proposal = Proposal(arch=found.arch, origin=found.origin)
        if self._sieve is None or not any(self._dropped.values()):
            return proposal
        return self._sieve.noted(proposal)

    def _drops(self, child: _Child) -> bool:
        if self._sieve is None:
            return False
        if child.digest not in self._dropped:
            proposal = Proposal(arch=child.arch, origin=child.origin)
            self._dropped[child.digest] = self._sieve.drops(self._history, proposal)
        return self._dropped[child.digest]


def _tournament(parents: Sequence[_Parent], rng: random.Random) -> _Parent:
    return parents[min(int(rng.random() * len(parents)) for _ in range(2))]


def best_first(vectors: Points) -> list[int]:
    """Rows by front, then by crowding, the emptier first."""
    layer = ranks(vectors)
    distance = np.zeros(len(vectors))
    for rank in set(layer.tolist()):
        rows = np.flatnonzero(layer == rank)
        distance[rows] = crowding(vectors[rows])
    return sorted(range(len(vectors)), key=lambda i: (layer[i], -distance[i], i))


def _chosen(history: History, most: int) -> list[int]:
    """Up to `most` of the complete trials: front, newest, and an even spread of the rest."""
    count = len(history.complete)
    if count <= most:
        return list(range(count))
    front = set(history.front.labels)
    picked = [i for i in range(count) if history.complete[i].label in front][-most // 3 :]
    picked += range(count - most // 2, count)
    picked += range(0, count, max(1, count // (most - len(picked))))
    return sorted(set(picked))[:most]
