"""Squeeze-and-excitation (arXiv 1709.01507): a gate per channel from the mean of the map."""

import torch
from torch import Tensor, nn

from evnas.blocks.layers import PixelLinear
from evnas.blocks.norms import Norms


class SqueezeExcite(nn.Module):
    """x * sigmoid(W2 relu(W1 mean(x))), both W with bias: EfficientViM's and InRes's."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.act = nn.ReLU()
        self.fc2 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        gate: Tensor = self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


class NormedSqueezeExcite(nn.Module):
    """The gate of EVSS: the mean sees normalized values, the gate acts on the raw ones.

    Source: EfficientVMamba, arXiv 2403.09977, Section 4.2, as released.
    """

    def __init__(self, dim: int, *, norms: Norms) -> None:
        super().__init__()
        hidden = dim // 8
        self.norm = norms.token(dim)
        self.fc1 = PixelLinear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = PixelLinear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        mean = self.norm(x).mean((2, 3), keepdim=True)
        gate: Tensor = self.fc2(self.act(self.fc1(mean)))
        return x * torch.sigmoid(gate)
