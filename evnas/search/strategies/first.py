"""Candidates to begin with, before a strategy proposes its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evnas.arch.spec import ArchSpec
from evnas.search.propose import Proposal, Sieve, Strategy
from evnas.search.state.history import History


def after(
    first: Sequence[tuple[str, ArchSpec]], strategy: Strategy, *, budget: float | None = None
) -> Strategy:
    """`strategy` behind candidates to begin with, if there are any."""
    return After(first, strategy, budget=budget) if first else strategy


@dataclass(frozen=True, slots=True)
class After(Strategy):
    """`first` candidates, in order, then what `strategy` proposes."""

    first: Sequence[tuple[str, ArchSpec]]
    strategy: Strategy
    budget: float | None = None

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Those of `first` that are new, before anything else."""
        found: dict[str, Proposal] = {}
        for origin, arch in self.first:
            if len(found) < n and arch.digest not in history.digests:
                new = Proposal(arch=arch, origin=origin, budget=self.budget)
                found.setdefault(arch.digest, new)
        if found:
            return list(found.values())
        return self.strategy.propose(history, n)

    def promote(self, history: History) -> Proposal | None:
        """What the strategy promotes, where it does."""
        return self.strategy.promote(history)

    def sifted(self, sieve: Sieve) -> Strategy:
        """What a search begins with is measured, whatever it promises."""
        return replace(self, strategy=self.strategy.sifted(sieve))
