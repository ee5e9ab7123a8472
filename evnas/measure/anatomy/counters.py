"""Where the time of a forward goes: in torch, and by the counters of the runtimes that have some.

Every operator is put into a stage by its name, which says where in the model it stands, and into a
kind by what it is and where it stands. Its FLOPs and bytes follow from its operands' shapes, where
the runtime tells them; set against the device's ceilings of the same run they say what bounds it.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.anatomy.operator_time import OperatorTime
from evnas.measure.anatomy.torch_kernels import operator_times as kernel_times
from evnas.measure.anatomy.torch_operators import STATE_SPACE, operator_times
from evnas.measure.runtimes.onnx_export import export
from evnas.measure.runtimes.torch_eager import eager
from evnas.measure.stopwatch import stopwatch_for
from evnas.measure.target import Target
from evnas.measure.timing.allocator import keep_freed_memory
from evnas.measure.timing.ceilings import copy_bytes_s, matmul_flop_s
from evnas.measure.timing.noise_monitor import noise_monitor_for

FORWARDS = 8
LEAST_S, MOST_FORWARDS = 1.0, 50
"""Forwards that nobody watches go on for so long, or until there were so many."""
LEAST_OF_CEILING = 0.25
"""What reaches less of both ceilings is bound by neither, but by calls or by how it is written."""
REST = "rest"
GAPS = "gaps"
LOOPS = ("Scan", "Loop", "TensorIterator")

KINDS: Mapping[str, tuple[str, ...]] = {
    "scan or state product": (*LOOPS, STATE_SPACE),
    "norm": ("Normalization", "MVN", "RMS", "BatchNorm"),
    "depthwise": ("GroupConv",),
    "projection": ("Conv", "MatMul", "Gemm", "FullyConnected"),
    "copies": (
        *("Transpose", "Reshape", "Reorder", "Concat", "Slice", "Split", "Gather", "Pad"),
        *("Squeeze", "Flatten", "Expand", "Identity"),
    ),
}
"""Kind -> what an operator's type holds; the first that fits takes it."""
ELEMENTWISE = "elementwise"
FFN = "ffn"
BYTES = {"float": 4, "int64": 8, "int32": 4, "bool": 1, "float16": 2, "double": 8}


@dataclass(frozen=True, slots=True)
class OperatorGroup:
    """The operators of one kind in one stage."""

    stage: str
    kind: str
    ms: float
    gflop: float | None
    mib: float | None
    bound: str
    """`memory` or `arithmetic`, whichever takes longer at the ceilings; `neither` below
    `LEAST_OF_CEILING` of it; "" where nobody knows."""
    of_ceiling: float | None
    """The least time at that ceiling over the time that it took."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A forward, taken apart."""

    runtime: str
    latency_ms: float
    """Of forwards that were not profiled, the shortest."""
    profiled_ms: float
    """What its operators add up to, each at its shortest, where they are noted down."""
    copy_bytes_s: float
    flop_s: float
    parts: tuple[OperatorGroup, ...]
    """They add up to the latency. What belongs to no operator are gaps; what a scan takes is what
    the others leave, since noting each of its steps costs more than the step; and where operators
    still take more than the forward did, all are shortened alike."""
    disturbed: str = ""
    """What else the machine did meanwhile, which makes gaps and ceilings doubtful."""


def anatomy(model: nn.Module, images: torch.Tensor, target: Target) -> Anatomy:
    """Take a model's forward apart.

    Args:
        model: in evaluation mode, in the target's form, on its device.
        images: (B, 3, H, W), float32, on the same device.
        target: one that `must_be_read` lets pass.

    Raises:
        MeasurementError: the model has no form in the target's runtime.
    """
    keep_freed_memory()
    device, dtype = images.device, getattr(torch, target.precision)
    monitor, watch = noise_monitor_for(device), stopwatch_for(device)
    before = monitor.read()
    if device.type == "cuda":
        latency_ms, operators = _by_kernels(model, images, target)
    else:
        latency_ms, operators = READERS[target.runtime](model, images)
    copied, multiplied = copy_bytes_s(device, watch), matmul_flop_s(device, dtype, watch)
    parts = _parts(latency_ms, operators, copied, multiplied)
    return Anatomy(
        runtime=target.runtime,
        latency_ms=latency_ms,
        profiled_ms=sum(each.ms for each in operators),
        copy_bytes_s=copied,
        flop_s=multiplied,
        parts=tuple(parts),
        disturbed=monitor.spoiled(before, monitor.read()),
    )


def must_be_read(target: Target) -> None:
    """`anatomy` takes forwards apart that are like the target's.

    Raises:
        MeasurementError: another runtime, device or precision, whose counters are not read.
    """
    if target.runtime not in READERS:
        raise MeasurementError(
            f"a breakdown by stage and kind is read from the runtimes {', '.join(READERS)}, "
            f"got {target.runtime!r}"
        )
    if target.device_type == "cuda":
        if target.runtime != "torch":
            raise MeasurementError(
                "a breakdown by stage and kind is read on a GPU from the runtime torch, got "
                f"{target.runtime!r}"
            )
    elif target.device != "cpu" or target.precision != "float32":
        raise MeasurementError(
            "a breakdown by stage and kind is read of float32 on the CPU, got "
            f"{target.precision} on {target.device}"
        )


def stage_of(name: str) -> str:
    """`stages.0`, `stem`, `downsampling` or `head` by an operator's name; "" where it has none."""
    if "downsample" in name:  # before the stages: its scope may stand outside of them
        return "downsampling"
    if found := re.search(r"stages[./](\d+)", name):
        return f"stages.{found[1]}"
    return next((part for part in ("stem", "head") if f"/{part}" in name), "")


def kind_of(operator: OperatorTime) -> str:
    """What an operator does for the model."""
    if re.search(r"/(mlp|ffn)", operator.name):
        return FFN
    if operator.depthwise:
        return "depthwise"
    for kind, marks in KINDS.items():
        if any(mark in operator.operator for mark in marks):
            own = kind == "projection" and re.search(r"/mixer/(MatMul|Einsum)", operator.name)
            return "scan or state product" if own else kind
    return ELEMENTWISE


def _parts(
    latency_ms: float, operators: Sequence[OperatorTime], copied: float, multiplied: float
) -> Iterator[OperatorGroup]:
    groups: dict[tuple[str, str], list[OperatorTime]] = {}
    stage = REST
    for each in operators:
        stage = stage_of(each.name) or stage  # a fused one may have lost its name: in passing
        groups.setdefault((stage, kind_of(each)), []).append(each)
    loops, others = _shortened(latency_ms, operators)
    left = latency_ms
    for (stage, kind), members in groups.items():
        ms = sum(each.ms * (loops if each.operator in LOOPS else others) for each in members)
        left -= ms
        flops, size = (_total(members, what) for what in ("flops", "bytes"))
        bound, of_ceiling = "", None
        if flops is not None and size is not None and ms > 0:
            times = {"memory": size / copied, "arithmetic": flops / multiplied}
            bound = max(times, key=lambda name: times[name])
            of_ceiling = 1e3 * times[bound] / ms
            bound = bound if of_ceiling >= LEAST_OF_CEILING else "neither"
        yield OperatorGroup(
            stage=stage,
            kind=kind,
            ms=ms,
            gflop=None if flops is None else flops / 1e9,
            mib=None if size is None else size / 2**20,
            bound=bound,
            of_ceiling=of_ceiling,
        )
    yield OperatorGroup(REST, GAPS, max(0.0, left), None, None, "", None)


def _shortened(latency_ms: float, operators: Sequence[OperatorTime]) -> tuple[float, float]:
    """What the profiled times of loops, and of others, are multiplied by to fit the latency."""
    loops = sum(each.ms for each in operators if each.operator in LOOPS)
    others = sum(each.ms for each in operators) - loops
    if loops + others <= latency_ms:
        return 1.0, 1.0
    if loops and others < latency_ms:
        return (latency_ms - others) / loops, 1.0
    share = latency_ms / (loops + others)
    return share, share


def _total(members: Sequence[OperatorTime], what: str) -> float | None:
    found = [getattr(each, what) for each in members]
    return None if None in found else float(sum(found))


def _shortest_ms(call: Callable[[], object], device: torch.device | str = "cpu") -> float:
    watch = stopwatch_for(device)
    call()
    times: list[float] = []
    while len(times) < FORWARDS or (sum(times) < LEAST_S and len(times) < MOST_FORWARDS):
        times.append(watch.time(call, 1))
    return 1e3 * min(times)


def _each_at_its_shortest(forwards: Sequence[Sequence[OperatorTime]]) -> list[OperatorTime]:
    """Other work on the machine only ever slows one; a first forward warms up."""
    return [min(same, key=lambda each: each.ms) for same in zip(*forwards[1:], strict=True)]


def _by_torch(model: nn.Module, images: torch.Tensor) -> tuple[float, list[OperatorTime]]:
    def forward() -> object:
        with torch.inference_mode():
            return model(images)

    latency_ms = _shortest_ms(forward)
    runs = [operator_times(model, images) for _ in range(FORWARDS + 1)]
    return latency_ms, _each_at_its_shortest(runs)


def _by_kernels(
    model: nn.Module, images: torch.Tensor, target: Target
) -> tuple[float, list[OperatorTime]]:
    """On a GPU, where gaps are the time in which it waited for launches."""
    call = eager(model, images, target)
    latency_ms = _shortest_ms(call, images.device)
    runs = [kernel_times(call, model) for _ in range(FORWARDS + 1)]
    return latency_ms, _each_at_its_shortest(runs)


def _by_onnxruntime(model: nn.Module, images: torch.Tensor) -> tuple[float, list[OperatorTime]]:
    import onnxruntime  # an extra

    graph = export(model, images)
    fed = {"images": images.numpy()}

    def session(**settings: Any) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        for name, value in settings.items():
            setattr(options, name, value)
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    plain = session()
    latency_ms = _shortest_ms(lambda: plain.run(None, fed))
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder) / "profile")
        watched = session(enable_profiling=True, profile_file_prefix=prefix)
        for _ in range(FORWARDS + 1):
            watched.run(None, fed)
        events = json.loads(Path(watched.end_profiling()).read_text())
    return latency_ms, _each_at_its_shortest(
        [[_of_event(event) for event in forward] for forward in _forwards(events)]
    )


def _forwards(events: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The operators of each forward in their order, without those inside of a loop."""
    kernels = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
    for run in (e for e in events if e["name"] == "model_run"):
        end, inside, found = run["ts"] + run["dur"], -1, []
        own = (e for e in kernels if run["ts"] <= e["ts"] <= end)
        for event in sorted(own, key=lambda e: (e["ts"], -e["dur"])):
            if event["ts"] < inside:
                continue
            if event["args"]["op_name"] in LOOPS:
                inside = event["ts"] + event["dur"]
            found.append(event)
        yield found


def _of_event(event: Mapping[str, Any]) -> OperatorTime:
    about, name = event["args"], event["name"].removesuffix("_kernel_time")
    kind, inputs, outputs = about["op_name"], *_shapes(about)
    if ("MatMul" in kind or "Gemm" in kind) and all(len(shape) < 2 for _, shape in inputs[1:]):
        # weights that were packed when the model was loaded are not among the inputs
        inputs.append((4, (inputs[0][1][-1], outputs[0][1][-1])))
    return OperatorTime(
        name=name,
        operator=kind,
        ms=event["dur"] / 1e3,
        flops=_flops(name, kind, inputs, outputs),
        bytes=float(sum(size * prod(shape) for size, shape in (*inputs, *outputs))),
        depthwise="Conv" in kind and inputs[1][1][1] == 1 and inputs[1][1][0] > 1,
    )


Operand = tuple[int, tuple[int, ...]]
"""Bytes an element, and the shape."""


def _shapes(about: Mapping[str, Any]) -> tuple[list[Operand], list[Operand]]:
    def read(key: str) -> list[Operand]:
        return [
            (BYTES.get(dtype, 4), tuple(shape))
            for operand in about.get(key, ())
            for dtype, shape in operand.items()
        ]

    return read("input_type_shape"), read("output_type_shape")


def _flops(name: str, kind: str, inputs: Sequence[Operand], outputs: Sequence[Operand]) -> float:
    """Of the definition: what a scan's form in the graph computes twice counts once."""
    from evnas.kernels.onnx_form.nodes import PRODUCT, WALKED  # needs onnx

    made = sum(prod(shape) for _, shape in outputs)
    if "Conv" in kind:
        return 2.0 * made * prod(inputs[1][1][1:])
    if "MatMul" in kind or "Gemm" in kind:
        return 2.0 * made * inputs[0][1][-1]
    if kind in LOOPS:  # of each state in each step: input, decay, read-out
        states, sequence = inputs[0][1], inputs[-1][1]  # (K, ...) and (L, K, ...), or L in two
        steps = sequence[0] * sequence[1] // states[0]
        walked = 6.0 * prod(states) * steps * name.endswith(WALKED)
        return walked + 2.0 * prod(sequence) * inputs[-2][1][-1] * (PRODUCT in name)
    return float(made)


def _by_openvino(model: nn.Module, images: torch.Tensor) -> tuple[float, list[OperatorTime]]:
    import openvino  # an extra

    core = openvino.Core()
    graph = core.read_model(export(model, images))
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",
    }

    def request(**more: Any) -> Any:
        return core.compile_model(graph, "CPU", settings | more).create_infer_request()

    fed = images.numpy()
    plain, watched = request(), request(PERF_COUNT=True)
    latency_ms = _shortest_ms(lambda: plain.infer([fed]))
    runs = []
    for _ in range(FORWARDS + 1):
        watched.infer([fed])
        runs.append([_of_info(info) for info in watched.get_profiling_info()])
    return latency_ms, [each for each in _each_at_its_shortest(runs) if each.ms > 0]


def _of_info(info: Any) -> OperatorTime:
    return OperatorTime(
        name=info.node_name,
        operator=info.node_type,
        ms=info.real_time.total_seconds() * 1e3,
        depthwise="GroupConv" in info.node_type,
    )


Reader = Callable[[nn.Module, torch.Tensor], tuple[float, list[OperatorTime]]]
READERS: Mapping[str, Reader] = {
    "torch": _by_torch,
    "onnx": _by_onnxruntime,
    "openvino": _by_openvino,
}
