"""Normalization layers, and which of them stands where."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.arch.spec import Norm
from evnas.kernels import Impl, channel_layer_norm

NormKind = Literal["layer", "batch"]
EPS = 1e-5


class ChannelNorm(nn.Module):
    """Layer norm over the channels at each position of (B, C, *spatial), eps 1e-5."""

    def __init__(self, dim: int, *, affine: bool = True, impl: Impl = "auto") -> None:
        super().__init__()
        self.weight, self.bias = None, None
        if affine:
            self.weight = nn.Parameter(torch.empty(dim))
            self.bias = nn.Parameter(torch.empty(dim))
            nn.init.ones_(self.weight)
            nn.init.zeros_(self.bias)
        self.impl: Impl = impl

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return channel_layer_norm(x, self.weight, self.bias, EPS, impl=self.impl)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm of (B, C, H, W); a lone value per channel is normalized by running statistics.

    torch refuses such a batch in training, but one image whose last map is 1x1 is a legal input.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        if _is_lone(self, x):
            return _running(self, x)
        return _widened(self, x) if _is_wider(self, x) else super().forward(x)


class BatchNorm1d(nn.BatchNorm1d):
    """Batch norm of hidden states (B, C, N), with the same care for a lone value."""

    def forward(self, h: Tensor) -> Tensor:
        """Same shape."""
        if _is_lone(self, h):
            return _running(self, h)
        return _widened(self, h) if _is_wider(self, h) else super().forward(h)


def _is_lone(norm: nn.BatchNorm2d | nn.BatchNorm1d, x: Tensor) -> bool:
    return norm.training and x.numel() == x.shape[1]


def _is_wider(norm: nn.BatchNorm2d | nn.BatchNorm1d, x: Tensor) -> bool:
    """Whether the input is a sum that stayed float32 in a model of half precision."""
    stats = norm.running_mean
    return stats is not None and stats.dtype.itemsize < x.dtype.itemsize


def _widened(norm: nn.BatchNorm2d | nn.BatchNorm1d, x: Tensor) -> Tensor:
    """The norm in the dtype of x; torch takes no narrower parameters than the input."""
    mean, var, weight, bias = (
        None if t is None else t.to(x.dtype)
        for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    momentum = norm.momentum or 0.0
    y = F.batch_norm(x, mean, var, weight, bias, norm.training, momentum, norm.eps)
    if norm.training:
        assert mean is not None and var is not None
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
    return y


def _running(norm: nn.BatchNorm2d | nn.BatchNorm1d, x: Tensor) -> Tensor:
    mean, var = norm.running_mean, norm.running_var
    return F.batch_norm(x, mean, var, norm.weight, norm.bias, False, 0.0, norm.eps)


@dataclass(frozen=True, slots=True)
class Norms:
    """The two normalizations of a design: of tokens (before mixers and MLPs, inside mixers, in
    heads) and after the convolutions of blocks."""

    tokens: NormKind
    convs: NormKind
    impl: Impl = "auto"

    def token(self, dim: int) -> nn.Module:
        """For maps (B, C, H, W)."""
        return ChannelNorm(dim, impl=self.impl) if self.tokens == "layer" else BatchNorm2d(dim)

    def plain(self, dim: int) -> nn.Module:
        """The same without weight and bias."""
        if self.tokens == "layer":
            return ChannelNorm(dim, affine=False, impl=self.impl)
        return BatchNorm2d(dim, affine=False)

    def state(self, dim: int) -> nn.Module:
        """For hidden states (B, C, N)."""
        return ChannelNorm(dim, impl=self.impl) if self.tokens == "layer" else BatchNorm1d(dim)

    def conv(self, dim: int) -> nn.Module:
        """After a convolution of a block."""
        return ChannelNorm(dim, impl=self.impl) if self.convs == "layer" else BatchNorm2d(dim)


def norms(kind: Norm, *, impl: Impl = "auto") -> Norms:
    """`partial_ln` as the papers have it; `full_bn` and `ln` use one kind throughout a block.

    Source: `full_bn` is row L of EfficientViM's Table C (arXiv 2411.15241, supplement).
    """
    return {
        "partial_ln": Norms("layer", "batch", impl),
        "full_bn": Norms("batch", "batch", impl),
        "ln": Norms("layer", "layer", impl),
    }[kind]
