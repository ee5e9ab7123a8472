"""What NC-SSD can be set to."""

from typing import Literal, Self

from pydantic import Field

from evnas.mixers.mixer import Mixer
from evnas.mixers.spec import MixerSpec, inner_width, must_divide


class NcSsdSpec(MixerSpec):
    """Non-causal state-space duality (VSSD, arXiv 2407.18559)."""

    kind: Literal["nc_ssd"] = "nc_ssd"
    states: int = Field(default=64, ge=1, le=4096)
    """N, rows of the global state that all tokens share."""
    heads: int = Field(default=4, ge=1, le=256)
    expand: float = Field(default=2.0, gt=0, le=8)
    """E: the inner width is E*C."""

    def fitted(self, dim: int) -> Self:
        """Heads must split E*C evenly."""
        must_divide(self.heads, inner_width(self.expand, dim, "expand"), "expand * dim")
        return self


MIXER = Mixer(
    NcSsdSpec,
    module="evnas.mixers.nc_ssd.module:NcSsd",
    hidden_states=True,
    deployment="evnas.mixers.nc_ssd.deploy:DEPLOYMENT",
    prices="evnas.mixers.nc_ssd.count:PRICES",
)
