"""The convolution as one operator that counters see whole: `evnas::dense_conv`."""

import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.operator import fake, operator
from evnas.kernels.precision import without_autocast


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

    return bias_and_activation_(F.conv2d(x, weight, None, stride, padding, 1, groups), bias, act)


@fake(dense_conv_op)
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    groups: int,
    act: str,
) -> Tensor:
    return F.conv2d(x, weight, None, stride, padding, 1, groups)
