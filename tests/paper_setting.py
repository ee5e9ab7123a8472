"""A setting of paper, for drivers whose evaluations are made up: targets, quantities by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evnas.arch.spec import ArchSpec
from evnas.phases.base import Need, TimedOn
from evnas.phases.work import Work
from evnas.record import TargetFields
from evnas.search.driver import Ask
from evnas.sweep.candidate import Candidate


@dataclass(frozen=True)
class PaperSetting:
    """See the module."""

    targets: tuple[str, ...] = ()
    wanted: frozenset[str] = frozenset()
    convention: str | None = None
    proxy: Mapping[str, Any] | None = None
    predict: Mapping[str, Any] | None = None
    paper: str = ""
    among: tuple[str, ...] = ()
    base: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""

    def counted_at(self, candidate: Candidate) -> int:
        return 224

    def targets_of(self, candidate: Candidate) -> Mapping[str, TimedOn]:
        on = TimedOn(fields={"device": "cpu"}, index=0, budget_s=1.0, resolution=224)
        return dict.fromkeys(self.targets, on)

    def alternates_with(self, candidate: Candidate) -> None:
        return None

    def rung(self, candidate: Candidate, need: Need) -> tuple[int | None, str]:
        return None, ""


def targets_called(*ids: str) -> list[TargetFields]:
    """Targets by their ids."""
    found = [TargetFields.of_old(each) for each in ids]
    return [each for each in found if each is not None]


def asking(
    label: str, arch: ArchSpec, phase: str, *, seed: int = 0, budget: float = 0.0, target: str = ""
) -> Ask:
    """What a driver asks for."""
    return Ask(
        candidate=Candidate(label=label, arch=arch, published=""),
        phase=phase,
        need=Need(seed=seed, budget=budget, target=target),
    )


def make_work(ask: Ask) -> Work:
    """Work whose task nobody looks at."""
    return Work(
        label=ask.label,
        digest=ask.candidate.digest,
        arch=ask.candidate.to_dict(),
        phase=ask.phase,
        seed=ask.need.seed,
        budget=ask.need.budget,
        target=ask.need.target,
        origin=ask.origin,
    )
