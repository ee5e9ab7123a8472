"""Times of torch's operators in an eager forward, with the modules around them.

Each operator is met where torch hands it over before it is dispatched, and timed there by itself
on a CPU; what Python does between two of them, views included, belongs to none.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from evnas.errors import MeasurementError
from evnas.measure.anatomy.operator_time import OperatorTime
from evnas.measure.counting.operators import COPIES, MACS, macs
from evnas.measure.operator_watch import OperatorWatch

TYPES: Mapping[str, tuple[str, ...]] = {
    "Reorder": ("reorder",),
    "Resize": ("upsample",),
    "Normalization": ("norm",),
    "Conv": ("conv",),
    "Gemm": ("linear", "addmm", "aten.mm"),
    "MatMul": ("matmul", "bmm", "einsum", "attention"),
}
"""ONNX's type -> what the names of torch's operators hold; the first that fits takes it."""
STATE_SPACE = "StateSpace"
"""The type of our own operators but for the norm."""


Run = Callable[[int, Callable[[], Any]], tuple[Any, float]]
"""Runs an operator, given its number among those that are noted: its result, and milliseconds."""


def operator_times(model: nn.Module, images: torch.Tensor) -> list[OperatorTime]:
    """One forward's operators in their order.

    Args:
        model: in evaluation mode, plain or deployed, on the CPU.
        images: (B, 3, H, W), float32.
    """
    with torch.inference_mode():
        return noted_operators(lambda: model(images), model, _on_the_clock)


def noted_operators(call: Callable[[], object], model: nn.Module, run: Run) -> list[OperatorTime]:
    """The operators of a forward in their order.

    Args:
        call: one eager forward of `model`.
        run: runs each, and says what it took.
    """
    with _paths(model) as around:
        watch = _Watch(around, run)
        with watch:
            call()
    return watch.found


def _on_the_clock(number: int, operator: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = operator()
    return result, 1e3 * (time.perf_counter() - start)


class _Watch(OperatorWatch):
    def __init__(self, around: list[tuple[str, nn.Module]], run: Run) -> None:
        super().__init__()
        self.found: list[OperatorTime] = []
        self._around = around
        self._run = run

    def run(
        self, func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        result, ms = self._run(len(self.found), lambda: func(*args, **kwargs))
        if not (func.is_view and is_shared(result, args)):
            self.found.append(self._noted(func, args, kwargs, result, ms))
        return result

    def _noted(
        self,
        func: torch._ops.OpOverload,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Any,
        ms: float,
    ) -> OperatorTime:
        op = f"{func.namespace}.{func._opname}"
        named = dict(zip((a.name for a in func._schema.arguments), args, strict=False))
        named |= dict(kwargs)
        operands = list(_tensors(named.values()))
        results = list(_tensors([result]))
        kind = _type_of(op)
        path, module = self._around[-1] if self._around else ("", None)
        if kind == "MatMul" and hasattr(module, "mixer"):
            path += "/mixer"  # a block that calls another method of its mixer than its forward
        return OperatorTime(
            name=f"{path}/{kind}",
            operator=kind,
            ms=ms,
            flops=_flops(op, named, results),
            bytes=float(sum(map(_bytes, [*operands, *results]))),
            depthwise=kind == "Conv" and _is_depthwise(named),
        )


def is_shared(result: Any, args: Sequence[Any]) -> bool:
    """Whether an operator that may copy gave its input's own memory."""
    made, given = next(_tensors([result]), None), next(_tensors(args), None)
    if made is None or given is None:
        return False
    if any(tensor.layout is not torch.strided for tensor in (made, given)):
        return False
    return made.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()


def _type_of(op: str) -> str:
    """ONNX's type of an operator of torch, or its own name."""
    namespace, _, name = op.partition(".")
    for kind, marks in TYPES.items():
        if any(mark in op for mark in marks):
            return kind
    if namespace == "evnas":
        return STATE_SPACE
    return "Identity" if name.strip("_") in _COPIES else name


_COPIES = frozenset(name.strip("_") for name in f"{COPIES} _to_copy".split())


def _flops(op: str, named: Mapping[str, Any], results: Sequence[torch.Tensor]) -> float | None:
    """2 a multiply-add of a contraction, one an element of all else; None where no formula is
    known of one."""
    made = sum(result.numel() for result in results)
    if op == "mkldnn._linear_pointwise":
        return 2.0 * made * int(named["X"].shape[-1])
    if op == "mkldnn._convolution_pointwise":
        return 2.0 * made * float(prod(named["W"].shape)) / int(results[0].shape[1])
    if op in MACS:
        shapes = {name: _shape(value) for name, value in named.items()}
        try:
            count = macs(op, shapes, tuple(tuple(result.shape) for result in results))
        except MeasurementError:  # an einsum that nobody counts
            return None
        return 2.0 * count or float(made)
    contracts = _type_of(op) in ("Conv", "Gemm", "MatMul", STATE_SPACE)
    return None if contracts else float(made)


def _is_depthwise(named: Mapping[str, Any]) -> bool:
    return int(named.get("groups") or 1) > 1


def _bytes(tensor: torch.Tensor) -> int:
    """Of its own elements, not of those that a broadcast repeats."""
    if tensor.layout is not torch.strided:
        return tensor.numel() * tensor.element_size()
    sides = zip(tensor.shape, tensor.stride(), strict=True)
    return prod(side for side, stride in sides if stride) * tensor.element_size()


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _shape(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, list | tuple):
        return tuple(map(_shape, value))
    return value


@contextmanager
def _paths(model: nn.Module) -> Iterator[list[tuple[str, nn.Module]]]:
    """A stack of the modules whose forward is running, with their paths, `/stem/conv`."""
    paths = {id(m): f"/{path.replace('.', '/')}" for path, m in model.named_modules() if path}
    around: list[tuple[str, nn.Module]] = []

    def enter(module: nn.Module, inputs: Any) -> None:
        around.append((paths.get(id(module), around[-1][0] if around else ""), module))

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        around.pop()

    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        yield around
    finally:
        for handle in handles:
            handle.remove()
