"""A strategy of another package: the deepest of a few draws that nobody has proposed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evnas.arch.spec import ArchSpec
from evnas.search.propose import Proposal, Strategy, generator
from evnas.search.state.history import History
from evnas.search.strategies.first import after
from evnas.space.space import SearchSpace
from evnas.sweep.strategy_spec import StrategySpec


@dataclass
class DeepestFirst(Strategy):
    """See the module."""

    space: SearchSpace
    seed: int
    draws: int

    def propose(self, history: History, n: int) -> list[Proposal]:
        rng = generator(self.seed, history.next_number)
        drawn = [self.space.sample(rng)[1] for _ in range(self.draws)]
        fresh = [arch for arch in drawn if arch.digest not in history.digests]
        fresh.sort(key=lambda arch: -sum(stage.depth for stage in arch.stages))
        return [Proposal(arch=arch, origin="deepest") for arch in fresh[:1]]


class DeepestFirstSpec(StrategySpec):
    """Its knobs."""

    kind: Literal["deepest_first"] = "deepest_first"
    draws: int = 8

    def strategy(
        self, space: SearchSpace, *, warm: Sequence[tuple[str, ArchSpec]], full_budget: float
    ) -> Strategy:
        return after(warm, DeepestFirst(space, self.seed, self.draws))
