"""What a phase is handed and gives back: plain data, nothing live, no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evnas.record import Record, Status

OnProgress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one phase has to know beside the candidate; frozen, and of plain data."""

    @property
    def device(self) -> str:
        """What it runs on; the CPU, unless a task says otherwise."""
        return "cpu"

    @property
    def place(self) -> int:
        """Its place among tasks of the phase for one candidate, where they have an order."""
        return 0

    def noted(self) -> dict[str, Any]:
        """What every record of the task notes among its details, however it ended."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One piece of work of a phase that a candidate needs."""

    seed: int = 0
    budget: float = 0.0
    """Image presentations of a training; 0 of all else."""
    target: str = ""
    """The id of a speed's target; of a training whose weights it begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """How far a candidate is to be evaluated."""

    seeds: tuple[int, ...] = (0,)
    budget: float = 0.0
    """Image presentations of each training; 0 trains nothing."""
    parent: str = ""
    """Digest of the candidate that it was bred from; "" where it was bred from none."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a phase that came to an end found."""

    status: Status = "complete"
    error: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    rest: Mapping[str, Any] = field(default_factory=dict)
    """`measurements`, `curve` and `details` of the record."""
    busy_s: float = 0.0
    """Seconds that measured or trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a plan knows before it guesses how long work takes."""

    counted: Record
    """The candidate's count."""
    share: float
    """Its multiply-adds over those of the reference."""
    rehearsed: Record | None
    """The second rehearsal, of the reference."""
    earlier_s: float | None = None
    """The median of what work of this phase on its target took in the study so far; None where
    none came to an end."""


@dataclass(slots=True)
class Workshop:
    """What a process keeps between two pieces of work: data on a device, the reference's model."""

    _kept: dict[str, tuple[str, Any]] = field(default_factory=dict)

    def kept(self, slot: str, key: str, make: Callable[[], Any]) -> Any:
        """What `slot` holds for `key`; made again where it holds another, which goes first."""
        if slot not in self._kept or self._kept[slot][0] != key:
            self._kept.pop(slot, None)
            self._kept[slot] = (key, make())
        return self._kept[slot][1]

    def make_room(self, slot: str, key: str) -> None:
        """Free what a slot holds for another key, before something large is made."""
        if slot in self._kept and self._kept[slot][0] != key:
            self.drop(slot)

    def drop(self, slot: str) -> None:
        """Free what a slot holds."""
        self._kept.pop(slot, None)
