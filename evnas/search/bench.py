"""Models measured from the command line, under the protocol that sweeps use."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from evnas.arch.spec import ArchSpec, first_fault
from evnas.errors import MeasurementError
from evnas.measure.target import Target
from evnas.measure.timing.cpu_limits import heed_quota
from evnas.measure.timing.device_lock import unsaid
from evnas.phases.count import CountTask
from evnas.phases.speed import SpeedTask
from evnas.phases.work import Work
from evnas.record import Measurement, Record
from evnas.search.evaluate import Evaluator, silent
from evnas.search.setting import settled
from evnas.sweep.candidate import Candidate
from evnas.sweep.parts import TargetSpec, takes_a_graph
from evnas.words import counted

Arch = Mapping[str, Any]
"""`ArchSpec.to_dict()`, or `{"timm": NAME}`."""


@dataclass(frozen=True, slots=True)
class Benched:
    """What a measurement found."""

    record: Record
    name: str = ""
    """Of the model, as it was asked for."""
    base: str = ""
    """Of the model that it was timed in alternation with."""

    def to_dict(self) -> dict[str, Any]:
        """The record, the intervals of its measurements, its name and that of the base."""
        found = {name: m.interval() for name, m in self.record.measurements.items()}
        spans = {name: {"low": i.low, "mid": i.mid, "high": i.high} for name, i in found.items()}
        names = {"name": self.name, "ratio_of_throughputs_to": self.base}
        return self.record.to_dict() | {"intervals": spans} | names

    def text(self) -> str:
        """A line a quantity."""
        about = f"{self.name}" + (f", in alternation with {self.base}" if self.base else "")
        lines = [self.record.target, *([about] if self.name else [])]
        for name, measurement in self.record.measurements.items():
            samples = counted(len(measurement.samples), "sample")
            lines.append(f"{name}: {spelt(measurement)}, {samples}{self._of_what(name)}")
        if "peak_mib" in self.record.values:
            lines.append(f"peak_mib: {self.record.values['peak_mib']:.1f}")
        conditions = self.record.details["conditions"]
        return "\n".join([*lines, f"ended: {conditions['ended']}", *conditions["warnings"]])

    def _of_what(self, quantity: str) -> str:
        if quantity != "throughput_ratio" or not self.base:
            return ""
        return f" ({self.name or 'its throughput'} over {self.base})"


Say = Callable[[str], None]
"""Hears a line for the person who watches."""


def spelt(measurement: Measurement) -> str:
    """The median and its interval."""
    return measurement.interval().spelt()


def bench_target(fields: Mapping[str, Any]) -> TargetSpec:
    """A target from a command's options. Raises SpecError for what cannot be measured.

    A GPU that `auto` means is named, since a deployed form that names no runtime is one captured
    graph there.
    """
    if fields.get("device", "auto") == "auto" and takes_a_graph({**fields, "device": "cuda"}):
        fields = {**fields, "device": Target().resolved().device}
    try:
        return TargetSpec.model_validate(fields)
    except ValidationError as e:
        raise first_fault(e, fields) from None


def bench(
    arch: Arch, spec: TargetSpec, *, base: Arch | None = None, name: str = "", base_name: str = ""
) -> Benched:
    """Measure `arch`, alone or in alternation with `base`.

    Args:
        name, base_name: as the answer calls them.

    Raises:
        MeasurementError: it ran out of memory, or cannot run on that target.
    """
    heed_quota()
    evaluator = Evaluator()
    target = target_for(base or arch, spec, evaluator)
    record = speed_of(arch, spec, target, evaluator, base=base)
    if record.status != "complete":
        raise MeasurementError(f"{record.status}: {record.error}")
    return Benched(record, name, base_name)


def target_for(reference: Arch, spec: TargetSpec, evaluator: Evaluator) -> Target:
    """A target settled on this machine for models that are compared with a reference.

    Raises:
        MeasurementError: the reference cannot be counted, or the device is not here.
    """
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
    return settled(spec, _candidate(reference), macs=macs, counted=spec.resolution)


def speed_of(
    arch: Arch,
    spec: TargetSpec,
    target: Target,
    evaluator: Evaluator,
    *,
    base: Arch | None = None,
    say: Say = unsaid,
) -> Record:
    """The record of one speed, however it ended.

    Args:
        target: from `target_for`.
        evaluator: keeps the base's model from one to the next.
        say: hears who is waited for, where another process holds the device.
    """
    row = _candidate(arch)
    task = SpeedTask(
        target=asdict(target),
        budget_s=spec.budget_of(search=False),
        uncertainty_percent=spec.uncertainty_percent,
        halve_batch=spec.halve_batch,
        command=spec.command_fields(),
        resolution=target.resolution,
        reference=base,
    )
    work = Work(
        label=row.label, digest=row.digest, arch=arch, phase="speed", target=target.id, task=task
    )
    return evaluator.run(work, lambda _, text: say(text)).record


def _candidate(arch: Arch) -> Candidate:
    if "timm" in arch:
        name = str(arch["timm"])
        return Candidate(label=name, arch=None, timm=name, published="")
    return Candidate(label="model", arch=ArchSpec.from_dict(arch), published="")
