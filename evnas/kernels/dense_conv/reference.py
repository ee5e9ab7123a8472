"""A convolution and its activation in plain torch."""

import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.depthwise_conv.reference import ACTIVATIONS
from evnas.kernels.precision import accumulation_dtype


def dense_conv_plain(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    groups: int,
    act: str,
) -> Tensor:
    """As torch runs it, in the dtype of x."""
    return ACTIVATIONS[act](F.conv2d(x, weight, bias, stride, padding, 1, groups))


def dense_conv_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    groups: int,
    act: str,
) -> Tensor:
    """In at least float32, rounded once."""
    acc = accumulation_dtype(x)
    wide = None if bias is None else bias.to(acc)
    y = dense_conv_plain(x.to(acc), weight.to(acc), wide, stride, padding, groups, act)
    return y.to(x.dtype)
