"""A depthwise 3x3 convolution and its activation in plain torch."""

from collections.abc import Callable, Mapping
from typing import Any

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
    return rounded_once(depthwise_conv_plain, x, weight, bias, stride, act)


def rounded_once(
    plain: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any
) -> Tensor:
    """A convolution in at least float32, activation included; its result in the dtype of x."""
    acc = accumulation_dtype(x)
    wide = None if bias is None else bias.to(acc)
    return plain(x.to(acc), weight.to(acc), wide, *rest).to(x.dtype)
