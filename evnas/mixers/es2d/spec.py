"""What ES2D can be set to."""

from typing import Literal

from pydantic import Field

from evnas.mixers.mixer import Mixer
from evnas.mixers.selective.spec import SelectiveSpec


class Es2dSpec(SelectiveSpec):
    """Efficient 2D scan of atrous subsets, a route each (EfficientVMamba, Section 4.1)."""

    kind: Literal["es2d"] = "es2d"
    d_state: int = Field(default=16, ge=1, le=64)
    ssm_ratio: float = Field(default=2.0, gt=0, le=8)
    conv_bias: bool = True
    gate: bool = True
    step: int = Field(default=2, ge=1, le=8)
    """p: p*p routes over every p-th pixel; only 2 is published."""


MIXER = Mixer(
    Es2dSpec,
    module="evnas.mixers.es2d.module:Es2d",
    deployment="evnas.mixers.selective.deploy:DEPLOYMENT",
    prices="evnas.mixers.es2d.count:PRICES",
)
