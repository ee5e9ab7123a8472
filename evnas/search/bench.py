"""One model measured from the command line, under the protocol that sweeps use."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from evnas.arch.spec import ArchSpec, first_fault
from evnas.errors import MeasurementError
from evnas.phases.count import CountTask
from evnas.phases.speed import SpeedTask
from evnas.phases.work import Work
from evnas.record import Record
from evnas.search.evaluate import Evaluator, silent
from evnas.search.setting import settled
from evnas.sweep.candidate import Candidate
from evnas.sweep.parts import TargetSpec


@dataclass(frozen=True, slots=True)
class Benched:
    """What a measurement found."""

    record: Record

    def to_dict(self) -> dict[str, Any]:
        """The record, and the intervals of its measurements."""
        found = {name: m.interval() for name, m in self.record.measurements.items()}
        spans = {name: {"low": i.low, "mid": i.mid, "high": i.high} for name, i in found.items()}
        return self.record.to_dict() | {"intervals": spans}

    def text(self) -> str:
        """A line a quantity."""
        lines = [self.record.target]
        for name, measurement in self.record.measurements.items():
            i = measurement.interval()
            n = len(measurement.samples)
            lines.append(f"{name}: {i.mid:.4g} [{i.low:.4g}, {i.high:.4g}], {n} samples")
        if "peak_mib" in self.record.values:
            lines.append(f"peak_mib: {self.record.values['peak_mib']:.1f}")
        lines += self.record.details["conditions"]["warnings"]
        return "\n".join(lines)


def bench_target(fields: Mapping[str, Any]) -> TargetSpec:
    """A target from a command's options. Raises SpecError for what cannot be measured."""
    try:
        return TargetSpec.model_validate(fields)
    except ValidationError as e:
        raise first_fault(e, fields) from None


def bench(
    arch: Mapping[str, Any], spec: TargetSpec, *, base: Mapping[str, Any] | None = None
) -> Benched:
    """Measure `arch`, alone or in alternation with `base`.

    Args:
        arch, base: `ArchSpec.to_dict()`, or `{"timm": NAME}`.

    Raises:
        MeasurementError: it ran out of memory, or cannot run on that target.
    """
    row = _candidate(arch)
    reference = base or arch
    evaluator = Evaluator()
    counting = Work(
        label="base",
        digest="",
        arch=reference,
        phase="count",
        task=CountTask(resolution=spec.resolution),
    )
    counted = evaluator.run(counting, silent).record
    if counted.status != "complete":
        raise MeasurementError(counted.error)
    macs = counted.values["macs_exact"]
    target = settled(spec, row, macs=macs, counted=spec.resolution)
    task = SpeedTask(
        target=asdict(target),
        budget_s=spec.budget_of(search=False),
        uncertainty_percent=spec.uncertainty_percent,
        command=spec.command_fields(),
        resolution=target.resolution,
        reference=base,
    )
    work = Work(
        label=row.label, digest=row.digest, arch=arch, phase="speed", target=target.id, task=task
    )
    record = evaluator.run(work, silent).record
    if record.status != "complete":
        raise MeasurementError(f"{record.status}: {record.error}")
    return Benched(record)


def _candidate(arch: Mapping[str, Any]) -> Candidate:
    if "timm" in arch:
        name = str(arch["timm"])
        return Candidate(label=name, arch=None, timm=name, published="")
    return Candidate(label="model", arch=ArchSpec.from_dict(arch), published="")
