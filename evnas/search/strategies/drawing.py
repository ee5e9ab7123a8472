"""`random`, `grid` and `ablation`: strategies that look at what was proposed, not at results."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from evnas.search.history import History
from evnas.search.propose import Proposal, generator
from evnas.space.arch import ArchSpec
from evnas.space.space import Point, SearchSpace

MOST_TRIES = 300


@dataclass(frozen=True, slots=True)
class Random:
    """Every branch as likely, valid, never twice."""

    space: SearchSpace
    seed: int

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Fewer than `n` when the space seems to hold nothing new."""
        taken = set(history.digests)
        found: list[Proposal] = []
        for i in range(n):
            arch = fresh_sample(self.space, taken, generator(self.seed, history.next_number + i))
            if arch is None:
                break
            taken.add(arch.digest)
            found.append(Proposal(arch=arch, origin="random"))
        return found


def fresh_sample(space: SearchSpace, taken: set[str], rng: random.Random) -> ArchSpec | None:
    """A random architecture that is not taken; by a walk when draws find none; None at the end."""
    for _ in range(MOST_TRIES):
        _, arch = space.sample(rng)
        if arch.digest not in taken:
            return arch
    for _, arch in space.enumerate():
        if arch.digest not in taken:
            return arch
    return None


@dataclass(slots=True)
class Grid:
    """Every architecture of the space in its order."""

    space: SearchSpace
    _walk: Iterator[tuple[Point, ArchSpec]] | None = field(default=None, repr=False)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The next `n` that were not proposed. What the walk has passed is taken for good, so
        keeping it between calls changes nothing but the time."""
        if self._walk is None:
            self._walk = self.space.enumerate()
        found: list[Proposal] = []
        while len(found) < n and (step := next(self._walk, None)) is not None:
            if step[1].digest not in history.digests:
                found.append(Proposal(arch=step[1], origin="grid"))
        return found


@dataclass(frozen=True, slots=True)
class Ablation:
    """A list of architectures, in its order."""

    rows: Sequence[tuple[str, ArchSpec]]
    """Origin and architecture."""
    seeds: tuple[int, ...] = (0,)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The next `n` that were not proposed; of equal ones the first."""
        found: dict[str, Proposal] = {}
        for origin, arch in self.rows:
            if len(found) < n and arch.digest not in history.digests:
                found.setdefault(arch.digest, Proposal(arch=arch, origin=origin, seeds=self.seeds))
        return list(found.values())


def one_at_a_time(space: SearchSpace, base: ArchSpec) -> list[tuple[str, ArchSpec]]:
    """The base, then each of its axes moved alone to each other value.

    A branch just entered takes the values that the one left behind had, else the first ones.
    Conditions drop what they forbid. Raises ValueError when the space does not hold the base.
    """
    point = space.encode(base)
    if isinstance(point, str):
        raise ValueError(point)
    rows = [("base", base)]
    for axis in list(space.active(point)):
        for value in axis.domain.values:
            if value != point[axis.key]:
                moved = _settled(space, {**point, axis.key: value})
                found = space.check(moved)
                if isinstance(found, ArchSpec) and space.is_ordered(moved):
                    rows.append((f"{axis.key} = {value}", found))
    return rows


def _settled(space: SearchSpace, point: Point) -> Point:
    there = {place: value for key, value in point.items() for place in space.by_key[key].places}
    whole: Point = {}
    for axis in space.active(whole):
        value = point.get(axis.key, there.get(axis.places[0]))
        whole[axis.key] = (
            value if value is not None and value in axis.domain else (axis.domain.values[0])
        )
    return whole
