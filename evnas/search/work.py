"""One phase of one candidate as data that travels to a worker: all it needs, and nothing live."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evnas.record import Phase, Record, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What to evaluate. Everything in it is plain data."""

    label: str
    digest: str
    arch: Mapping[str, Any]
    """`ArchSpec.to_dict()`, or `{"timm": NAME}`."""
    phase: Phase
    seed: int = 0
    budget: float = 0.0
    target: str = ""
    """Its id."""
    origin: str = "row"
    resolution: int = 224
    """Side of the images that are counted or timed."""
    convention: str | None = None
    """`count`: the paper's way of counting beside the exact one."""
    target_index: int = 0
    """`speed`: which of the sweep's targets this is; rows may change its resolution and batch."""
    speed: Mapping[str, Any] | None = None
    """`speed`: the settled target's fields, and `budget_s`."""
    reference: Mapping[str, Any] | None = None
    """`speed`: the architecture timed in alternation; None times the candidate alone."""
    proxy: Mapping[str, Any] | None = None
    """`proxy` and `score`: `ProxySpec` as plain data."""
    scores: tuple[str, ...] = ()
    """`score`: which of `evnas.proxy.scores`, of the model that `proxy` says."""
    until_epoch: int | None = None
    """`proxy`: break off after so many epochs of the schedule, a rung; None runs it all."""
    checkpoint: str = ""
    """`proxy`: the file that a next rung goes on from; "" keeps none."""

    @property
    def key(self) -> tuple[str, str, Phase, int, float, str]:
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
        if self.phase == "speed":
            found["details"] = {**found.get("details", {}), "target_index": self.target_index}
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
