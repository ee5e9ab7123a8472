"""What is registered of a block: where its module is, and what an architecture may ask of it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block around a mixer, or without one. Nothing here imports torch."""

    module: str | type[Any]
    """`package.module:attribute`, or the class: nn.Module, (B, C, H, W) -> (the same shape, hidden
    states (B, C_h, N) of the mixer or None). The constructor takes `dim`, the mixer's module where
    there is one, then by keyword `mlp_ratio`, `norms` and `drop_path`."""
    mixer: bool = True
    """Whether a mixer stands inside; `mixer` of a stage means nothing otherwise."""
    mlp: bool = True
    """Whether it has an MLP; `mlp_ratio` means nothing otherwise, and is 0."""
    mlp_needed: str = ""
    """Why `mlp_ratio` must be over 0; "" where 0 leaves the MLP out."""
    without_mlp: str = ""
    """The block that it is where `mlp_ratio` is 0, where that has a name of its own."""
    batch_norm: bool = True
    """Whether it has layers that `norm: partial_ln` makes batch norms."""
    family: str = ""
    """In whose releases it stands: `efficientvim`, `vssd`, `vmamba` or `efficientvmamba`, which
    names its weights and has a recipe; "" for none."""
    drop_path: bool = True
    """Whether its branches can be skipped in training; the constructor takes `drop_path` then."""
    deployment: Any = None
    """Place of its `evnas.blocks.deployment.rule.Deployment`. Without one the deployed model keeps
    the block just as it is; ours have rules in `evnas.blocks.deployment.rules`."""


EFFICIENTVIM = Block(
    module="evnas.blocks.efficientvim:EfficientVimBlock",
    mlp_needed="block efficientvim needs an FFN: mlp_ratio must be over 0, got 0",
    family="efficientvim",
    drop_path=False,
)
VSS = Block(
    module="evnas.blocks.vss:VssBlock",
    without_mlp="vanilla_vss",
    batch_norm=False,
    family="vmamba",
)
VANILLA_VSS = Block(
    module="evnas.blocks.vss:VssBlock", mlp=False, batch_norm=False, family="vmamba"
)
VSSD = Block(module="evnas.blocks.vssd:VssdBlock", batch_norm=False, family="vssd")
EVSS = Block(module="evnas.blocks.evss:EvssBlock", family="efficientvmamba")
INRES = Block(
    module="evnas.blocks.inres:InResBlock",
    mixer=False,
    mlp_needed="mlp_ratio of block inres is its expansion and must be over 0",
    family="efficientvmamba",
)
