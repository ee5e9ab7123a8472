"""What self-attention can be set to."""

from typing import Literal, Self

from pydantic import Field

from evnas.mixers.mixer import Mixer
from evnas.mixers.spec import MixerSpec, must_divide


class SelfAttentionSpec(MixerSpec):
    """Softmax attention over all tokens, as in VSSD's last stage."""

    kind: Literal["sa"] = "sa"
    heads: int = Field(default=4, ge=1, le=256)

    def fitted(self, dim: int) -> Self:
        """Heads must split C evenly."""
        must_divide(self.heads, dim, "dim")
        return self


MIXER = Mixer(
    SelfAttentionSpec,
    module="evnas.mixers.sa.module:SelfAttention",
    deployment="evnas.mixers.sa.deploy:DEPLOYMENT",
)
