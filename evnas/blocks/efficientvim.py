"""The EfficientViM block: four branches, each mixed in by a gate per channel."""

import torch
from torch import Tensor, nn

from evnas.blocks.layers import ConvNorm, DropPath, mix
from evnas.blocks.norms import Norms

ALPHA_INIT = 1e-4


class EfficientVimBlock(nn.Module):
    """Depthwise convolution, mixer, depthwise convolution, FFN; x <- (1-a) x + a branch(x).

    a = sigmoid(alpha) in R^{4xC}; the only norm before a branch is the mixer's.

    Args:
        dim: C.
        mixer: (B, C, H, W) -> the same shape, and perhaps hidden states.
        mlp_ratio: hidden width of the FFN over C, over 0.
        norms: which layer normalizes what.

    Source: EfficientViM, arXiv 2411.15241, Figure 4, as released.
    """

    def __init__(self, dim: int, mixer: nn.Module, *, mlp_ratio: float, norms: Norms) -> None:
        super().__init__()
        hidden = int(mlp_ratio * dim)
        self.alpha = nn.Parameter(torch.full((4, dim), ALPHA_INIT))
        self.mixer = mixer
        self.norm = norms.token(dim)
        self.dwconv1 = ConvNorm(dim, dim, 3, norm=norms.conv, groups=dim)
        self.dwconv2 = ConvNorm(dim, dim, 3, norm=norms.conv, groups=dim)
        self.drop_path = DropPath(0.0)  # none, as published; `TimmBackbone` sets it
        self.ffn = nn.Sequential(
            ConvNorm(dim, hidden, norm=norms.conv, act=nn.ReLU),
            ConvNorm(hidden, dim, norm=norms.conv),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> the same shape, and the mixer's hidden states or None."""
        a = torch.sigmoid(self.alpha)[..., None, None]  # (4, C, 1, 1)
        x = self._gated(x, self.dwconv1(x), a[0])
        y, h = mix(self.mixer, self.norm(x))
        x = self._gated(x, y, a[1])
        x = self._gated(x, self.dwconv2(x), a[2])
        return self._gated(x, self.ffn(x), a[3]), h

    def _gated(self, x: Tensor, y: Tensor, a: Tensor) -> Tensor:
        if self.training and self.drop_path.rate:
            kept: Tensor = self.drop_path(a * (y - x))
            return x + kept
        return (1 - a) * x + a * y
