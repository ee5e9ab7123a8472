"""What one evaluation found: raw samples with their conditions, and how it ended.

A trial of the design (one candidate, one seed, one budget) is the group of its phases' records;
each phase is appended when it ends, so a killed sweep repeats one phase and nothing else.
"""

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from evnas.errors import SpecError, nearest
from evnas.runtime import BatchSize
from evnas.stats.interval import Interval

Status = Literal[
    "complete", "pruned", "infeasible", "diverged", "oom", "timeout", "lost", "failed"
]
STATUSES: tuple[Status, ...] = get_args(Status)
RETRIED: tuple[Status, ...] = ("lost", "timeout", "oom", "failed")
"""Ends that another try may change: the machine's doing, not the candidate's."""


def ends_to_retry(names: Iterable[str]) -> tuple[Status, ...]:
    """Ends of work that is to be done again, each once. Raises SpecError for what is none."""
    found = {name.strip() for name in names} - {""}
    for name in sorted(found):
        if name not in RETRIED:
            raise SpecError(
                f"--retry takes {', '.join(RETRIED)}, got {name!r}{nearest(name, RETRIED)}"
            )
    return tuple(end for end in RETRIED if end in found)


def must_be_an_end(status: str) -> None:
    """Raise ValueError for what is no status."""
    if status not in STATUSES:
        raise ValueError(f"status must be one of {STATUSES}, got {status!r}")


@dataclass(frozen=True, slots=True)
class Measurement:
    """Raw samples of one quantity; the unit stands in `name` (`latency_ms`)."""

    name: str
    samples: tuple[float, ...]
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """What the samples were taken under: batch, clocks, load, rounds taken again, warnings."""

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError(f"a measurement needs at least one sample, {self.name} has none")

    @property
    def median(self) -> float:
        """The median of the samples."""
        return float(statistics.median(self.samples))

    def interval(self, level: float = 0.95, draws: int = 2000) -> Interval:
        """The median between its percentile-bootstrap bounds (Efron 1979), seed fixed."""
        from evnas.stats.bootstrap import median_intervals  # with numpy, which most do without

        (found,) = median_intervals([self.samples], level, draws=draws)
        return found


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a record was taken."""

    host: str
    processor: str = ""
    """Of a speed: what the target ran on, with the cores that it might use."""

    def __str__(self) -> str:
        return f"{self.host} ({self.processor})" if self.processor else self.host

    def is_like(self, other: "Machine") -> bool:
        """Whether absolute speeds of both may be compared: the same kind of processor."""
        return self.processor == other.processor


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFields:
    """What a speed is measured on, as its record holds it; `evnas.measure.target` says what each
    field means."""

    device: str
    """`cpu` or `cuda:N`; `auto` while the machine has not settled it."""
    runtime: str
    resolution: int
    batch_size: BatchSize
    precision: str
    form: str = "plain"
    mode: str = "inference"

    @property
    def parts(self) -> tuple[str, ...]:
        """Of its id, in order."""
        form = ("deployed",) if self.form == "deployed" else ()
        mode = ("train",) if self.mode == "training" else ()
        device, batch = self.device.replace(":", ""), f"b{self.batch_size}"
        return (device, self.runtime, str(self.resolution), batch, self.precision, *form, *mode)

    @property
    def id(self) -> str:
        """`cpu-torch-224-b16-float32`; `-deployed` or `-train` is added for that form or mode."""
        return "-".join(self.parts)

    @property
    def device_type(self) -> str:
        """`cpu` or `cuda`."""
        return self.device.partition(":")[0]

    @property
    def names(self) -> frozenset[str]:
        """What it may be called: parts and beginnings of its id, `cuda` for any of its kind."""
        beginnings = ("-".join(self.parts[:i]) for i in range(1, len(self.parts) + 1))
        return frozenset({self.device_type, *self.parts, *beginnings})

    @classmethod
    def of_old(cls, target: str) -> "TargetFields | None":
        """From the id alone, of records from before they held the fields; None where it is no
        speed's."""
        found = _TARGET_ID.fullmatch(target)
        if found is None:
            return None
        device, batch = found["device"], found["batch"]
        return cls(
            device=device if device == "cpu" else f"cuda:{device.removeprefix('cuda')}",
            runtime=found["runtime"],
            resolution=int(found["side"]),
            batch_size="auto" if batch == "auto" else int(batch),
            precision=found["precision"],
            form="deployed" if found["deployed"] else "plain",
            mode="training" if found["train"] else "inference",
        )


_TARGET_ID = re.compile(
    r"(?P<device>cpu|cuda\d+)-(?P<runtime>\w+)-(?P<side>\d+)-b(?P<batch>\d+|auto)-"
    r"(?P<precision>\w+)(?P<deployed>-deployed)?(?P<train>-train)?"
)


class _Placed:
    """What the notes of a record say of where it was taken."""

    __slots__ = ()
    target: str
    details: Mapping[str, Any]

    @property
    def on(self) -> TargetFields | None:
        """The target that a speed was measured on; None of other phases."""
        held = self.details.get("target")
        return TargetFields.of_old(self.target) if held is None else TargetFields(**held)

    @property
    def machine(self) -> Machine | None:
        """Where it was taken; None of records from before that was noted."""
        conditions = self.details.get("conditions") or {}
        host = conditions.get("machine")
        return Machine(host, conditions.get("processor", "")) if host else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(_Placed):
    """One phase of one trial, and how it ended. Everything in it is JSON."""

    label: str
    """The row of an ablation ("A") or the number of a search's candidate ("17")."""
    digest: str
    """Names the architecture: `ArchSpec.digest`, or `timm:NAME` for a peer."""
    arch: Mapping[str, Any]
    """`ArchSpec.to_dict()`, or `{"timm": NAME}`."""
    phase: str
    """A name of `evnas.tables.PHASES`."""
    status: Status
    seed: int = 0
    budget: float = 0.0
    """Image presentations of a proxy training; 0 for the other phases."""
    target: str = ""
    """The speed target's id (`cpu-torch-224-b16-float32`), what a score was taken of, or whose
    weights a training began with."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Point results: `params`, `macs_exact`, `top1_percent`, `peak_mib`, ..."""
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    """The learning curve, a point per epoch: `epoch`, `loss`, `top1_percent`, `images`."""
    error: str = ""
    """The reason of an end other than `complete`; a traceback when `failed`."""
    origin: str = ""
    """Where the candidate came from: `row`, `random`, `mutation of 12`, `published T.5`, ..."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else the report shows: implementation that ran, counts by part, conditions."""
    started: float = 0.0
    """Seconds since the epoch."""
    seconds: float = 0.0
    """Wall time of the phase; on its device, so its sum is the device time."""

    def __post_init__(self) -> None:
        must_be_an_end(self.status)

    @property
    def key(self) -> tuple[str, str, str, int, float, str]:
        """What makes two records the same work: never done twice in one study."""
        return (self.label, self.digest, self.phase, self.seed, self.budget, self.target)

    @property
    def samples(self) -> dict[str, Sequence[float]]:
        """Of each of its measurements, by name."""
        return {name: measured.samples for name, measured in self.measurements.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for the store and for JSON output."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Record":
        """The inverse of `to_dict`."""
        raw = dict(data)
        raw["measurements"] = {
            name: Measurement(m["name"], tuple(m["samples"]), m["conditions"])
            for name, m in raw["measurements"].items()
        }
        raw["curve"] = tuple(raw["curve"])
        return cls(**raw)


@dataclass(slots=True)
class Outline(_Placed):
    """Of a record what a search goes on by, with fields as `Record` has them. It is made in a
    third of the time, which counts where there are 450,000."""

    label: str
    digest: str
    arch: str
    """As JSON."""
    phase: str
    status: Status
    seed: int
    budget: float
    target: str
    values: Mapping[str, float]
    samples: Mapping[str, Sequence[float]]
    """Of each of its measurements, by name."""
    error: str
    origin: str
    details: Mapping[str, Any]
    seconds: float


def comparable(record: Record, home: Machine | None) -> Record:
    """The record; as `lost` where it is a speed of another kind of machine than those before.

    Args:
        home: the machine that timed its target first; None where none did.
    """
    there = record.machine
    if record.on is None or record.status != "complete" or home is None or there is None:
        return record
    if there.is_like(home):
        return record
    reason = f"timed on {there}, while {record.target} is timed on {home}: not comparable"
    return replace(record, status="lost", error=reason)


def ends_trial(status: Status, seed: int) -> bool:
    """Whether a search's trial ends by a record: by any that breaks a constraint or diverges. A
    further seed that was lost or timed out leaves what the first ones found as it is."""
    return status in ("infeasible", "diverged") or (status != "complete" and seed == 0)


def mixed_machines(records: Iterable[Record]) -> list[str]:
    """A sentence for each target whose speeds are of several machines."""
    times: dict[str, Counter[Machine]] = {}
    for record in records:
        if record.on is not None and record.status == "complete" and record.machine:
            times.setdefault(record.target, Counter())[record.machine] += 1
    return [
        f"speeds of {target} are of several machines, "
        f"{' and '.join(f'{n} of {machine}' for machine, n in of.items())}: they do not compare, "
        "only ratios taken in alternation do"
        for target, of in times.items()
        if len(of) > 1
    ]
