"""A mixer of another package: a linear map of the pixel and of the map's mean."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from evnas.blocks.norms import Norms
from evnas.kernels import Impl
from evnas.mixers import Mixer, MixerSpec


class MeanMixSpec(MixerSpec):
    """A pixel and the mean of all pixels, each by a linear map."""

    kind: Literal["mean_mix"] = "mean_mix"
    share: float = Field(default=0.5, ge=0, le=1)
    """Of the mean."""


class MeanMix(nn.Module):
    """own(x) + share * all(mean of x)."""

    hidden_width = None

    def __init__(self, dim: int, *, share: float, norms: Norms, impl: Impl = "auto") -> None:
        super().__init__()
        self.share = share
        self.own, self.all = nn.Conv2d(dim, dim, 1), nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        y: Tensor = self.own(x) + self.share * self.all(x.mean((2, 3), keepdim=True))
        return y


MIXER = Mixer(MeanMixSpec, module=MeanMix)
