"""A depthwise 3x3 convolution and its activation in plain torch."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.precision import accumulation_dtype

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "none": lambda y: y,
    "relu": torch.relu,
    "silu": F.silu,
    "gelu": F.gelu,
}


def depthwise_conv_plain(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, act: str
) -> Tensor:
    """As torch runs it, in the dtype of x."""
    return ACTIVATIONS[act](F.conv2d(x, weight, bias, stride, padding=1, groups=x.shape[1]))


def depthwise_conv_reference(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, act: str
) -> Tensor:
    """In at least float32, rounded once."""
    acc = accumulation_dtype(x)
    wide = None if bias is None else bias.to(acc)
    return depthwise_conv_plain(x.to(acc), weight.to(acc), wide, stride, act).to(x.dtype)
