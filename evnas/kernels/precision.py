"""In which dtype the operators keep their states and sums."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def accumulation_dtype(*tensors: Tensor) -> torch.dtype:
    """float64 where any input is float64, else float32: no state lives in half precision."""
    for t in tensors:
        if t.dtype == torch.float64:
            return torch.float64
    return torch.float32


def widest(first: Tensor, *others: Tensor) -> Tensor:
    """The first of the inputs that is float64, which decides the accumulation, else the first."""
    return next((t for t in (first, *others) if t.dtype == torch.float64), first)


def widen(tensor: Tensor, acc: torch.dtype) -> Tensor:
    """The tensor in accumulation dtype, with the contiguous strides that fake kernels promise."""
    return tensor.to(acc).contiguous()


def without_autocast(body: Callable[P, R]) -> Callable[P, R]:
    """An operator's body whose products keep the dtypes it chose, also in an autocast region."""

    @functools.wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        first = args[0]
        assert isinstance(first, Tensor)  # every operator has its input first
        if first.is_meta or not torch.is_autocast_enabled(first.device.type):
            return body(*args, **kwargs)
        with torch.autocast(first.device.type, enabled=False):
            return body(*args, **kwargs)

    return run
