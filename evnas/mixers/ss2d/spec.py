"""What SS2D can be set to."""

from typing import Literal

from evnas.mixers.mixer import Mixer
from evnas.mixers.selective.spec import SelectiveSpec

Scan = Literal["unidi", "bidi", "cascade", "cross"]


class Ss2dSpec(SelectiveSpec):
    """2D selective scan (VMamba, arXiv 2401.10166, Section 4.2) along four routes."""

    kind: Literal["ss2d"] = "ss2d"
    scan: Scan = "cross"
    """The routes (VMamba Table 10)."""


MIXER = Mixer(
    Ss2dSpec,
    module="evnas.mixers.ss2d.module:Ss2d",
    deployment="evnas.mixers.selective.deploy:DEPLOYMENT",
    prices="evnas.mixers.ss2d.count:PRICES",
)
