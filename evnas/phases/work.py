"""One phase of one candidate as data that travels to a worker: all it needs, and nothing live."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evnas.phases.task import Task
from evnas.record import Record, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What to evaluate. Everything in it is plain data."""

    label: str
    digest: str
    arch: Mapping[str, Any]
    """`ArchSpec.to_dict()`, or `{"timm": NAME}`."""
    phase: str
    task: Task = Task()  # noqa: RUF009, frozen and without a field
    """What the phase has to know beside the candidate."""
    seed: int = 0
    budget: float = 0.0
    target: str = ""
    """Its id; of a training whose weights it begins with."""
    origin: str = "row"

    @property
    def key(self) -> tuple[str, str, str, int, float, str]:
        """`Record.key` of the record that this work leaves."""
        return (self.label, self.digest, self.phase, self.seed, self.budget, self.target)

    def record(
        self,
        status: Status,
        *,
        error: str = "",
        started: float,
        seconds: float,
        found: Mapping[str, Any] | None = None,
    ) -> Record:
        """The record of this work; `found` holds `values`, `measurements`, `curve`, `details`."""
        found = dict(found or {})
        noted = self.task.noted()
        if noted:
            found["details"] = {**found.get("details", {}), **noted}
        return Record(
            label=self.label,
            digest=self.digest,
            arch=self.arch,
            phase=self.phase,
            status=status,
            seed=self.seed,
            budget=self.budget,
            target=self.target,
            error=error,
            origin=self.origin,
            started=started,
            seconds=seconds,
            **found,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece of work is."""

    work: Work
    fraction: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """A piece of work has ended, one way or another."""

    work: Work
    record: Record
    busy_s: float = 0.0
    """Seconds of it that measured or trained."""


Event = Progress | Finished
