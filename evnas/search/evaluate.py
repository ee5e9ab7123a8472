"""Evaluate one phase of one candidate: work in, record out, whatever happens.

Out of memory, a loss that is not finite and an exception are records too.
"""

import platform
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evnas.errors import EvnasError
from evnas.kernels import Impl
from evnas.measure.flops import count, count_module
from evnas.measure.lane import lane_for
from evnas.measure.protocol import OutOfMemory, Protocol, is_out_of_memory
from evnas.measure.speed import Subject, measure_speed, prepare
from evnas.measure.target import Target
from evnas.proxy import budget as budgets
from evnas.proxy.budget import ProxyBudget
from evnas.proxy.data import ProxyData, load_data
from evnas.proxy.hooks import Hooks
from evnas.proxy.seeding import seeded
from evnas.proxy.training import train
from evnas.record import Status
from evnas.search.machines import machine_here
from evnas.search.models import model_for, proxy_model
from evnas.search.scoring import scored
from evnas.search.work import Finished, Work
from evnas.space.arch import ArchSpec

OnProgress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class _Found:
    """What a phase that came to an end found."""

    status: Status = "complete"
    error: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    rest: Mapping[str, Any] = field(default_factory=dict)
    """`measurements`, `curve` and `details` of the record."""
    busy_s: float = 0.0


@dataclass(slots=True)
class Evaluator:
    """Evaluates work in one process; keeps the reference model and the data between works."""

    _data: dict[str, ProxyData] = field(default_factory=dict)
    _reference: tuple[str, Subject] | None = None

    def run(self, work: Work, on_progress: OnProgress) -> Finished:
        """Do the work. Never raises for what the candidate does."""
        started, clock = time.time(), time.perf_counter()
        try:
            found = self._phases()[work.phase](work, on_progress)
        except Exception as e:  # the one place: a candidate's failure is a result
            found = _failure(e)
        seconds = time.perf_counter() - clock
        record = work.record(
            found.status,
            error=found.error,
            started=started,
            seconds=seconds,
            found={"values": found.values, **_placed(found.rest)},
        )
        return Finished(work, record, found.busy_s)

    def _phases(self) -> dict[str, Callable[[Work, OnProgress], _Found]]:
        return {
            "count": _counted,
            "speed": self._timed,
            "score": self._scored,
            "proxy": self._trained,
        }

    def _timed(self, work: Work, on_progress: OnProgress) -> _Found:
        assert work.speed is not None
        fields = dict(work.speed)
        protocol = Protocol(budget_s=fields.pop("budget_s"))
        target = Target(**fields)
        start = time.perf_counter()
        subject = prepare(_for_target(work.arch, target), target)
        base = self._prepared_reference(work, target)
        speed = measure_speed(subject, base, protocol=protocol)
        split = {} if speed.breakdown is None else {"breakdown": asdict(speed.breakdown)}
        peak = {} if speed.peak_mib is None else {"peak_mib": speed.peak_mib}
        return _Found(
            values={
                "throughput_img_s": speed.measurements["throughput_img_s"].median,
                "latency_ms": speed.measurements["latency_ms"].median,
                **peak,
            },
            rest={
                "measurements": speed.measurements,
                "details": {
                    "conditions": {
                        **speed.conditions,
                        "processor": machine_here(target.device).processor,
                    },
                    "resolution": work.resolution,
                    "implementations": dict(speed.implementations),
                    **split,
                },
            },
            busy_s=time.perf_counter() - start,
        )

    def _prepared_reference(self, work: Work, target: Target) -> Subject | None:
        if work.reference is None:
            return None
        name = f"{target.id} {sorted(work.reference.items())}"
        if self._reference is None or self._reference[0] != name:
            self._reference = None  # the old one's memory goes first
            self._reference = (name, prepare(_for_target(work.reference, target), target))
        return self._reference[1]

    def _trained(self, work: Work, on_progress: OnProgress) -> _Found:
        assert work.proxy is not None
        self._reference = None
        proxy = work.proxy
        device = Target(device=proxy["device"]).resolved().device
        data = self._loaded(proxy, device)
        with seeded(work.seed, "init"):
            model = proxy_model(work.arch, proxy, classes=len(data.classes))
        names = (
            *("epochs", "images_per_epoch", "resolution", "batch_size", "lr", "precision"),
            *("points_per_epoch", "curve_images", "held_out_images"),
        )
        budget = ProxyBudget(**{name: proxy[name] for name in names if name in proxy})

        def tell(at: budgets.Progress) -> None:
            rate = f"{at.throughput_img_s:.0f} img/s"
            on_progress(at.step / at.total, f"loss {at.loss:.2f}, {rate}")

        start = time.perf_counter()
        result = train(
            model,
            data,
            budget,
            seed=work.seed,
            until_epoch=work.until_epoch,
            checkpoint=Path(work.checkpoint) if work.checkpoint else None,
            hooks=Hooks(lane=lane_for(device).working, on_progress=tell),
        )
        here_s = time.perf_counter() - start  # the result's own counts earlier rungs too
        return _Found(
            status=result.status,
            error=result.error,
            values=result.values() | _last_loss(result),
            rest={
                "curve": tuple(point.to_dict() for point in result.curve),
                "details": {
                    **result.details,
                    "correct_hex": result.correct_hex,
                    "proxy_params": sum(p.numel() for p in model.parameters()),
                    "classes": len(data.classes),
                },
            },
            busy_s=min(result.seconds, here_s),
        )

    def _scored(self, work: Work, on_progress: OnProgress) -> _Found:
        assert work.proxy is not None
        start = time.perf_counter()
        device = Target(device=work.proxy["device"]).resolved().device
        data = self._loaded(work.proxy, device)
        with lane_for(device).working():
            values = scored(work.arch, work.proxy, data, names=work.scores, seed=work.seed)
        return _Found(values=values, busy_s=time.perf_counter() - start)

    def _loaded(self, proxy: Mapping[str, Any], device: str) -> ProxyData:
        name = f"{proxy['data']} {proxy['resolution']} {device}"
        if name not in self._data:
            self._data[name] = load_data(
                proxy["data"], resolution=proxy["resolution"], device=device
            )
        return self._data[name]


def _placed(rest: Mapping[str, Any]) -> dict[str, Any]:
    """What a phase found, with the machine among its conditions."""
    details = rest.get("details", {})
    conditions = {"machine": platform.node(), **details.get("conditions", {})}
    return {**rest, "details": {**details, "conditions": conditions}}


def _last_loss(result: budgets.ProxyResult) -> dict[str, float]:
    """The mean training loss behind the curve's last point."""
    if not result.curve or result.status == "diverged":
        return {}
    return {"loss": result.curve[-1].loss}


def _counted(work: Work, on_progress: OnProgress) -> _Found:
    if "timm" in work.arch:
        with torch.device("meta"):
            model = model_for(work.arch, resolution=work.resolution)
        counts = count_module(model, work.resolution)
    else:
        counts = count(ArchSpec.from_dict(work.arch), work.resolution)
    values = {"params": float(counts.params), "macs_exact": float(counts.macs["exact"])}
    if work.convention is not None:
        values["macs"] = float(counts.macs[work.convention])
    parts = [
        {"path": part.path, "params": part.params, "macs_exact": part.macs("exact")}
        for part in counts.parts
    ]
    details = {"convention": work.convention, "resolution": work.resolution, "parts": parts}
    return _Found(values=values, rest={"details": details})


def _for_target(arch: Mapping[str, Any], target: Target) -> nn.Module:
    """The published form, or its deployed form, with parameters that a fixed seed draws."""
    impl: Impl = "reference" if target.runtime == "onnx" else "auto"
    with seeded(0, "speed"):
        model = model_for(arch, resolution=target.resolution, impl=impl).eval()
    if target.form == "plain":
        return model
    from evnas.blocks.deploy import deploy  # only this form needs it

    deployed: nn.Module = deploy(model)
    return deployed


def _failure(error: Exception) -> _Found:
    if isinstance(error, OutOfMemory) or is_out_of_memory(error):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return _Found(status="oom", error=str(error).splitlines()[0] if str(error) else "")
    if isinstance(error, EvnasError):
        return _Found(status="failed", error=str(error))
    return _Found(status="failed", error="".join(traceback.format_exception(error)))
