"""Arithmetic on convolutions: what stands beside one is moved into its weight and bias.

Sums and products are taken in float64 and stored in the convolution's own dtype. Every function
gives a new `nn.Conv2d` with a bias; its argument is left as it was.
"""

import torch
from torch import Tensor, nn

from evnas.blocks.deployment.shapes import is_batch_norm, is_by_pixel, takes_identity


def batch_norm_affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift, (C,) in float64, that a batch norm applies by its running statistics.

    Raises:
        ValueError: it keeps no running statistics, so its inference form is no fixed map.
    """
    assert is_batch_norm(norm)
    mean, var, weight, bias = (
        getattr(norm, name) for name in ("running_mean", "running_var", "weight", "bias")
    )
    if mean is None or var is None:
        raise ValueError("a batch norm must keep running statistics to be deployed")
    eps = norm.eps
    assert isinstance(eps, float)
    scale = (var.double() + eps).rsqrt()
    if weight is not None:
        scale = scale * weight.double()
    shift = -mean.double() * scale
    if bias is not None:
        shift = shift + bias.double()
    return scale, shift


def scaled_after(conv: nn.Conv2d, scale: Tensor, shift: Tensor | float = 0.0) -> nn.Conv2d:
    """scale * conv(x) + shift; scale and shift (C',)."""
    weight = conv.weight.double() * scale.double()[:, None, None, None]
    return _like(conv, weight, _bias(conv) * scale.double() + shift)


def scaled_before(conv: nn.Conv2d, scale: Tensor, shift: Tensor) -> nn.Conv2d:
    """conv(scale * x + shift); scale and shift (C,).

    Raises:
        ValueError: the convolution is no linear map of a pixel: a shift would reach into padding.
    """
    if not is_by_pixel(conv):
        raise ValueError(f"a shift can be moved into a linear map of a pixel only: {conv}")
    weight = conv.weight.double()
    moved = (weight * shift.double()[None, :, None, None]).sum((1, 2, 3))
    return _like(conv, weight * scale.double()[None, :, None, None], _bias(conv) + moved)


def depthwise_scaled_before(conv: nn.Conv2d, scale: Tensor) -> nn.Conv2d:
    """conv(scale * x) of a depthwise convolution; scale (C,)."""
    assert conv.groups == conv.in_channels == conv.out_channels
    return scaled_after(conv, scale, _bias(conv) * (1 - scale.double()))


def with_identity(conv: nn.Conv2d, share: Tensor | float = 1.0) -> nn.Conv2d:
    """conv(x) + share * x, share (C,) or a number, of a depthwise convolution that keeps H x W."""
    assert takes_identity(conv)
    weight = conv.weight.detach().double().clone()  # (C, 1, k, k')
    weight[:, 0, conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] += share
    return _like(conv, weight, _bias(conv))


def _bias(conv: nn.Conv2d) -> Tensor:
    if conv.bias is None:
        return conv.weight.new_zeros(conv.out_channels, dtype=torch.float64)
    return conv.bias.double()


def _like(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    made = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        (conv.kernel_size[0], conv.kernel_size[1]),
        (conv.stride[0], conv.stride[1]),
        (int(conv.padding[0]), int(conv.padding[1])),
        groups=conv.groups,
        device="meta",
    )
    dtype = conv.weight.dtype
    made.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    made.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
    return made
