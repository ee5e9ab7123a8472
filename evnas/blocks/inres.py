"""The inverted residual of EfficientVMamba's deep stages: convolutions alone, no token mixer."""

from torch import Tensor, nn

from evnas.blocks.layers import ConvNorm, DropPath
from evnas.blocks.norms import Norms
from evnas.blocks.squeeze_excite import SqueezeExcite


class InResBlock(nn.Module):
    """conv1x1 to M, depthwise 3x3, SE of M/8, conv1x1 back, around a residual without norm.

    Args:
        dim: C.
        mlp_ratio: M / C, over 0.
        norms: which layer normalizes what.
        drop_path: probability that a sample skips the branch in training.

    Source: EfficientVMamba, arXiv 2403.09977, Section 4.3, after MobileNetV2, arXiv 1801.04381.
    """

    def __init__(
        self, dim: int, *, mlp_ratio: float, norms: Norms, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        hidden = max(int(mlp_ratio * dim), 1)
        self.expand = ConvNorm(dim, hidden, norm=norms.conv, act=nn.ReLU)
        self.dwconv = ConvNorm(hidden, hidden, 3, norm=norms.conv, groups=hidden, act=nn.ReLU)
        self.se = SqueezeExcite(hidden, max(hidden // 8, 1))
        self.project = ConvNorm(hidden, dim, norm=norms.conv)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """(B, C, H, W) -> the same shape, and None."""
        return x + self.drop_path(self.branch(x)), None

    def branch(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape: what is added to the input."""
        y: Tensor = self.project(self.se(self.dwconv(self.expand(x))))
        return y
