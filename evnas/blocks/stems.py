"""Image to first map, (B, 3, H, W) -> (B, C, H / stride, W / stride).

`in_chans` is the number of an image's channels, 3 as published. Below the published stride, the
first strided convolutions go at stride 1, and patches shrink.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from evnas.blocks.layers import ConvNorm
from evnas.blocks.norms import BatchNorm2d, ChannelNorm
from evnas.kernels import Impl


class EfficientVimStem(nn.Module):
    """Four 3x3 convolutions with batch norm, ReLU between them; published stride 16.

    Source: EfficientViM, arXiv 2411.15241, Figure 4, as released: widths C/8, C/4, C/2, C.
    """

    def __init__(self, dim: int, stride: int, *, in_chans: int = 3, impl: Impl = "auto") -> None:
        super().__init__()
        widths = (in_chans, dim // 8, dim // 4, dim // 2, dim)
        self.convs = nn.Sequential(
            *(
                ConvNorm(
                    widths[i],
                    widths[i + 1],
                    3,
                    norm=BatchNorm2d,
                    stride=s,
                    act=nn.ReLU if i < 3 else nn.Identity,
                )
                for i, s in enumerate(_strides(stride, 4))
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, ceil(H / 16), ceil(W / 16)) at stride 16."""
        y: Tensor = self.convs(x)
        return y


class VssdStem(nn.Module):
    """The overlapping convolutional stem of VSSD's released models; published stride 4.

    conv3x3/2 to C/2, a residual pair of conv3x3, conv3x3/2 to 4C, conv1x1 to C, all with batch
    norm and no bias; no activation after the sum and after the last.

    Source: VSSD, arXiv 2407.18559, appendix Section 3 and Figure 2, and its release.
    """

    def __init__(self, dim: int, stride: int, *, in_chans: int = 3, impl: Impl = "auto") -> None:
        super().__init__()
        half, (first, second) = dim // 2, _strides(stride, 2)
        self.entry = ConvNorm(in_chans, half, 3, norm=BatchNorm2d, stride=first, act=nn.ReLU)
        self.residual = nn.Sequential(
            ConvNorm(half, half, 3, norm=BatchNorm2d, act=nn.ReLU),
            ConvNorm(half, half, 3, norm=BatchNorm2d),
        )
        self.exit = nn.Sequential(
            ConvNorm(half, 4 * dim, 3, norm=BatchNorm2d, stride=second, act=nn.ReLU),
            ConvNorm(4 * dim, dim, norm=BatchNorm2d),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, ceil(ceil(H / 2) / 2), ...) at stride 4."""
        x = self.entry(x)
        y: Tensor = self.exit(self.residual(x) + x)
        return y


class SimpleVssdStem(nn.Module):
    """Patches of stride x stride, batch norm, ReLU, layer norm: VSSD's simple toggle."""

    def __init__(self, dim: int, stride: int, *, in_chans: int = 3, impl: Impl = "auto") -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chans, dim, stride, stride, bias=False)
        self.norm = BatchNorm2d(dim)
        self.act = nn.ReLU()
        self.out_norm = ChannelNorm(dim, impl=impl)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, floor(H / stride), floor(W / stride))."""
        y: Tensor = self.out_norm(self.act(self.norm(self.conv(x))))
        return y


class PatchStem(nn.Module):
    """Patches of stride x stride with bias, then layer norm: v1; published stride 4.

    Source: VMamba, arXiv 2401.10166, Vanilla-VMamba; EfficientVMamba, arXiv 2403.09977.
    """

    def __init__(self, dim: int, stride: int, *, in_chans: int = 3, impl: Impl = "auto") -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chans, dim, stride, stride)
        self.norm = ChannelNorm(dim, impl=impl)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, floor(H / stride), floor(W / stride))."""
        y: Tensor = self.norm(self.conv(x))
        return y


class OverlappingStem(nn.Module):
    """Two 3x3 convolutions with bias and layer norm, GELU between: v2; published stride 4.

    Source: VMamba, arXiv 2401.10166, Table 4 (stem), as released.
    """

    def __init__(self, dim: int, stride: int, *, in_chans: int = 3, impl: Impl = "auto") -> None:
        super().__init__()
        half, (first, second) = dim // 2, _strides(stride, 2)
        self.conv1 = nn.Conv2d(in_chans, half, 3, first, 1)
        self.norm1 = ChannelNorm(half, impl=impl)
        self.act = nn.GELU()
        self.conv2 = nn.Conv2d(half, dim, 3, second, 1)
        self.norm2 = ChannelNorm(dim, impl=impl)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, ceil(ceil(H / 2) / 2), ...) at stride 4."""
        x = self.act(self.norm1(self.conv1(x)))
        y: Tensor = self.norm2(self.conv2(x))
        return y


def _strides(total: int, convs: int) -> list[int]:
    """[1, 1, 2, 2] for a total of 4 over four convolutions: the last ones stride."""
    strided = total.bit_length() - 1
    return [1] * (convs - strided) + [2] * strided


STEMS: Mapping[str, Callable[..., nn.Module]] = {
    "efficientvim": EfficientVimStem,
    "vssd": VssdStem,
    "vssd_simple": SimpleVssdStem,
    "vmamba_v1": PatchStem,
    "vmamba_v2": OverlappingStem,
}
