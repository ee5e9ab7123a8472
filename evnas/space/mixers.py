"""The token mixers as data, one class each. A new mixer is a class here and a name in `Mixer`."""

import math
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Scan = Literal["unidi", "bidi", "cascade", "cross"]
Activation = Literal["silu", "gelu", "relu"]
Initialization = Literal["mamba", "rand", "zero"]


class MixerSpec(BaseModel):
    """What every mixer has: it maps (B, C, H, W) to the same shape, on any H x W."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def fitted(self, dim: int) -> Self:
        """Canonical for C = `dim`. Raises ValueError when it cannot stand at that width."""
        return self

    def _replaced(self, name: str, value: object) -> Self:
        return self.model_copy(update={name: value})


class HsmSsd(MixerSpec):
    """Hidden-state-mixer state-space duality (EfficientViM, arXiv 2411.15241, Fig. 2)."""

    kind: Literal["hsm_ssd"] = "hsm_ssd"
    states: int = Field(default=49, ge=1, le=4096)
    """N, columns of the hidden state (C, N)."""
    heads: int = Field(default=1, ge=1, le=256)
    """1 is the paper's single head; more split C, each with its own score (Table C row E)."""
    score: Literal["per_state", "shared"] = "per_state"
    """`per_state`: A in R^{LxN}; `shared`: a in R^L for all states of a head (row F)."""
    expand: float = Field(default=1.0, gt=0, le=8)
    """E: the gated middle part works on E*C channels."""

    def fitted(self, dim: int) -> Self:
        """Heads must split C evenly, and E*C be a whole number."""
        _must_divide(self.heads, dim, "dim")
        inner_width(self.expand, dim, "expand")
        return self


class NcSsd(MixerSpec):
    """Non-causal state-space duality (VSSD, arXiv 2407.18559)."""

    kind: Literal["nc_ssd"] = "nc_ssd"
    states: int = Field(default=64, ge=1, le=4096)
    """N, rows of the global state that all tokens share."""
    heads: int = Field(default=4, ge=1, le=256)
    expand: float = Field(default=2.0, gt=0, le=8)
    """E: the inner width is E*C."""

    def fitted(self, dim: int) -> Self:
        """Heads must split E*C evenly."""
        _must_divide(self.heads, inner_width(self.expand, dim, "expand"), "expand * dim")
        return self


class SelfAttention(MixerSpec):
    """Softmax attention over all tokens, as in VSSD's last stage."""

    kind: Literal["sa"] = "sa"
    heads: int = Field(default=4, ge=1, le=256)

    def fitted(self, dim: int) -> Self:
        """Heads must split C evenly."""
        _must_divide(self.heads, dim, "dim")
        return self


class _SelectiveScan(MixerSpec):
    d_state: int = Field(default=1, ge=1, le=64)
    """N, states a channel."""
    ssm_ratio: float = Field(default=1.0, gt=0, le=8)
    """The inner width D is int(ssm_ratio * C)."""
    dt_rank: int | Literal["auto"] = "auto"
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
        return self._replaced("dt_rank", "auto") if self.dt_rank == math.ceil(dim / 16) else self


class Ss2d(_SelectiveScan):
    """2D selective scan (VMamba, arXiv 2401.10166, Section 4.2) along four routes."""

    kind: Literal["ss2d"] = "ss2d"
    scan: Scan = "cross"
    """The routes (VMamba Table 10)."""


class Es2d(_SelectiveScan):
    """Efficient 2D scan of atrous subsets, a route each (EfficientVMamba, Section 4.1)."""

    kind: Literal["es2d"] = "es2d"
    d_state: int = Field(default=16, ge=1, le=64)
    ssm_ratio: float = Field(default=2.0, gt=0, le=8)
    conv_bias: bool = True
    gate: bool = True
    step: int = Field(default=2, ge=1, le=8)
    """p: p*p routes over every p-th pixel; only 2 is published."""


Mixer = HsmSsd | NcSsd | SelfAttention | Ss2d | Es2d
MIXERS: tuple[str, ...] = tuple(spec.model_fields["kind"].default for spec in get_args(Mixer))
HIDDEN_STATE_MIXERS = ("hsm_ssd", "nc_ssd")
"""Those that compress the tokens into states, (B, C, N)."""


def inner_width(ratio: float, dim: int, name: str) -> int:
    """ratio * dim as the whole number it must be."""
    width = ratio * dim
    if abs(width - round(width)) > 1e-9:
        raise ValueError(f"{name} * dim must be a whole number, got {ratio} * {dim} = {width}")
    return round(width)


def _must_divide(heads: int, width: int, name: str) -> None:
    if width % heads:
        raise ValueError(f"heads must divide {name}, got {heads} heads and {name} {width}")


def mixer_fields(kind: str) -> dict[str, Any]:
    """Field name -> default of a mixer kind, `kind` included."""
    for spec in get_args(Mixer):
        if spec.model_fields["kind"].default == kind:
            return {name: field.default for name, field in spec.model_fields.items()}
    raise KeyError(kind)
