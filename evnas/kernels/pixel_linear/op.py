"""The linear map of pixels as one operator that counters see whole: `evnas::pixel_linear`."""

from typing import Any

from torch import Tensor

from evnas.kernels.dispatch import require
from evnas.kernels.operator import fake, operator
from evnas.kernels.precision import widest


@operator("pixel_linear")
def pixel_linear_op(
    x: Tensor, weight: Tensor, bias: Tensor, total: Tensor | None, norm: bool, act: str
) -> Tensor:
    """total + act(weight n(x) + bias), in the dtype of `weight`, by Triton."""
    require("pixel_linear", "triton", widest(x, weight))
    from .kernel import pixel_linear_triton  # triton is optional

    return pixel_linear_triton(x, weight, bias, total, norm=norm, act=act)


@fake(pixel_linear_op)
def _(x: Tensor, weight: Tensor, bias: Tensor, total: Tensor | None, *_: Any) -> Tensor:
    return empty_output(x, weight, total)


def empty_output(x: Tensor, weight: Tensor, total: Tensor | None) -> Tensor:
    """A map for the result: channels last where those of `total`, or else of x, lie next to each
    other."""
    (B, _, H, W), out = x.shape, weight.shape[0]
    like = x if total is None else total
    if like.stride(1) == 1 and like.shape[1] > 1:
        return weight.new_empty((B, H, W, out)).permute(0, 3, 1, 2)
    return weight.new_empty((B, out, H, W))
