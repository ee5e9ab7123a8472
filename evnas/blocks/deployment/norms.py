"""Norms in inference: the part that is a fixed map per channel, and where it may go."""

from torch import nn

from evnas.blocks.deployment.fold import batch_norm_affine, scaled_after, scaled_before
from evnas.blocks.deployment.rule import replace_child
from evnas.blocks.deployment.shapes import is_batch_norm, is_by_pixel, is_convolution
from evnas.blocks.layers import ConvNorm
from evnas.blocks.norms import ChannelNorm


def merged_norm(conv_norm: ConvNorm) -> nn.Conv2d | None:
    """Convolution and batch norm as one convolution; None where the norm is of another kind."""
    if not is_convolution(conv_norm.conv):
        return None
    if type(conv_norm.norm) is nn.Identity:
        return conv_norm.conv
    if is_batch_norm(conv_norm.norm):
        return scaled_after(conv_norm.conv, *batch_norm_affine(conv_norm.norm))
    return None


def bare_conv(module: nn.Module) -> nn.Conv2d | None:
    """A `ConvNorm` without activation as one convolution; None of any other module."""
    if type(module) is not ConvNorm or type(module.act) is not nn.Identity:
        return None
    return merged_norm(module)


def norm_absorbed(norm: nn.Module, conv: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Move a norm's fixed part into the 1x1 convolution that alone reads it.

    Returns:
        What is left of the norm (nothing of a batch norm, the normalization itself of a layer
        norm), and the convolution. Both as they are, where it is no such convolution.
    """
    if not is_by_pixel(conv):
        return norm, conv
    assert isinstance(conv, nn.Conv2d)
    if is_batch_norm(norm):
        return nn.Identity(), scaled_before(conv, *batch_norm_affine(norm))
    if type(norm) is ChannelNorm and norm.weight is not None and norm.bias is not None:
        return without_affine(norm), scaled_before(conv, norm.weight, norm.bias)
    return norm, conv


def absorb_norm(module: nn.Module, norm: str, conv: str) -> None:
    """`norm_absorbed` of two of a module's children, in place."""
    moved = norm_absorbed(getattr(module, norm), getattr(module, conv))
    for name, child in zip((norm, conv), moved, strict=True):
        replace_child(module, name, child)


def without_affine(norm: nn.Module) -> nn.Module:
    """A layer norm's normalization alone; nothing of a batch norm."""
    if isinstance(norm, ChannelNorm):
        return ChannelNorm(0, affine=False, impl=norm.impl)
    return nn.Identity()
