"""The convolution as one operator that counters see whole: `evnas::dense_conv`."""

from typing import Any

from torch import Tensor

from evnas.kernels.operator import fake, operator
from evnas.kernels.precision import without_autocast

from .reference import Window, convolved


@operator("dense_conv")
@without_autocast
def dense_conv_op(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    groups: int,
    act: str,
) -> Tensor:
    """The activated map: torch's convolution, and one pass in Triton."""
    from .kernel import bias_and_activation_  # triton is optional

    y = convolved(x, weight, None, Window(stride, padding, groups))
    return bias_and_activation_(y, bias, act)


@fake(dense_conv_op)
def _(x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    *window, _act = rest
    return convolved(x, weight, None, Window(*window))
