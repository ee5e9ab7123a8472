"""What a strategy is: records in, proposals out, nothing remembered that records do not say."""

import random
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from evnas.search.history import History
from evnas.space.arch import ArchSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A new candidate; or, with `label`, more training for a known one."""

    arch: ArchSpec
    origin: str
    """Where it comes from: `random`, `mutation of 12`, `published EfficientViM M1`, ..."""
    label: str = ""
    budget: float | None = None
    """Image presentations; None is the whole proxy, 0 no training yet."""
    seeds: tuple[int, ...] = (0,)


class Strategy(Protocol):
    """Proposes. The same history gives the same proposals: caches may only speed it up."""

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Up to `n` proposals; fewer, or none, when it has nothing more to propose."""
        ...


@runtime_checkable
class Promotes(Protocol):
    """A strategy that trains candidates it has already, longer."""

    def promote(self, history: History) -> Proposal | None:
        """More training for a known candidate; None when none has earned it."""
        ...


def generator(seed: int, number: int) -> random.Random:
    """The randomness of the proposal for trial `number`: of the study's seed and nothing else."""
    return random.Random(f"evnas {seed} {number}")
