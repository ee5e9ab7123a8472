"""Norms in inference: the part that is a fixed map per channel, and where it may go."""

from torch import nn

from evnas.blocks.deployment.fold import batch_norm_affine, scaled_after, scaled_before
from evnas.blocks.layers import ConvNorm
from evnas.blocks.norms import BatchNorm2d, ChannelNorm


def merged_norm(conv_norm: ConvNorm) -> nn.Conv2d | None:
    """Convolution and batch norm as one convolution; None where the norm is of another kind."""
    if isinstance(conv_norm.norm, nn.Identity):
        return conv_norm.conv
    if isinstance(conv_norm.norm, BatchNorm2d):
        return scaled_after(conv_norm.conv, *batch_norm_affine(conv_norm.norm))
    return None


def norm_absorbed(norm: nn.Module, conv: nn.Conv2d) -> tuple[nn.Module, nn.Conv2d]:
    """Move a norm's fixed part into the 1x1 convolution that alone reads it.

    Returns:
        What is left of the norm (nothing of a batch norm, the normalization itself of a layer
        norm), and the convolution.
    """
    if isinstance(norm, BatchNorm2d):
        return nn.Identity(), scaled_before(conv, *batch_norm_affine(norm))
    if isinstance(norm, ChannelNorm) and norm.weight is not None and norm.bias is not None:
        return without_affine(norm), scaled_before(conv, norm.weight, norm.bias)
    return norm, conv


def without_affine(norm: nn.Module) -> nn.Module:
    """A layer norm's normalization alone; nothing of a batch norm."""
    if isinstance(norm, ChannelNorm):
        return ChannelNorm(0, affine=False, impl=norm.impl)
    return nn.Identity()
