"""Between stages, (B, C, H, W) -> (B, C', ceil(H / 2), ceil(W / 2))."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.blocks.layers import ConvNorm, PixelLinear
from evnas.blocks.norms import BatchNorm2d, ChannelNorm
from evnas.blocks.squeeze_excite import SqueezeExcite
from evnas.kernels import Impl

EXPANSION = 4


class EfficientVimDownsample(nn.Module):
    """Depthwise residual, inverted bottleneck of 4C' with SE, depthwise residual.

    Source: EfficientViM, arXiv 2411.15241, Figure 4, as released.
    """

    def __init__(self, dim: int, out_dim: int, *, impl: Impl = "auto") -> None:
        super().__init__()
        hidden = EXPANSION * out_dim
        self.dwconv1 = ConvNorm(dim, dim, 3, norm=BatchNorm2d, groups=dim)
        self.expand = ConvNorm(dim, hidden, norm=BatchNorm2d, act=nn.ReLU)
        self.dwconv = ConvNorm(
            hidden, hidden, 3, norm=BatchNorm2d, stride=2, groups=hidden, act=nn.ReLU
        )
        self.se = SqueezeExcite(hidden, hidden // 4)
        self.project = ConvNorm(hidden, out_dim, norm=BatchNorm2d)
        self.dwconv2 = ConvNorm(out_dim, out_dim, 3, norm=BatchNorm2d, groups=out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', ceil(H / 2), ceil(W / 2))."""
        x = x + self.dwconv1(x)
        x = self.project(self.se(self.dwconv(self.expand(x))))
        y: Tensor = x + self.dwconv2(x)
        return y


class VssdDownsample(nn.Module):
    """Inverted bottleneck of 4C' with biases, batch norm after the last convolution alone.

    Source: VSSD, arXiv 2407.18559, as released.
    """

    def __init__(self, dim: int, out_dim: int, *, impl: Impl = "auto") -> None:
        super().__init__()
        hidden = EXPANSION * out_dim
        self.expand = ConvNorm(dim, hidden, bias=True, act=nn.ReLU)
        self.dwconv = ConvNorm(hidden, hidden, 3, stride=2, groups=hidden, bias=True, act=nn.ReLU)
        self.project = ConvNorm(hidden, out_dim, norm=BatchNorm2d, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', ceil(H / 2), ceil(W / 2))."""
        y: Tensor = self.project(self.dwconv(self.expand(x)))
        return y


class SimpleVssdDownsample(nn.Module):
    """conv3x3/2 with bias, ReLU, layer norm: VSSD's simple toggle."""

    def __init__(self, dim: int, out_dim: int, *, impl: Impl = "auto") -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, out_dim, 3, 2, 1)
        self.act = nn.ReLU()
        self.norm = ChannelNorm(out_dim, impl=impl)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', ceil(H / 2), ceil(W / 2))."""
        y: Tensor = self.norm(self.act(self.conv(x)))
        return y


class PatchMerging(nn.Module):
    """The four phases of the map side by side, layer norm, linear map: v1.

    Source: VMamba, arXiv 2401.10166, Table 3 (Vanilla-VMamba); EfficientVMamba; after Swin, arXiv
    2103.14030, Section 3.1.
    """

    def __init__(self, dim: int, out_dim: int, *, impl: Impl = "auto") -> None:
        super().__init__()
        self.norm = ChannelNorm(4 * dim, impl=impl)
        self.reduction = PixelLinear(4 * dim, out_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', ceil(H / 2), ceil(W / 2))."""
        x = _padded_to_even(x)
        phases = [x[..., h::2, w::2] for w in (0, 1) for h in (0, 1)]
        y: Tensor = self.reduction(self.norm(torch.cat(phases, dim=1)))
        return y


class StridedConv(nn.Module):
    """A strided convolution with bias, then layer norm: 2x2 (v2) or 3x3 with padding (v3).

    Source: VMamba, arXiv 2401.10166, Table 4 and its release. v2, which no published model
    uses, is zero-padded at the bottom and right where a side is odd, as v1 is; the release
    would cut the last row.
    """

    def __init__(self, dim: int, out_dim: int, *, kernel: int, impl: Impl = "auto") -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, out_dim, kernel, 2, (kernel - 1) // 2)
        self.norm = ChannelNorm(out_dim, impl=impl)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', ceil(H / 2), ceil(W / 2))."""
        if self.conv.kernel_size[0] == 2:
            x = _padded_to_even(x)
        y: Tensor = self.norm(self.conv(x))
        return y


def _padded_to_even(x: Tensor) -> Tensor:
    return F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))


def _overlapping(dim: int, out_dim: int, *, impl: Impl = "auto") -> nn.Module:
    return StridedConv(dim, out_dim, kernel=3, impl=impl)


def _non_overlapping(dim: int, out_dim: int, *, impl: Impl = "auto") -> nn.Module:
    return StridedConv(dim, out_dim, kernel=2, impl=impl)


DOWNSAMPLES: Mapping[str, Callable[..., nn.Module]] = {
    "efficientvim": EfficientVimDownsample,
    "vssd": VssdDownsample,
    "vssd_simple": SimpleVssdDownsample,
    "vmamba_v1": PatchMerging,
    "vmamba_v2": _non_overlapping,
    "vmamba_v3": _overlapping,
}
