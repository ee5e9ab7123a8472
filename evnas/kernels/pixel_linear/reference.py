"""A linear map at each pixel, and what stands around it, in plain torch."""

import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.channel_layer_norm import channel_layer_norm
from evnas.kernels.depthwise_conv.reference import ACTIVATIONS
from evnas.kernels.precision import accumulation_dtype

EPS = 1e-5  # of the layer norm


def pixel_linear_plain(
    x: Tensor, weight: Tensor, bias: Tensor, total: Tensor | None, norm: bool, act: str
) -> Tensor:
    """Operator by operator, in the dtype of `weight`."""
    if norm:
        x = channel_layer_norm(x, None, None, EPS).to(weight.dtype)
    y = ACTIVATIONS[act](F.conv2d(x, weight[..., None, None], bias))
    return y if total is None else total + y


def pixel_linear_reference(
    x: Tensor, weight: Tensor, bias: Tensor, total: Tensor | None, norm: bool, act: str
) -> Tensor:
    """In at least float32, rounded once."""
    acc = accumulation_dtype(x, weight)
    wide = None if total is None else total.to(acc)
    y = pixel_linear_plain(x.to(acc), weight.to(acc), bias.to(acc), wide, norm, act)
    return y.to(weight.dtype)
