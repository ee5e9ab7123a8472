"""What SS2D and ES2D can be set to, both."""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from evnas.mixers.spec import MixerSpec

Activation = Literal["silu", "gelu", "relu"]
Initialization = Literal["mamba", "rand", "zero"]
Rank = int | Literal["auto"]


class SelectiveSpec(MixerSpec):
    """The fields of a selective scan between two projections."""

    d_state: int = Field(default=1, ge=1, le=64)
    """N, states per channel."""
    ssm_ratio: float = Field(default=1.0, gt=0, le=8)
    """The inner width D is int(ssm_ratio * C)."""
    dt_rank: Rank = "auto"
    """R, rank of the step projection; `auto` is ceil(C / 16)."""
    conv: bool = True
    """A depthwise 3x3 convolution before the scan."""
    conv_bias: bool = False
    gate: bool = False
    """The multiplicative branch, SiLU(z)."""
    act: Activation = "silu"
    """Activation before the scan, and of the gate (VMamba Table 15)."""
    init: Initialization = "mamba"
    """Initialization of the scan's own parameters (VMamba Table 11)."""

    @model_validator(mode="after")
    def _canonical(self) -> Self:
        if not self.conv:
            # the model is frozen for everybody else: this is its own construction
            object.__setattr__(self, "conv_bias", False)
        return self

    def fitted(self, dim: int) -> Self:
        """`dt_rank` equal to its automatic value is spelt `auto`."""
        if int(self.ssm_ratio * dim) < 1:
            raise ValueError(f"ssm_ratio * dim must be at least 1, got {self.ssm_ratio * dim}")
        if self.dt_rank == "auto":
            return self
        if not 1 <= self.dt_rank <= 8192:
            raise ValueError(f"dt_rank must be 'auto' or from 1 to 8192, got {self.dt_rank}")
        return self.replaced("dt_rank", "auto") if self.dt_rank == math.ceil(dim / 16) else self
