"""Where one forward spends its time: by part of the model, and by kind of operator.

Two readings of the same forward. Parts are timed by hooks, in the median one of a few forwards;
operators by torch's profiler, one forward, whose own cost makes its total larger. So the first
is milliseconds, the second shares.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from evnas.measure.stopwatch import Call
from evnas.measure.timing.profiling import kernels_of, profiled, raw_events, self_times_ns

FORWARDS = 5
LONGEST_S = 1.0
"""No further forward is timed after so long: of a slow one, one is enough."""
REST = "rest"
"""The part or kind of what belongs to no other."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "scan": ("evnas::selective_scan", "evnas::ss2d_scan", "evnas::hsm_ssd", "evnas::nc_ssd"),
    "norm": ("norm", "evnas::channel_layer_norm"),
    "convolution": ("conv",),
    "attention": ("attention", "flash", "softmax"),
    "matmul": ("mm", "matmul", "linear", "einsum", "gemm", "dot"),
    "copy": ("copy_", "contiguous", "cat", "stack", "flip", "pad", "index", "gather", "clone"),
    "pool": ("pool", "mean", "sum"),
    "elementwise": (
        *("add", "sub", "mul", "div", "sigmoid", "silu", "relu", "gelu", "exp", "softplus"),
        *("clamp", "neg", "sqrt", "rsub", "tanh", "pow", "square"),
    ),
}
"""Kind -> what an operator's name holds; the first kind that fits takes it."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """One forward's time, split twice."""

    latency_ms: float
    parts_ms: Mapping[str, float]
    """Path of a part (`stem`, `stages.0`, `stages.0.downsample`, `head`) -> milliseconds."""
    operators_fraction: Mapping[str, float]
    """Kind of operator -> its share of the forward; they add up to 1."""


def breakdown(call: Call, model: nn.Module, device: torch.device | str) -> Breakdown:
    """Split the time of an eager forward.

    Args:
        call: one eager forward of `model`, warmed up.
        model: its children are the parts; of a module list its items, and their downsampling
            by itself.
        device: where it runs.
    """
    device = torch.device(device)
    start = time.perf_counter()
    runs = [_timed_parts(call, model, device)]
    while len(runs) < FORWARDS and time.perf_counter() - start < LONGEST_S:
        runs.append(_timed_parts(call, model, device))
    latency, parts = sorted(runs, key=lambda run: run[0])[len(runs) // 2]
    parts[REST] = latency - sum(parts.values())
    return Breakdown(latency, parts, _operator_shares(call, device))


def kind_of(operator: str) -> str:
    """The kind of an operator by its name, such as `aten::mkldnn_convolution`."""
    for kind, marks in KINDS.items():
        if any(mark in operator for mark in marks):
            return kind
    return REST


def part_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Path -> module of the parts that a breakdown times apart."""
    found: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        items = child.named_children() if isinstance(child, nn.ModuleList) else [("", child)]
        for index, item in items:
            path = f"{name}.{index}" if index else name
            found[path] = item
            down = getattr(item, "downsample", None)
            if isinstance(down, nn.Module):
                found[f"{path}.downsample"] = down
    return found


def _operator_shares(call: Call, device: torch.device) -> dict[str, float]:
    profile = profiled(call, cuda=device.type == "cuda", memory=False)
    times: dict[str, int] = {}
    if device.type == "cuda":
        for kernel in kernels_of(raw_events(profile)):
            name = kernel.operator or kernel.name
            times[name] = times.get(name, 0) + kernel.ns
    else:
        times = self_times_ns(profile)
    shares: dict[str, float] = {}
    for name, spent in times.items():
        if spent > 0:
            kind = kind_of(name)
            shares[kind] = shares.get(kind, 0.0) + spent
    total = sum(shares.values())
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    return {kind: spent / total for kind, spent in ranked}


def _timed_parts(
    call: Call, model: nn.Module, device: torch.device
) -> tuple[float, dict[str, float]]:
    """Milliseconds of one forward, and of each part without the parts inside it."""
    mark, between = _marks(device)
    with _part_marks(model, mark) as marks:
        start = mark()
        call()
        end = mark()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    times = dict.fromkeys(part_modules(model), 0.0)
    stack: list[tuple[str, Any, float]] = []
    for path, entering, at in marks:
        if entering:
            stack.append((path, at, 0.0))
            continue
        _, entered, inside = stack.pop()
        spent = between(entered, at)
        times[path] += spent - inside
        if stack:
            outer, outer_at, outer_inside = stack.pop()
            stack.append((outer, outer_at, outer_inside + spent))
    return between(start, end), times


@contextmanager
def _part_marks(
    model: nn.Module, mark: Callable[[], Any]
) -> Iterator[list[tuple[str, bool, Any]]]:
    """(path, entering, mark) of every part, in the order of the forward."""
    marks: list[tuple[str, bool, Any]] = []

    def enter(path: str) -> Callable[..., None]:
        return lambda *_: marks.append((path, True, mark()))

    def leave(path: str) -> Callable[..., None]:
        return lambda *_: marks.append((path, False, mark()))

    handles = []
    for path, module in part_modules(model).items():
        handles.append(module.register_forward_pre_hook(enter(path)))
        handles.append(module.register_forward_hook(leave(path)))
    try:
        yield marks
    finally:
        for handle in handles:
            handle.remove()


def _marks(device: torch.device) -> tuple[Callable[[], Any], Callable[[Any, Any], float]]:
    """How to mark a moment on a device, and the milliseconds between two marks."""
    if device.type != "cuda":
        return time.perf_counter, lambda start, end: 1e3 * (end - start)

    def mark() -> Any:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch's own
        event.record(torch.cuda.current_stream(device))
        return event

    return mark, lambda start, end: float(start.elapsed_time(end))
