"""What a forward asks of a device."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from evnas.measure.anatomy.torch_operators import is_shared


def traffic_bytes(call: Callable[[], object]) -> int:
    """Bytes that the operators of a call read and write, each tensor counted at each use.

    Views cost nothing. Within an operator nothing is counted, so what a fused one keeps to itself
    does not show, and caches may serve a part of the rest.
    """
    with torch.inference_mode(), _Traffic() as traffic:
        call()
    return int(traffic.total)


class _Traffic(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        # in inference mode `contiguous` or `to` come whole, as views that may have copied
        if not (func.is_view and is_shared(result, args)) and "empty" not in func._opname:
            self.total += sum(map(_bytes, (*args, *(kwargs or {}).values(), result)))
        return result


def _bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    return sum(map(_bytes, value)) if isinstance(value, (tuple, list)) else 0
