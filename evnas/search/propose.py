"""What a strategy is: records in, proposals out, nothing remembered that records do not say."""

import random
import re
from abc import ABC, abstractmethod
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from evnas.arch.spec import ArchSpec
from evnas.search.state.history import History
from evnas.sweep.candidate import Candidate

_BRED = re.compile(r"(?:mutation|child) of (\d+)")
"""The origin of what was bred; of two parents the first hands its weights down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A new candidate; or, with `label`, more training for a known one."""

    arch: ArchSpec | None
    """None of a row that is no architecture of ours."""
    origin: str
    """Where it comes from: `random`, `mutation of 12`, `published EfficientViM M1`, ..."""
    label: str = ""
    budget: float | None = None
    """Image presentations; None is the whole proxy, 0 no training yet."""
    seeds: tuple[int, ...] = (0,)
    row: Candidate | None = None
    """The row of an ablation, which has a label of its own."""

    @property
    def digest(self) -> str:
        """Names the architecture in the store."""
        if self.row is not None:
            return self.row.digest
        assert self.arch is not None
        return self.arch.digest

    @property
    def parent(self) -> str:
        """The label of the candidate that it was bred from; "" where it was bred from none. It
        follows from the origin, which records hold, so a search that goes on knows it too."""
        found = _BRED.match(self.origin)
        return found[1] if found else ""

    def candidate(self, label: str) -> Candidate:
        """What is evaluated, under a label."""
        return self.row or Candidate(label=label, arch=self.arch, published="")


class Sieve(Protocol):
    """What knows of some proposals that they need not be measured."""

    @property
    def draws(self) -> int:
        """Proposals that are looked at for each candidate, at most."""
        ...

    def drops(self, history: History, proposal: Proposal) -> bool:
        """Whether a proposal need not be measured."""
        ...

    def noted(self, proposal: Proposal) -> Proposal:
        """The proposal, saying that others were dropped before it."""
        ...


class Taken:
    """Digests that nobody proposes again: of the history, which is not copied for it, and of what
    is proposed beside."""

    def __init__(self, known: Container[str], more: Iterable[str] = ()) -> None:
        self._known = known
        self._more = set(more)

    def __contains__(self, digest: object) -> bool:
        return digest in self._known or digest in self._more

    def add(self, digest: str) -> None:
        """It is proposed now."""
        self._more.add(digest)


class Strategy(ABC):
    """Proposes. The same history gives the same proposals: caches may only speed it up."""

    by_phase: ClassVar[bool] = False
    """Whether all candidates go through one phase before any goes through the next, and none is
    given up because a phase of it failed: an ablation's table. Else a candidate at a time."""

    @abstractmethod
    def propose(self, history: History, n: int) -> list[Proposal]:
        """Up to `n` proposals; fewer, or none, when it has nothing more to propose."""

    def promote(self, history: History) -> Proposal | None:
        """More training for a known candidate; None when none has earned it."""
        return None

    def sifted(self, sieve: Sieve) -> "Strategy":
        """The same less proposals that need not be measured. One that chooses among many asks
        there itself; from others more are drawn until one is left."""
        return Redrawn(self, sieve)


GROWTH = 4
"""Each time that nobody of those drawn is left, so many times as many are drawn."""


@dataclass(frozen=True, slots=True)
class Redrawn(Strategy):
    """A strategy's proposals less those that need not be measured.

    Nothing is remembered: it draws again from the strategy, more at a time, until one is left; if
    none is, the first is taken, and found out as a candidate, with a record that says so.
    """

    strategy: Strategy
    sieve: Sieve

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Up to `n` of the strategy's that are left."""
        first: list[Proposal] = []
        ask = n
        while True:
            drawn = self.strategy.propose(history, ask)
            first = first or drawn
            left = [p for p in drawn if not self.sieve.drops(history, p)]
            if left:
                return [self.sieve.noted(p) if len(drawn) > len(left) else p for p in left[:n]]
            if len(drawn) < ask or ask >= self.sieve.draws:
                return first[:n]
            ask = min(GROWTH * ask, self.sieve.draws)

    def promote(self, history: History) -> Proposal | None:
        """More training for a known candidate, which was measured."""
        return self.strategy.promote(history)


def generator(seed: int, number: int) -> random.Random:
    """The randomness of the proposal for trial `number`: of the study's seed and nothing else."""
    return random.Random(f"evnas {seed} {number}")
