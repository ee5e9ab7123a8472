"""A sweep settled on this machine: its targets, what is wanted of it, and the work it means.

The one place that builds work, for ablations, searches, confirmations, plans and `evnas bench`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from evnas.errors import MeasurementError
from evnas.measure.target import DeviceMissing, Target
from evnas.phases.base import Goal, Need, TimedOn
from evnas.phases.base import Setting as Asked
from evnas.phases.count import CountTask
from evnas.phases.work import Work
from evnas.record import TargetFields
from evnas.search.evaluate import Evaluator, silent
from evnas.sweep.candidate import Candidate
from evnas.sweep.parts import TargetSpec
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.spec import AblationSpec
from evnas.sweep.sweep import Sweep
from evnas.tables import PHASES, phases


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSetting:
    """See the module; what phases ask for is `evnas.phases.base.Setting`."""

    sweep: Sweep
    reference_macs: float
    """Exact multiply-adds of one image of the reference, as counted; they settle `auto` batches
    of all rows."""
    absent: Mapping[int, str] = field(default_factory=dict)
    """Targets that this machine lacks, by their place, with the reason."""
    wanted: frozenset[str] = frozenset()
    """Quantities that an objective or constraint names."""
    rungs: tuple[float, ...] = ()
    """Budgets at which trainings break off, the last being the whole."""
    checkpoints: Path | None = None
    """The folder of trainings that break off at a rung, removed when the search is over; None
    keeps none."""
    images: Mapping[str, Any] = field(default_factory=dict)
    """`KnownImages.in_short` of what is trained on, for workers to compare theirs with."""
    among: tuple[str, ...] = ()
    """Runtimes that `best` chooses among, those of the study's beginning; none means all here."""
    _targets: dict[tuple[object, ...], dict[str, TimedOn]] = field(default_factory=dict)

    @property
    def convention(self) -> str | None:
        """The counting convention that the published figures follow."""
        return self.sweep.spec.convention

    @property
    def proxy(self) -> Mapping[str, Any] | None:
        """`ProxySpec` as plain data, and under `images` which they are, where that is known."""
        proxy = self.sweep.spec.proxy
        if proxy is None:
            return None
        known = {"images": self.images} if self.images else {}
        return proxy.model_dump(mode="json") | known

    @property
    def predict(self) -> Mapping[str, Any] | None:
        """`PredictSpec` as plain data."""
        asked = self.sweep.spec.predict
        return None if asked is None else asked.model_dump(mode="json")

    @property
    def paper(self) -> str:
        """Of the sweep's printed rows; a search has none, whatever paper it counts by."""
        spec = self.sweep.spec
        if not isinstance(spec, AblationSpec) or spec.published is None:
            return ""
        return spec.published.paper

    def counted_at(self, candidate: Candidate) -> int:
        """A row's own resolution, else the first target's."""
        return candidate.resolution or self.sweep.spec.resolution

    def targets_of(self, candidate: Candidate) -> Mapping[str, TimedOn]:
        """Id -> target; two of a sweep may be one on this machine: `auto` and `cpu`, say."""
        size = (candidate.resolution, candidate.batch_size, candidate.printed_batch)
        if size not in self._targets:
            self._targets[size] = self._settled(candidate)
        return self._targets[size]

    def alternates_with(self, candidate: Candidate) -> Mapping[str, Any] | None:
        """The reference; it alone is timed alone."""
        reference = self.sweep.reference
        return None if candidate == reference else reference.to_dict()

    def rung(self, candidate: Candidate, need: Need) -> tuple[int | None, str]:
        """A rung is the beginning of the whole schedule, never a schedule of its own, so going on
        from it gives the curve of an unbroken training."""
        if not self.rungs:
            return None, ""
        proxy = self.sweep.spec.proxy
        assert proxy is not None
        whole = need.budget >= self.rungs[-1]
        epoch = None if whole else round(need.budget * proxy.epochs / proxy.presentations)
        if self.checkpoints is None:
            return epoch, ""
        file = self.checkpoints / f"{candidate.digest}-seed{need.seed}.pt"
        return epoch, str(file.absolute())

    @property
    def base(self) -> Mapping[str, Any]:
        """`ArchSpec.to_dict()` of what the sweep starts from."""
        return self.sweep.base.to_dict()

    @property
    def weights(self) -> str:
        """The folder of weights that candidates hand down, beside that of checkpoints; it stays,
        since a search that grows goes on from it."""
        return (
            "" if self.checkpoints is None else str(self.checkpoints.absolute().parent / "weights")
        )

    def work(self, candidate: Candidate, phase: str, need: Need, *, origin: str = "row") -> Work:
        """What an engine needs for one phase of a candidate."""
        return Work(
            label=candidate.label,
            digest=candidate.digest,
            arch=candidate.to_dict(),
            phase=phase,
            task=PHASES.get(phase).task(self, candidate, need),
            seed=need.seed,
            budget=need.budget,
            target=need.target,
            origin=origin,
        )

    def works(self, candidate: Candidate, goal: Goal, *, origin: str = "row") -> Iterator[Work]:
        """All work that takes a candidate to a goal."""
        for phase, need in needs_of(self, candidate, goal):
            yield self.work(candidate, phase, need, origin=origin)

    def _settled(self, candidate: Candidate) -> dict[str, TimedOn]:
        found: dict[str, TimedOn] = {}
        counted = self.counted_at(self.sweep.reference)
        for index, spec in enumerate(self.sweep.spec.targets):
            if index not in self.absent:
                macs = self.reference_macs
                target = settled(spec, candidate, macs=macs, counted=counted)
                on = TimedOn(
                    fields=asdict(target),
                    index=index,
                    budget_s=spec.budget_of(search=isinstance(self.sweep.spec, SearchSpec)),
                    resolution=target.resolution,
                    uncertainty_percent=spec.uncertainty_percent,
                    halve_batch=spec.halve_batch,
                    command=spec.command_fields(),
                )
                found.setdefault(target.id, on)
        return found


def needs_of(setting: Asked, candidate: Candidate, goal: Goal) -> Iterator[tuple[str, Need]]:
    """(phase, need) of all that takes a candidate to a goal, cheapest phase first."""
    for phase in phases():
        for need in phase.needed(setting, candidate, goal):
            yield phase.name, need


def reference_macs(sweep: Sweep) -> float:
    """Exact multiply-adds of the reference for one image as counted.

    Raises:
        MeasurementError: it cannot be counted.
    """
    row = sweep.reference
    side = row.resolution or sweep.spec.resolution
    task = CountTask(resolution=side, convention=sweep.spec.convention)
    arch = row.to_dict()
    work = Work(label=row.label, digest=row.digest, arch=arch, phase="count", task=task)
    record = Evaluator().run(work, silent).record
    if record.status != "complete":
        reason = f"the reference row {record.label} could not be counted: {record.error}"
        raise MeasurementError(reason)
    return record.values["macs_exact"]


def missing(sweep: Sweep) -> dict[int, str]:
    """Targets whose device this machine lacks, by their place, with the reason; others go on.

    Raises:
        MeasurementError: no target is left, or one can be nowhere.
    """
    found = {}
    for index, spec in enumerate(sweep.spec.targets):
        try:
            settled(spec, sweep.reference, macs=1.0, counted=1)
        except DeviceMissing as e:
            found[index] = str(e)
    if found and len(found) == len(sweep.spec.targets):
        raise DeviceMissing(found[0])
    return found


def settled(spec: TargetSpec, candidate: Candidate, *, macs: float, counted: int) -> Target:
    """A target on this machine for one row, with `auto` settled.

    Args:
        macs: exact multiply-adds of the reference for one image of `counted` pixels a side.
    """
    target = Target(
        device=spec.named_device,
        runtime=spec.named_runtime,
        resolution=spec.side(candidate.resolution),
        precision=spec.precision,
        form=spec.form,
        mode=spec.mode,
    ).resolved()
    target = replace(target, batch_size=candidate.batch_on(target.device_type, spec))
    macs_each = macs * (target.resolution / counted) ** 2
    return target.with_batch(macs_each, budget_s=spec.budget_of(search=False))


def targets_here(sweep: Sweep) -> list[TargetFields]:
    """The targets for the reference row; as the file spells one whose device is not here."""
    counted = sweep.reference.resolution or sweep.spec.resolution
    macs = reference_macs(sweep)
    found = []
    for spec in sweep.spec.targets:
        try:
            here = settled(spec, sweep.reference, macs=macs, counted=counted)
            found.append(here.fields)
        except DeviceMissing:
            found.append(spec.spelt())
    return found
