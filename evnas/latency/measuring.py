"""Times one part or network on a target, in turn with an anchor: always the same network."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from evnas.arch.catalog import catalog
from evnas.arch.spec import ArchSpec
from evnas.errors import EvnasError, MeasurementError
from evnas.latency.parts import MapOnly, Part, input_of
from evnas.latency.table import Timed
from evnas.measure.counting.flops import count
from evnas.measure.ranking import in_turn
from evnas.measure.runtimes import ready_call
from evnas.measure.stopwatch import Stopwatch, stopwatch_for
from evnas.measure.target import Target
from evnas.measure.timing.device_lock import DeviceLock, device_lock_for
from evnas.measure.timing.protocol import guarded
from evnas.measure.timing.speed import TimedModel, prepare
from evnas.phases.speed import model_on
from evnas.proxy.seeding import seeded
from evnas.tables import RUNTIMES, chooses

ANCHOR, ANCHOR_SIDE = "efficientvim_m1", 224
"""One image of it, whatever is measured: it only says how fast the machine is at the moment."""
ROUNDS = 9
MOST_S = 0.8
"""Seconds of timing for one of them, beyond which there are fewer rounds."""


class Measurer(Protocol):
    """Times on one target; tests have one of their own."""

    def part(self, part: Part) -> Timed:
        """A part, for a batch of its inputs; refused where the runtime cannot run it."""
        ...

    def network(self, arch: ArchSpec) -> Timed:
        """A whole network, for a batch of images; refused likewise."""
        ...


def what_part(part: Part) -> dict[str, Any]:
    """A part as a table names it."""
    return {"part": part.to_dict()}


def what_network(arch: ArchSpec, resolution: int) -> dict[str, Any]:
    """A network as a table names it."""
    return {"network": arch.to_dict(), "resolution": resolution}


def must_be_predictable(target: Target) -> Target:
    """The target, where parts of a model can be timed on it one by one.

    Raises:
        MeasurementError: they cannot.
    """
    if chooses(target.runtime):
        raise MeasurementError(
            f"a calibration is of one runtime, and {target.runtime!r} takes another for each "
            "model: name one, such as --target runtime=openvino (`evnas doctor` ranks those of "
            "this machine)"
        )
    if target.by_command or target.mode == "training" or RUNTIMES.get(target.runtime).calibrates:
        kind = "by a command" if target.by_command else f"{target.runtime}, mode {target.mode}"
        raise MeasurementError(
            f"a calibration times parts of models in inference, which target {target.id} ({kind}) "
            "does not; a runtime such as torch, onnx or openvino does"
        )
    return target


@dataclass(slots=True)
class TargetMeasurer:
    """On this machine."""

    target: Target
    """Settled."""
    stopwatch: Stopwatch | None = None
    device_lock: DeviceLock | None = None
    clock: Callable[[], float] = time.time
    _anchor: TimedModel | None = field(default=None, repr=False)

    def part(self, part: Part) -> Timed:
        """A part, for a batch of its inputs; refused where the runtime cannot run it."""
        return self._timed({"what": what_part(part)}, lambda: self._ready_part(part))

    def network(self, arch: ArchSpec) -> Timed:
        """A whole network, for a batch of images; refused likewise."""
        side = self.target.resolution
        about = {"what": what_network(arch, side), "macs": float(count(arch, side).macs["exact"])}
        return self._timed(about, lambda: self._ready_network(arch, self.target))

    def _ready_network(self, arch: ArchSpec, target: Target) -> TimedModel:
        return prepare(model_on(arch.to_dict(), target), target)

    def _ready_part(self, part: Part) -> TimedModel:
        target = self.target
        impl: Any = "reference" if RUNTIMES.get(target.runtime).plain_operators else "auto"
        with seeded(0, "speed"):
            module = part.module(impl=impl).eval()
        images = input_of(part, _batch(target))

        def build() -> TimedModel:
            if target.form == "deployed":
                form, given = _deployed(module, images, target)
            else:
                form, given = module, images
            placed, given = MapOnly(form).eval().to(target.device), given.to(target.device)
            ready = ready_call(placed, given, target)
            return TimedModel(placed, given, ready.run, target, ready.facts)

        return guarded(build)

    def _timed(self, about: dict[str, Any], ready: Callable[[], TimedModel]) -> Timed:
        start = self.clock()
        about = {**about, "batch_size": _batch(self.target), "at": start}
        anchor = self._anchored()
        stopwatch = self.stopwatch or stopwatch_for(self.target.device)
        try:
            subject = ready()
            with (self.device_lock or device_lock_for(self.target.device)).measuring():
                of_anchor, samples = guarded(
                    lambda: in_turn([anchor, subject], stopwatch, ROUNDS, MOST_S)
                )
        except EvnasError as e:  # it does not fit, or has no form in this runtime
            return Timed(**about, refused=str(e), seconds=self.clock() - start)
        return Timed(
            **about,
            latency_ms=min(samples),
            anchor_ms=min(of_anchor),
            samples=len(samples),
            seconds=self.clock() - start,
        )

    def _anchored(self) -> TimedModel:
        """Made ready once.

        Raises:
            MeasurementError: the runtime cannot run even that.
        """
        if self._anchor is None:
            target = replace(self.target, batch_size=1, resolution=ANCHOR_SIDE)
            self._anchor = self._ready_network(catalog()[ANCHOR].arch, target)
        return self._anchor


def _batch(target: Target) -> int:
    if target.batch_size == "auto":
        raise ValueError("the target's batch must be settled before measuring")
    return target.batch_size


def _deployed(module: nn.Module, images: Tensor, target: Target) -> tuple[nn.Module, Tensor]:
    """A part's deployed form, and its input as the part before it hands it over."""
    from evnas.measure.runtimes.deployed_form import deployed_form  # only this form needs it

    form = deployed_form(module, target)
    weights = next((p.dtype for p in form.parameters() if p.ndim > 1), images.dtype)
    layout = torch.channels_last if form.layout == "channels_last" else torch.contiguous_format
    return form, images.to(dtype=weights, memory_format=layout)
