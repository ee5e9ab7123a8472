"""What HSM-SSD can be set to."""

from typing import Literal, Self

from pydantic import Field

from evnas.mixers.mixer import Mixer
from evnas.mixers.spec import MixerSpec, inner_width, must_divide

Score = Literal["per_state", "shared"]


class HsmSsdSpec(MixerSpec):
    """Hidden-state-mixer state-space duality (EfficientViM, arXiv 2411.15241, Fig. 2)."""

    kind: Literal["hsm_ssd"] = "hsm_ssd"
    states: int = Field(default=49, ge=1, le=4096)
    """N, columns of the hidden state (C, N)."""
    heads: int = Field(default=1, ge=1, le=256)
    """1 is the paper's single head; more split C, each with its own score (Table C row E)."""
    score: Score = "per_state"
    """`per_state`: A in R^{LxN}; `shared`: a in R^L for all states of a head (row F)."""
    expand: float = Field(default=1.0, gt=0, le=8)
    """E: the gated middle part works on E*C channels."""

    def fitted(self, dim: int) -> Self:
        """Heads must split C evenly, and E*C be a whole number."""
        must_divide(self.heads, dim, "dim")
        inner_width(self.expand, dim, "expand")
        return self


MIXER = Mixer(
    HsmSsdSpec,
    module="evnas.mixers.hsm_ssd.module:HsmSsd",
    hidden_states=True,
    deployment="evnas.mixers.hsm_ssd.deploy:DEPLOYMENT",
)
