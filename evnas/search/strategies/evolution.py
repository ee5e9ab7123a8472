"""`evolution`: typed mutation, crossover by stage and subtree, repair, ageing, screened children.

After Real et al. (regularised evolution, arXiv 1802.01548) for ageing, and NSGA-II (Deb et al.
2002) for ranking by front and crowding. Of the many children made for one proposal a Gaussian
process on the trials so far picks the one that promises most hypervolume: a draw from its
posterior, so that what is not known is tried too (Thompson sampling).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evnas.pareto import Points, crowding, front_mask, hypervolume, ranks
from evnas.search.history import History
from evnas.search.propose import Proposal, generator
from evnas.search.strategies.drawing import fresh_sample
from evnas.search.strategies.features import Features
from evnas.search.strategies.surrogate import MOST, Array, Surrogate, fit
from evnas.search.trial import Trial
from evnas.space.arch import ArchSpec
from evnas.space.space import Point, SearchSpace
from evnas.space.vary import crossover, mutate

NEWCOMERS = 0.05
"""Share of proposals that stay random, so that no branch dies out for good."""


@dataclass(slots=True, kw_only=True)
class Evolution:
    """See the module. `_known` holds what follows from a trial alone: point and features."""

    space: SearchSpace
    seed: int
    population: int = 40
    startup: int = 24
    screen: int = 64
    _features: Features = field(init=False)
    _known: dict[str, tuple[Point, Array]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._features = Features(self.space)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """`n` children, each of its own generator; none when the space is used up."""
        taken = set(history.digests)
        found: list[Proposal] = []
        models: list[Surrogate] | None = None
        for i in range(n):
            rng = generator(self.seed, history.next_number + i)
            young = len(history.complete) < self.startup
            if not young and rng.random() >= NEWCOMERS:
                models = models or self.models(history)
                proposal = self.child(history, taken, rng, models=models)
            else:
                arch = fresh_sample(self.space, taken, rng)
                proposal = None if arch is None else Proposal(arch=arch, origin="random")
            if proposal is None:
                break
            taken.add(proposal.arch.digest)
            found.append(proposal)
        return found

    def known(self, digest: str, arch: Mapping[str, Any]) -> tuple[Point, Array]:
        """Point and features of a trial's architecture."""
        if digest not in self._known:
            spec = ArchSpec.from_dict(arch)
            point = self.space.encode(spec)
            if isinstance(point, str):  # a warm start from outside: varied as far as it goes
                point = {}
            self._known[digest] = (point, self._features(point, spec.to_dict()))
        return self._known[digest]

    def models(self, history: History) -> list[Surrogate]:
        """One model an objective, fitted on the front and the newest trials."""
        chosen = _chosen(history, MOST)
        trials = [history.complete[i] for i in chosen]
        x = np.stack([self.known(t.digest, t.arch)[1] for t in trials])
        y = np.asarray([history.vectors[i] for i in chosen])
        return [fit(x, y[:, k]) for k in range(y.shape[1])]

    def child(
        self, history: History, taken: set[str], rng: random.Random, *, models: list[Surrogate]
    ) -> Proposal | None:
        """The most promising of `screen` children that nobody has proposed."""
        parents = self._parents(history)
        children: dict[str, tuple[str, ArchSpec, Array]] = {}
        for _ in range(self.screen):
            made = self._made(parents, rng)
            if made is not None and made[1].digest not in taken:
                origin, arch, point = made
                children.setdefault(
                    arch.digest, (origin, arch, self._features(point, arch.to_dict()))
                )
        if not children:
            spare = fresh_sample(self.space, taken, rng)
            return None if spare is None else Proposal(arch=spare, origin="random")
        born = list(children.values())
        best = promise(np.stack([c[2] for c in born]), models, history.front.points, rng)
        return Proposal(arch=born[best][1], origin=born[best][0])

    def _parents(self, history: History) -> list[Trial]:
        """The `population` best of the young, and the front whatever its age; best first."""
        young = range(max(0, len(history.complete) - 4 * self.population), len(history.complete))
        front = set(history.front.labels)
        chosen = [i for i in young if history.complete[i].label not in front]
        vectors = np.asarray([history.vectors[i] for i in chosen]).reshape(len(chosen), -1)
        rest = [chosen[i] for i in best_first(vectors)][: self.population] if chosen else []
        return [history.trials[label] for label in history.front.labels] + [
            history.complete[i] for i in rest
        ]

    def _made(
        self, parents: Sequence[Trial], rng: random.Random
    ) -> tuple[str, ArchSpec, Point] | None:
        first, second = (_tournament(parents, rng) for _ in range(2))
        point = self.known(first.digest, first.arch)[0]
        other = self.known(second.digest, second.arch)[0]
        if not point or not other:
            return None
        if first is not second and rng.random() < 0.4:
            child, arch = crossover(self.space, point, other, rng)
            if rng.random() < 0.5:
                child, arch = mutate(self.space, child, rng)
            return f"child of {first.label} and {second.label}", arch, child
        child, arch = mutate(self.space, point, rng)
        return f"mutation of {first.label}", arch, child


def _tournament(parents: Sequence[Trial], rng: random.Random) -> Trial:
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


def promise(x: Array, models: Sequence[Surrogate], front: Points, rng: random.Random) -> int:
    """The row of `x` whose drawn results would add most hypervolume to the front.

    Results are drawn from each model's posterior. Where none adds anything, the one nearest to
    doing so: least beaten by the front, in units of the front's own range.
    """
    noise = np.random.default_rng(rng.getrandbits(64))
    columns = []
    for model in models:
        mean, sd = model.predict(x)
        columns.append(mean + sd * noise.standard_normal(len(mean)))
    drawn = np.stack(columns, axis=1)
    worst = np.maximum(front.max(axis=0), np.median(drawn, axis=0))
    best = np.minimum(front.min(axis=0), drawn.min(axis=0))
    span = np.maximum(worst - best, 1e-9)
    here, held = (drawn - best) / span, (front - best) / span
    reference = [1.1] * here.shape[1]
    gains = added(here, held, reference)
    if gains.max() > 0:
        return int(gains.argmax())
    beaten = (here[:, None, :] - held[None, :, :]).max(axis=2).min(axis=1)
    return int(beaten.argmin())


def added(points: Points, front: Points, reference: Sequence[float]) -> Array:
    """Hypervolume that each row alone would add to a front."""
    base = hypervolume(front, reference)
    if points.shape[1] == 2:
        return _added_in_plane(points, front[front_mask(front)], reference)
    return np.asarray([hypervolume(np.vstack([front, row]), reference) - base for row in points])


def _added_in_plane(points: Points, front: Points, reference: Sequence[float]) -> Array:
    """The same for two objectives at once: the staircase's strips that each point cuts."""
    steps = front[np.lexsort((front[:, 1], front[:, 0]))]
    left = np.concatenate([[-np.inf], steps[:, 0]])
    right = np.concatenate([steps[:, 0], [reference[0]]])
    height = np.concatenate([[reference[1]], np.minimum(steps[:, 1], reference[1])])
    ends = np.minimum(right, reference[0])[None, :]
    width = np.clip(ends - np.maximum(left[None, :], points[:, :1]), 0, None)
    gains: Array = (width * np.clip(height[None, :] - points[:, 1:], 0, None)).sum(axis=1)
    return gains
