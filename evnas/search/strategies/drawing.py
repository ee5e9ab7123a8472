"""`random` and `grid`: strategies that look at what was proposed, not at results."""

import random
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from evnas.arch.spec import ArchSpec
from evnas.search.propose import Proposal, Sieve, Strategy, Taken, generator
from evnas.search.state.history import History
from evnas.search.strategies.first import after
from evnas.space.space import Point, SearchSpace
from evnas.sweep.strategy_spec import StrategySpec

MOST_TRIES = 300


@dataclass(frozen=True, slots=True)
class Random(Strategy):
    """Every branch as likely, valid, never twice."""

    space: SearchSpace
    seed: int

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Fewer than `n` when the space seems to hold nothing new."""
        taken = Taken(history.digests)
        found: list[Proposal] = []
        for i in range(n):
            arch = fresh_sample(self.space, taken, generator(self.seed, history.next_number + i))
            if arch is None:
                break
            taken.add(arch.digest)
            found.append(Proposal(arch=arch, origin="random"))
        return found


def fresh_sample(space: SearchSpace, taken: Container[str], rng: random.Random) -> ArchSpec | None:
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
class Grid(Strategy):
    """Every architecture of the space in its order."""

    space: SearchSpace
    sieve: Sieve | None = None
    """Passes over what need not be measured; of as many in a row as it may look at, the last is
    proposed, so that the walk goes on from there whoever walks it again."""
    _walk: Iterator[tuple[Point, ArchSpec]] | None = field(default=None, repr=False)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The next `n` that were not proposed. What the walk has passed is taken for good, so
        keeping it between calls changes nothing but the time."""
        if self._walk is None:
            self._walk = self.space.enumerate()
        found: list[Proposal] = []
        dropped = 0  # in a row, since what was last proposed
        while len(found) < n and (step := next(self._walk, None)) is not None:
            if step[1].digest in history.digests:
                dropped = 0
                continue
            proposal = Proposal(arch=step[1], origin="grid")
            if self.sieve is not None and self.sieve.drops(history, proposal):
                dropped += 1
                if dropped < self.sieve.draws:
                    continue
            elif self.sieve is not None and dropped:
                proposal = self.sieve.noted(proposal)
            found.append(proposal)
            dropped = 0
        return found

    def sifted(self, sieve: Sieve) -> Strategy:
        """The same walk, which steps over what is dropped."""
        return replace(self, sieve=sieve)


class RandomSpec(StrategySpec):
    """Every branch as likely, valid, never twice."""

    kind: Literal["random"] = "random"

    def strategy(
        self, space: SearchSpace, *, warm: Sequence[tuple[str, ArchSpec]], full_budget: float
    ) -> Strategy:
        """Warm starts, then draws."""
        return after(warm, Random(space, self.seed))


class GridSpec(StrategySpec):
    """Every architecture of the space in its order."""

    kind: Literal["grid"] = "grid"

    def strategy(
        self, space: SearchSpace, *, warm: Sequence[tuple[str, ArchSpec]], full_budget: float
    ) -> Strategy:
        """Warm starts, then the walk."""
        return after(warm, Grid(space))
