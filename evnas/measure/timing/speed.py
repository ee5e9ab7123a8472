"""One speed measurement from a model and a target: prepare, lock the device, time, weigh."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes import ready_call
from evnas.measure.runtimes.torch_eager import eager
from evnas.measure.stopwatch import Call, stopwatch_for
from evnas.measure.target import Target
from evnas.measure.timing.allocator import keep_freed_memory
from evnas.measure.timing.breakdown import Breakdown, breakdown
from evnas.measure.timing.conditions import about_cpu, moment
from evnas.measure.timing.device_lock import (
    DeviceLock,
    device_lock_for,
    kept_from_measurements,
)
from evnas.measure.timing.energy import Energy, NoMeter, energy_meter_for, measure_energy
from evnas.measure.timing.implementations import implementations
from evnas.measure.timing.memory import METHODS, peak_mib
from evnas.measure.timing.noise_monitor import noise_monitor_for
from evnas.measure.timing.priority import priority_for
from evnas.measure.timing.protocol import Protocol, guarded, time_alternating, time_forward
from evnas.record import Measurement
from evnas.runtime import Pictures
from evnas.tables import RUNTIMES


@dataclass(frozen=True, slots=True)
class TimedModel:
    """A model ready to be timed on a target whose device and batch are settled."""

    model: nn.Module
    images: torch.Tensor
    """(B, 3, S, S) of standard normal values, drawn with a fixed seed."""
    call: Call
    target: Target
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the runtime says of itself: precision, threads, how far it is from torch."""
    taken: str = ""
    """The runtime that `best` took."""

    @property
    def runtime(self) -> str:
        """What runs it."""
        return self.taken or self.target.runtime


@dataclass(frozen=True, slots=True)
class Speed:
    """What one measurement found."""

    measurements: Mapping[str, Measurement]
    """`latency_ms`, `throughput_img_s`; in alternation also `base_latency_ms` and
    `throughput_ratio`."""
    peak_mib: float | None
    """None where the runtime keeps its memory to itself."""
    conditions: Mapping[str, Any]
    implementations: Mapping[str, str]
    """State-space operator -> the implementation of it that ran."""
    breakdown: Breakdown | None
    """Where a forward's time goes; None where the runtime does not run the model part by part,
    in training, and where timing was broken off beyond a limit."""
    energy: Energy | None = None
    """None where the device does not count it, and where timing was broken off."""


def prepare(
    model: nn.Module,
    target: Target,
    pictures: Callable[[], Pictures] | None = None,
    device_lock: DeviceLock | None = None,
) -> TimedModel:
    """Move a model to the target's device and build the call that runs it there; on a GPU beside
    other work of ours, and never beside a measurement.

    Args:
        model: takes (B, 3, S, S); put into the mode of the target here, eval or train. Its form
            (plain or deployed) has to be the target's already.
        target: resolved, with an integer batch size (`Target.resolved`, `Target.with_batch`).
        pictures: gives images of a data set, for a runtime that calibrates.
        device_lock: the device's own, unless given.

    Raises:
        OutOfMemory: the model or its input does not fit.
        MeasurementError: the runtime cannot run here, or not this model, or does not give what
            torch gives.
    """
    if target.batch_size == "auto" or target.device == "auto":
        raise MeasurementError(
            "the target's device and batch must be settled before measuring, got "
            f"device {target.device!r} and batch_size {target.batch_size!r}"
        )
    batch = target.batch_size

    def build() -> TimedModel:
        device = torch.device(target.host_device)
        placed = model.train(target.mode == "training").to(device)
        generator = torch.Generator().manual_seed(0)
        shape = (batch, 3, target.resolution, target.resolution)
        images = torch.randn(shape, generator=generator).to(device)
        ready = ready_call(placed, images, target, pictures)
        if device.type == "cuda":
            ready()  # compiles kernels for these shapes, minutes that no warm-up has
            torch.cuda.synchronize(device)  # what it started ends within the lock
        return TimedModel(placed, images, ready.run, target, ready.facts)

    with kept_from_measurements(target.host_device, device_lock):
        return guarded(build)


def measure_speed(
    candidate: TimedModel,
    base: TimedModel | None = None,
    *,
    protocol: Protocol | None = None,
    device_lock: DeviceLock | None = None,
    device_lock_timeout_s: float = float("inf"),
    base_is_warm: bool = False,
) -> Speed:
    """Time a candidate, alone or in alternation with the base, with the device to ourselves.

    Args:
        candidate: from `prepare`.
        base: from `prepare`, on the same target; None times the candidate alone.
        device_lock: the device's own, unless given.
        device_lock_timeout_s: how long to wait for other work of ours to make way.
        base_is_warm: it was timed before, as it is.

    Raises:
        OutOfMemory: a call does not fit.
        MeasurementError: the lock stayed taken, or the two targets differ.
    """
    target = candidate.target
    if base is not None and base.target != target:
        raise MeasurementError(
            f"base and candidate must share a target, got {base.target.id} and {target.id}"
        )
    device_lock = device_lock or device_lock_for(target.host_device)
    memory = keep_freed_memory()
    with device_lock.measuring(device_lock_timeout_s):
        before = moment()
        measurements = _timed(candidate, base, protocol, base_is_warm=base_is_warm)
        peak = _peak(candidate)
        on = replace(target, runtime=candidate.runtime)
        ran = implementations(candidate.model, candidate.images, on)
        if RUNTIMES.get(on.runtime).onnx_form:
            ran = dict.fromkeys(ran, "onnx")  # whatever torch would take
        split, given_up = None, measurements["latency_ms"].conditions["beyond_a_limit"]
        if on.runtime == "torch" and target.mode == "inference" and not given_up:
            split = breakdown(candidate.call, candidate.model, target.device)
        energy = None if given_up else _energy(candidate, measurements["latency_ms"].median)
    conditions = {
        **measurements["latency_ms"].conditions,
        "target": target.id,
        "torch_threads": torch.get_num_threads(),
        "runtime": {"name": candidate.runtime, **candidate.facts},
        "cpu": _about_cpu(target, measurements["latency_ms"].conditions["precedence"]),
        "host_memory": memory,
        "implementations": ran,
        "before": before,
        "after": moment(),
        "peak_mib_method": METHODS[target.device_type] if peak is not None else "not measured",
        **({} if energy is None else {"energy": asdict(energy)}),
    }
    return Speed(measurements, peak, conditions, ran, split, energy)


def _timed(
    candidate: TimedModel,
    base: TimedModel | None,
    protocol: Protocol | None,
    *,
    base_is_warm: bool,
) -> dict[str, Measurement]:
    device = candidate.target.host_device
    images = len(candidate.images)
    stopwatch, watch, priority = (
        stopwatch_for(device),
        noise_monitor_for(device),
        priority_for(device),
    )
    if base is None:
        return time_forward(
            candidate.call,
            images=images,
            stopwatch=stopwatch,
            watch=watch,
            protocol=protocol,
            priority=priority,
        )
    return time_alternating(
        base.call,
        candidate.call,
        images=images,
        stopwatch=stopwatch,
        watch=watch,
        protocol=protocol,
        base_is_warm=base_is_warm,
        priority=priority,
    )


def _about_cpu(target: Target, precedence: str) -> list[str]:
    """What is to be said of the CPU above the figures, none of a GPU's."""
    if target.device_type != "cpu":
        return []
    return [*about_cpu(torch.get_num_threads()), *([precedence] if precedence else [])]


def _energy(subject: TimedModel, latency_ms: float) -> Energy | None:
    try:
        meter = energy_meter_for(subject.target.device)
    except NoMeter:  # `evnas doctor` says why
        return None
    found = measure_energy(
        subject.call,
        images=len(subject.images),
        call_s=latency_ms / 1e3,
        meter=meter,
        stopwatch=stopwatch_for(subject.target.host_device),
    )
    return found if found.joules > 0 else None  # a counter that stands still, or began again at 0


def _peak(subject: TimedModel) -> float | None:
    """Of a CUDA graph that of the forward it captured: a replay allocates nothing. None of what
    runs an exported model, in memory of its own."""
    target, call = subject.target, subject.call
    if not RUNTIMES.get(subject.runtime).tells_memory:
        return None
    if subject.runtime == "cuda_graph":
        call = eager(subject.model, subject.images, target)
    return guarded(lambda: peak_mib(call, subject.model, subject.images))
