"""A trace: every operator that one forward calls, with shapes and the modules that own it.

The forward runs on the meta device, so nothing is computed. It runs in inference mode, where
torch hands over whole operators (`linear`, `matmul`, `scaled_dot_product_attention`) instead of
the parts that they are made of; one that no formula knows is taken apart as far as torch can.
Views are left out.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from evnas.errors import MeasurementError
from evnas.measure.counting.operators import is_free, is_view, known
from evnas.measure.counting.shapes import quick_result
from evnas.measure.operator_watch import OperatorWatch
from evnas.mixers import MIXERS

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TracedOp:
    """One call of one operator."""

    op: str
    """Namespace and name: `aten.conv2d`, `evnas.nc_ssd`."""
    arguments: Mapping[str, Any]
    """By the names of the operator's schema; a tensor is its shape (tuple), a missing one None."""
    outputs: tuple[Shape, ...]
    path: str
    """The innermost module: `stages.0.blocks.1.mixer`."""
    owners: tuple[str, ...]
    """Class names of the modules around the call, from the outermost in."""
    mixer: str = ""
    """Kind of the mixer that made the call, itself or through a child; empty outside of one."""

    def within(self, owner: str) -> bool:
        """Whether a module of class `owner` made the call, itself or through a child."""
        return owner in self.owners


class _Owner(NamedTuple):
    path: str
    name: str
    mixer: str


def record_forward(model: nn.Module, *inputs: Any) -> tuple[list[TracedOp], Any]:
    """Run `model` in eval mode on meta tensors and write down its operators.

    Args:
        model: on the meta device.
        inputs: what its forward takes, tensors on the meta device.

    Returns:
        The trace, and what the forward returned.

    Raises:
        MeasurementError: an operator has no formula, is not known to be free, and cannot be
            taken apart.
    """
    model.eval()
    with torch.inference_mode(), _owners(model) as stack:
        recorder = _Recorder(stack)
        with recorder:
            output = model(*inputs)
    return recorder.operations, output


class _Recorder(OperatorWatch):
    def __init__(self, stack: list[_Owner]) -> None:
        super().__init__()
        self.operations: list[TracedOp] = []
        self.stack = stack

    def run(
        self, func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        op = f"{func.namespace}.{func._opname}"
        if known(op):
            result = _result(func, args, kwargs)
            self._write(op, func, args, kwargs, result)
            return result
        if is_free(op) or is_view(func):
            return _result(func, args, kwargs)
        if func._can_decompose():
            with self:
                return func.decompose(*args, **kwargs)
        raise MeasurementError(
            f"operator {op} in {self._where()} has no FLOP formula and is not known to be free; "
            "add it to evnas/measure/counting/operators.py"
        )

    def _write(
        self,
        op: str,
        func: torch._ops.OpOverload,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Any,
    ) -> None:
        named = dict(zip((a.name for a in func._schema.arguments), args, strict=False))
        arguments = {name: _shape(value) for name, value in (named | dict(kwargs)).items()}
        results = result if isinstance(result, (tuple, list)) else (result,)
        outputs = tuple(tuple(r.shape) for r in results if isinstance(r, torch.Tensor))
        path, mixer = (self.stack[-1].path, self.stack[-1].mixer) if self.stack else ("", "")
        owners = tuple(owner.name for owner in self.stack)
        self.operations.append(TracedOp(op, arguments, outputs, path, owners, mixer))

    def _where(self) -> str:
        if not self.stack:
            return "the model"
        owner = self.stack[-1]
        return f"{owner.path or 'the model'} ({owner.name})"


def _result(func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    quick = None if kwargs else quick_result(func, args)
    return func(*args, **kwargs) if quick is None else quick


def _shape(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple)):
        return tuple(_shape(item) for item in value)
    return value


@contextmanager
def _owners(model: nn.Module) -> Iterator[list[_Owner]]:
    """A stack of the modules whose forward is running."""
    paths = {id(module): path for path, module in model.named_modules()}
    stack: list[_Owner] = []

    def enter(module: nn.Module, inputs: Any) -> None:
        mixer = MIXERS.of_module(type(module))
        kind = mixer.kind if mixer else stack[-1].mixer if stack else ""
        stack.append(_Owner(paths.get(id(module), ""), type(module).__name__, kind))

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        stack.pop()

    handles = [
        register_module_forward_pre_hook(enter),
        register_module_forward_hook(leave),
    ]
    try:
        yield stack
    finally:
        for handle in handles:
            handle.remove()
