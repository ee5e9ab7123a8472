"""Output shapes of the commonest operators, so that a count need not run torch's meta kernels.

Those are written in Python for most operators and take a hundred times as long; the first of them
loads torch's compiler, which takes seconds. An operator that is not here goes to torch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Outputs = Callable[..., Tensor | None]
"""From an operator's arguments to an empty result, or None where torch has to say."""


def quick_result(func: torch._ops.OpOverload, args: tuple[Any, ...]) -> Tensor | None:
    """An empty tensor like the one that `func` would return; None where torch has to say.

    Args:
        args: positional arguments; calls with keyword arguments are for torch.
    """
    name = func._opname
    if name in RESULTS and func.namespace in ("aten", "evnas"):
        return RESULTS[name](*args)
    if torch.Tag.pointwise in func.tags and func._overloadname in ("default", "Tensor", "Scalar"):
        return _elementwise(name, args)
    return None


def _elementwise(name: str, args: tuple[Any, ...]) -> Tensor | None:
    """Like the one floating-point operand that has the result's shape; in place, that one."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    if not tensors or any(t.dtype != tensors[0].dtype for t in tensors):
        return None
    if not tensors[0].is_floating_point() or name in NOT_FLOATING:
        return None
    if name.endswith("_"):
        return tensors[0]
    first = tensors[0]
    if len(tensors) == 1 or all(t.shape == first.shape for t in tensors):
        return _like(first)
    if len(tensors) > 2:
        return None
    shape = _broadcast(first.shape, tensors[1].shape)
    if shape is None:
        return None
    like = next((t for t in tensors if t.shape == shape), None)
    return first.new_empty(shape) if like is None else _like(like)


def _broadcast(left: Sequence[int], right: Sequence[int]) -> tuple[int, ...] | None:
    """The shape of both together; None where they do not fit. Torch's own loads what compiles
    with symbolic shapes, a second in each process that counts."""
    longest = max(len(left), len(right))
    sides = [(1,) * (longest - len(shape)) + tuple(shape) for shape in (left, right)]
    if any(a != b and 1 not in (a, b) for a, b in zip(*sides, strict=True)):
        return None
    return tuple(b if a == 1 else a for a, b in zip(*sides, strict=True))


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    dims = weight.ndim - 2
    if x.ndim != weight.ndim or isinstance(padding, str):
        return None
    if x.shape[1] != weight.shape[1] * groups:
        return None  # torch words the refusal
    sides = [
        (size + 2 * pad - gap * (kernel - 1) - 1) // step + 1
        for size, kernel, step, pad, gap in zip(
            x.shape[2:],
            weight.shape[2:],
            *(_each(value, dims) for value in (stride, padding, dilation)),
            strict=True,
        )
    ]
    if min(sides) < 1:
        return None
    return x.new_empty((x.shape[0], weight.shape[0], *sides))


def _each(value: Any, dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    if weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
        return None
    return x.new_empty((*x.shape[:-1], weight.shape[0]))


def _same(x: Tensor, *rest: Any) -> Tensor:
    return _like(x)


def _like(x: Tensor) -> Tensor:
    return x.new_empty_strided(x.shape, x.stride())  # empty_like is written in Python on meta


def _reduced(x: Tensor, dims: Any = None, keepdim: bool = False) -> Tensor | None:
    if not isinstance(dims, (list, tuple)) or not x.is_floating_point():
        return None
    axes = {dim % x.ndim for dim in dims}
    kept = [1 if i in axes else n for i, n in enumerate(x.shape) if keepdim or i not in axes]
    return x.new_empty(kept)


def _softmax(x: Tensor, dim: int, dtype: Any = None) -> Tensor | None:
    return _like(x) if dtype in (None, x.dtype) else None


def _stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    first = tensors[0]
    if any(t.shape != first.shape or t.dtype != first.dtype for t in tensors):
        return None
    place = dim % (first.ndim + 1)
    return first.new_empty((*first.shape[:place], len(tensors), *first.shape[place:]))


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    first, place = tensors[0], dim % tensors[0].ndim
    others = [t.shape[:place] + t.shape[place + 1 :] for t in tensors]
    if any(other != others[0] for other in others) or any(t.dtype != first.dtype for t in tensors):
        return None
    joined = sum(t.shape[place] for t in tensors)
    return first.new_empty((*first.shape[:place], joined, *first.shape[place + 1 :]))


def _pad(x: Tensor, pads: Sequence[int], mode: str = "constant", *rest: Any) -> Tensor | None:
    if mode != "constant":
        return None
    sides = list(x.shape)
    for i in range(len(pads) // 2):
        sides[-1 - i] += pads[2 * i] + pads[2 * i + 1]
    return x.new_empty(sides) if min(sides) > 0 else None


def _attention(query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> Tensor | None:
    if query.ndim != 4 or query.shape[:2] != value.shape[:2]:
        return None
    return query.new_empty((*query.shape[:-1], value.shape[-1]))


def _matmul(left: Tensor, right: Tensor) -> Tensor | None:
    if left.ndim != right.ndim or left.ndim < 2 or left.shape[-1] != right.shape[-2]:
        return None
    batch = _broadcast(left.shape[:-2], right.shape[:-2])
    if batch is None:
        return None
    return left.new_empty((*batch, left.shape[-2], right.shape[-1]))


NOT_FLOATING = frozenset(
    ("eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "logical_not", "signbit")
)
RESULTS: Mapping[str, Outputs] = {
    "conv1d": _convolution,
    "conv2d": _convolution,
    "linear": _linear,
    "matmul": _matmul,
    "scaled_dot_product_attention": _attention,
    "batch_norm": _same,
    "cat": _cat,
    "pad": _pad,
    "softmax": _softmax,
    "stack": _stack,
    "sum": _reduced,
    "gelu": _same,
    "silu": _same,
    "softplus": _same,
    "dropout": _same,
    "mean": _reduced,
    "channel_layer_norm": _same,
    "selective_scan": _same,
    "ss2d_scan": _same,
}
