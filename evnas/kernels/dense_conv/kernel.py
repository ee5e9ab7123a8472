"""Bias and activation in Triton: one pass over a map, in place, in the order of its memory."""

import triton
import triton.language as tl
from torch import Tensor

from evnas.kernels.depthwise_conv.kernel import activated

ELEMENTS = 2048  # of a program; 16 a thread
WARPS = 4


@triton.jit
def _bias_and_activation(
    y_ptr, bias_ptr, to_ptr, total, C, inner, BIAS: tl.constexpr, ACT: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # int32 overflows
    inside = i < total
    y = tl.load(y_ptr + i, inside, 0.0).to(tl.float32)
    if BIAS:
        y += tl.load(bias_ptr + i // inner % C, inside, 0.0).to(tl.float32)
    tl.store(to_ptr + i, activated(y, ACT).to(to_ptr.dtype.element_ty), inside)


def bias_and_activation_(y: Tensor, bias: Tensor | None, act: str) -> Tensor:
    """act(y + bias) in place of y (B, C, H, W), which is dense in either memory format."""
    if bias is None and act == "none":
        return y
    C, inner = y.shape[1], y.shape[2] * y.shape[3]
    if not y.is_contiguous():  # channels last: C values of a pixel after one another
        inner = 1
    _bias_and_activation[(triton.cdiv(y.numel(), ELEMENTS),)](
        y, y if bias is None else bias.contiguous(), y, y.numel(), C, inner,
        BIAS=bias is not None, ACT=act, BLOCK=ELEMENTS, num_warps=WARPS,
    )  # fmt: skip
    return y
