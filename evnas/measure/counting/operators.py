"""What an operator costs: formulas in exact multiply-adds, and the operators known to be free.

The exact count is of contractions alone: convolutions, linear maps, matrix products, attention
and scans, one multiply-add (MAC) each, biases not counted; those of our own operators are in
`evnas.kernels.flops`. Norms, activations, gates, sums, pools and copies count nothing.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from evnas.errors import MeasurementError
from evnas.kernels import flops

Arguments = Mapping[str, Any]
Formula = Callable[[Arguments, tuple[tuple[int, ...], ...]], int]


def known(op: str) -> bool:
    """Whether calls of `op` are traced: it has a formula, or a convention may price it."""
    return op in MACS or op in PRICED_BY_PAPERS


def is_free(op: str) -> bool:
    """Whether `op` is on the list of operators that nobody counts."""
    return op in FREE


def is_view(func: torch._ops.OpOverload) -> bool:
    """Whether an overload only gives its input another shape, or works element by element."""
    return bool(func.is_view) or torch.Tag.pointwise in func.tags


def macs(op: str, arguments: Arguments, outputs: tuple[tuple[int, ...], ...]) -> int:
    """Exact multiply-adds of one call; 0 for an operator that is not a contraction."""
    formula = MACS.get(op)
    return formula(arguments, outputs) if formula else 0


def _convolution(a: Arguments, outputs: tuple[tuple[int, ...], ...]) -> int:
    """Batch times weight size times output positions; groups are in the weight's shape."""
    out, weight = outputs[0], a["weight"]
    spatial = len(weight) - 2
    batch = math.prod(out[: len(out) - spatial - 1])
    return int(batch * math.prod(weight) * math.prod(out[len(out) - spatial :]))


def _transposed_convolution(a: Arguments, outputs: tuple[tuple[int, ...], ...]) -> int:
    x, weight = a["input"], a["weight"]
    spatial = len(weight) - 2
    batch = math.prod(x[: len(x) - spatial - 1])
    return int(batch * math.prod(weight) * math.prod(x[len(x) - spatial :]))


def _linear(a: Arguments, outputs: tuple[tuple[int, ...], ...]) -> int:
    return math.prod(outputs[0]) * int(a["input"][-1])


def _product(left: str) -> Formula:
    """A matrix product: the output's size times the contracted side, batches broadcast."""

    def formula(a: Arguments, outputs: tuple[tuple[int, ...], ...]) -> int:
        return math.prod(outputs[0]) * int(a[left][-1])

    return formula


def _einsum(a: Arguments, outputs: tuple[tuple[int, ...], ...]) -> int:
    """All the indices together; only products of two operands, which contract at once."""
    equation, shapes = str(a["equation"]).replace(" ", ""), a["tensors"]
    if len(shapes) > 2 or "..." in equation:
        raise MeasurementError(
            "an einsum must have at most two operands and name every index to be counted, "
            f"got {equation!r}"
        )
    sizes = {
        index: size
        for term, shape in zip(equation.split("->")[0].split(","), shapes, strict=True)
        for index, size in zip(term, shape, strict=True)
    }
    return int(math.prod(sizes.values())) if len(shapes) == 2 else 0


def _attention(a: Arguments, outputs: tuple[tuple[int, ...], ...]) -> int:
    """q k^T and its product with v, every query with every key."""
    query, key, value = a["query"], a["key"], a["value"]
    return int(math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def _of_ours(formula: Callable[[Arguments], int]) -> Formula:
    return lambda a, outputs: formula(a)


MACS: Mapping[str, Formula] = {
    "aten.conv1d": _convolution,
    "aten.conv2d": _convolution,
    "aten.conv3d": _convolution,
    "aten.conv_transpose1d": _transposed_convolution,
    "aten.conv_transpose2d": _transposed_convolution,
    "aten.linear": _linear,
    "aten.matmul": _product("self"),
    "aten.mm": _product("self"),
    "aten.bmm": _product("self"),
    "aten.addmm": _product("mat1"),
    "aten.baddbmm": _product("batch1"),
    "aten.baddbmm_": _product("batch1"),
    "aten.einsum": _einsum,
    "aten.scaled_dot_product_attention": _attention,
    **{f"evnas.{name}": _of_ours(formula) for name, formula in flops.MACS.items()},
}

PRICED_BY_PAPERS = frozenset(
    {
        "aten.batch_norm",
        "aten.layer_norm",
        "aten.group_norm",
        "aten.adaptive_avg_pool1d",
        "aten.adaptive_avg_pool2d",
        "aten.mean",
    }
)
"""No contraction, so exactly free, but counted by one paper's convention or another's."""

COPIES = """
arange cat clone contiguous copy_ detach empty empty_like fill_ flip full gather index index_add
index_select index_copy lift_fresh masked_fill new_empty new_zeros ones ones_like pad
constant_pad_nd repeat repeat_interleave reshape roll scalar_tensor stack to tensor_split tile
unfold view_as zeros zeros_like zero_ _unsafe_view im2col col2im pixel_shuffle pixel_unshuffle
channel_shuffle type_as rand bernoulli_ upsample_nearest2d upsample_bilinear2d upsample_bicubic2d
meshgrid linspace new_ones new_full full_like select_scatter slice_scatter scatter flatten
"""
REDUCTIONS = """
amax amin any all argmax cumsum max min norm linalg_vector_norm prod sum var var_mean std
logsumexp avg_pool1d avg_pool2d max_pool2d max_pool1d adaptive_max_pool2d topk softmax
log_softmax _softmax _log_softmax
"""
ELEMENTWISE = """
dropout feature_dropout gelu glu mish prelu rrelu silu silu_ softplus hardswish hardswish_
hardsigmoid hardtanh relu6 one_hot where
"""
"""Those that torch itself does not mark as such."""

FREE = frozenset(f"aten.{name}" for name in (COPIES + REDUCTIONS + ELEMENTWISE).split())
"""Not counted, in the exact count and in every paper's."""
