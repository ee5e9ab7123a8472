"""A convolution and its activation in plain torch."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.depthwise_conv.reference import ACTIVATIONS, rounded_once


class Window(NamedTuple):
    """How a convolution walks over its map."""

    stride: list[int]
    """By row and by column, as the padding."""
    padding: list[int]
    groups: int


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window) -> Tensor:
    """Torch's convolution, in the dtype of x."""
    return F.conv2d(x, weight, bias, window.stride, window.padding, 1, window.groups)


def dense_conv_plain(
    x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, act: str
) -> Tensor:
    """As torch runs it, in the dtype of x."""
    return ACTIVATIONS[act](convolved(x, weight, bias, window))


def dense_conv_reference(
    x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, act: str
) -> Tensor:
    """In at least float32, rounded once."""
    return rounded_once(dense_conv_plain, x, weight, bias, window, act)
