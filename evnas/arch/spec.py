"""The architecture space as data: frozen, refused at birth if unbuildable, named by content.

An `ArchSpec` is always in canonical form: a value that cannot matter (the bias of a convolution
that is not there, the mixer of an inverted residual) is normalised away at construction, so two
spellings of one architecture are equal and share a digest.
"""

import functools
import hashlib
import json
import math
import re
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticKnownError

from evnas.arch.mixer_field import LookedUpByKind
from evnas.errors import SpecError, nearest
from evnas.mixers import MIXERS, MixerSpec
from evnas.tables import BLOCKS

StemKind = Literal["efficientvim", "vssd", "vssd_simple", "vmamba_v1", "vmamba_v2"]
DownsampleKind = Literal[
    "efficientvim", "vssd", "vssd_simple", "vmamba_v1", "vmamba_v2", "vmamba_v3"
]
Norm = Literal["partial_ln", "full_bn", "ln"]
Fusion = Literal["hidden", "features", "none"]

STEM_STRIDES: Mapping[StemKind, tuple[int, ...]] = {
    "efficientvim": (1, 2, 4, 8, 16),
    "vssd": (1, 2, 4),
    "vssd_simple": (1, 2, 4),
    "vmamba_v1": (1, 2, 4),
    "vmamba_v2": (1, 2, 4),
}

__all__ = [
    "BLOCKS",
    "MIXERS",
    "ArchSpec",
    "HeadSpec",
    "MixerSpec",
    "StageSpec",
    "StemSpec",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StemSpec(_Frozen):
    """Image to first map, (B, 3, H, W) -> (B, C1, H/stride, W/stride), rounded up or down by kind.

    `efficientvim`: four 3x3 convolutions (EfficientViM, arXiv 2411.15241, Figure 4);
    `vssd`: the overlapping convolutional stem of VSSD's released models; `vssd_simple`: 4x4
    patches, its toggle; `vmamba_v1`: 4x4 patches with layer norm (Vanilla-VMamba and
    EfficientVMamba); `vmamba_v2`: two 3x3 convolutions (VMamba, arXiv 2401.10166).
    """

    kind: StemKind = "efficientvim"
    stride: int = 16
    """Total stride. Below the published one, the first strided convolutions go at stride 1."""

    @model_validator(mode="after")
    def _stride_exists(self) -> Self:
        strides = STEM_STRIDES[self.kind]
        if self.stride not in strides:
            raise ValueError(
                f"stride of stem {self.kind} must be one of {strides}, got {self.stride}"
            )
        return self


def _known_block(name: object) -> object:
    if not isinstance(name, str) or name not in BLOCKS:
        *others, last = map(repr, BLOCKS)
        expected = f"{', '.join(others)} or {last}"
        raise PydanticKnownError("literal_error", {"expected": expected})
    return name


def _name_blocks(schema: dict[str, Any]) -> None:
    schema["enum"] = list(BLOCKS)


class StageSpec(_Frozen):
    """One resolution of the backbone: `depth` blocks of one kind around one mixer."""

    depth: int = Field(ge=1, le=128)
    """Blocks."""
    dim: int = Field(ge=8, le=8192, multiple_of=8)
    """Channels C."""
    block: Annotated[str, BeforeValidator(_known_block), Field(json_schema_extra=_name_blocks)]
    """A name of `evnas.tables.BLOCKS`."""
    mixer: Annotated[MixerSpec, LookedUpByKind] | None = None
    """The token mixer inside the block; `inres` has none."""
    mlp_ratio: float = Field(default=4.0, ge=0, le=16)
    """Hidden width of the block's FFN over C (of `inres`: its expansion); 0 leaves the FFN out."""

    @model_validator(mode="after")
    def _canonical(self) -> Self:
        block = BLOCKS.get(self.block)
        if not block.mlp:
            self._set("mlp_ratio", 0.0)
        elif self.mlp_ratio == 0 and block.mlp_needed:
            raise ValueError(block.mlp_needed)
        elif self.mlp_ratio == 0 and block.without_mlp:
            self._set("block", block.without_mlp)
        if not block.mixer:
            self._set("mixer", None)
            return self
        if self.mixer is None:
            raise ValueError(f"block {self.block} needs a mixer, one of {MIXERS.names()}")
        if self.mlp_ratio and int(self.mlp_ratio * self.dim) < 1:
            raise ValueError(
                f"mlp_ratio * dim must be at least 1, got {self.mlp_ratio * self.dim}"
            )
        self._set("mixer", self.mixer.fitted(self.dim))
        return self

    @property
    def family(self) -> str:
        """In whose releases such a stage stands; "" for none."""
        if self.block == "vanilla_vss" and self.mixer is not None and self.mixer.kind == "es2d":
            return "efficientvmamba"  # row "ES2D" of its Table 5
        return BLOCKS.get(self.block).family

    def _set(self, name: str, value: object) -> None:
        # the model is frozen for everybody else: this is its own construction
        object.__setattr__(self, name, value)


class HeadSpec(_Frozen):
    """Maps to logits. `hidden` and `features` average a head per stage (EfficientViM)."""

    fusion: Fusion = "none"
    """`hidden`: h^(s) of each stage's last mixer and the final map; `features`: x^(s) of each
    stage, the last being the final map (Table C row G); `none`: the final map alone (row H)."""
    distillation: bool = False
    """A second set of classifiers on the same features; evaluation averages both."""


class ArchSpec(_Frozen):
    """A whole backbone with its classifier.

    Any block may hold any mixer; what cannot be combined is refused here, with the reason.
    """

    stem: StemSpec
    stages: tuple[StageSpec, ...] = Field(min_length=1, max_length=8)
    downsample: DownsampleKind
    """Between stages, (B, C, H, W) -> (B, C', ceil(H/2), ceil(W/2)); named by its paper."""
    norm: Norm
    """`partial_ln`: layer norm before mixers and MLPs and in heads, batch norm after the
    convolutions of blocks; `full_bn`: batch norm for every layer norm of blocks, mixers and heads
    (Table C row L); `ln`: layer norm after the blocks' convolutions too. Stems and downsampling
    keep their own."""
    head: HeadSpec = HeadSpec()
    num_classes: int = Field(default=1000, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.norm == "partial_ln" and not any(
            BLOCKS.get(s.block).batch_norm for s in self.stages
        ):
            object.__setattr__(self, "norm", "ln")  # the two do not differ here
        if self.head.fusion == "hidden":
            for i, stage in enumerate(self.stages):
                if stage.mixer is None or not MIXERS.get(stage.mixer.kind).hidden_states:
                    has = "no mixer" if stage.mixer is None else stage.mixer.kind
                    raise ValueError(
                        "head.fusion: hidden needs a mixer with hidden states "
                        f"({', '.join(MIXERS.with_hidden_states())}) in every stage; "
                        f"stages[{i}] has {has}"
                    )
        return self

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Validate plain data. Raises SpecError naming the path of the first fault."""
        try:
            return cls.model_validate(data)
        except ValidationError as e:
            raise first_fault(e, data) from None

    def to_dict(self) -> dict[str, Any]:
        """The canonical form as plain data; `from_dict` gives back an equal spec."""
        return self.model_dump(mode="json")

    @functools.cached_property
    def plain(self) -> dict[str, Any]:
        """`to_dict` made once, for who only looks at it."""
        return self.to_dict()

    @functools.cached_property
    def digest(self) -> str:
        """12 hex digits that name this architecture in the store."""
        return digest_of(self.plain)

    @property
    def reduction(self) -> tuple[int, ...]:
        """Stride of each stage's map on the image, before rounding."""
        return tuple(self.stem.stride * 2**i for i in range(len(self.stages)))

    def scaled(self, width: float, *, stem_stride: int | None = None) -> "ArchSpec":
        """The same design with every dim times `width`, rounded to a multiple of 8.

        Head counts stay; a dim is raised to the next multiple of 8 that its heads divide.
        """
        raw = self.to_dict()
        for stage in raw["stages"]:
            heads = (stage["mixer"] or {}).get("heads", 1)
            step = math.lcm(8, heads)
            stage["dim"] = max(step, round(stage["dim"] * width / step) * step)
        if stem_stride is not None:
            raw["stem"]["stride"] = min(stem_stride, raw["stem"]["stride"])
        return ArchSpec.from_dict(raw)


def digest_of(plain: Mapping[str, Any]) -> str:
    """`ArchSpec.digest` of its canonical form as plain data."""
    return hashlib.sha256(_sorted_json(plain).encode()).hexdigest()[:12]


_sorted_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""Made once: `json.dumps` makes an encoder per call."""


def first_fault(error: ValidationError, data: Any) -> SpecError:
    """The first complaint of pydantic in our words: path, what must hold, what was got."""
    fault = error.errors(include_url=False)[0]
    loc = [part for part in fault["loc"] if part not in _UNION_TAGS]
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return SpecError(_wording(fault, loc, data), path)


def _wording(fault: Any, loc: list[Any], data: Any) -> str:
    got, kind, context = fault["input"], fault["type"], fault.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        known = _fields_at(loc[:-1], data)
        return f"unknown key{nearest(str(loc[-1]), known)} (known here: {', '.join(known)})"
    if kind == "missing":
        return "is missing"
    if kind == "literal_error":
        hint = nearest(str(got), re.findall("'([^']*)'", context["expected"]))
        return f"must be {context['expected']}, got {reprlib.repr(got)}{hint}"
    must = _SHORT[kind].format(**context) if kind in _SHORT else fault["msg"]
    return f"{must}, got {reprlib.repr(got)}"


_UNION_TAGS = ("int", "literal['auto']")
"""What pydantic puts in the place of a fault for the branches of `dt_rank`."""

_SHORT: dict[str, str] = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be over {gt}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "multiple_of": "must be a multiple of {multiple_of}",
    "int_parsing": "must be an integer",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
}


def _fields_at(loc: list[Any], data: Any) -> list[str]:
    """Names of the fields that a mapping at `loc` of an ArchSpec may have."""
    if not loc:
        return list(ArchSpec.model_fields)
    if loc[-1] == "stem":
        return list(StemSpec.model_fields)
    if loc[-1] == "head":
        return list(HeadSpec.model_fields)
    if loc[-1] == "mixer":
        for part in loc:
            data = data[part]
        kind = data.get("kind") if isinstance(data, Mapping) else None
        return list(MIXERS.get(str(kind)).fields()) if kind in MIXERS else ["kind"]
    return list(StageSpec.model_fields)
