"""The parts of an architecture that are timed by themselves: stem, blocks, downsamplings.

A head has several inputs and little to do; it is what a whole network takes beside its parts, and
is learnt from those (`evnas.latency.predictor`).
"""

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from evnas.arch.spec import ArchSpec, DownsampleKind, HeadSpec, Norm, StageSpec, StemSpec
from evnas.blocks.backbone import build_block, build_downsample, build_stem
from evnas.kernels import Impl
from evnas.measure.counting.parts import downsample_part, stem_part
from evnas.tables import BLOCKS

Kind = Literal["stem", "block", "downsample"]
OWN_NORM: Norm = "partial_ln"
"""In the place of a norm where stems and downsamplings have their own."""
ANY_STEM = StemSpec()
ANY_DOWNSAMPLE: DownsampleKind = "efficientvim"
"""Of architectures whose stem or downsampling does not matter."""
KEPT_PARTS = 50_000
"""Parts remembered by what they are made of, about a kB each."""


@dataclass(frozen=True, slots=True)
class Part:
    """A module with one input of a known shape."""

    kind: Kind
    stages: tuple[StageSpec, ...]
    """Of the smallest architecture that holds it; those around a stem or a downsampling only say
    how wide they are."""
    stem: StemSpec
    downsample: DownsampleKind
    norm: Norm
    shape: tuple[int, int, int]
    """(C, H, W) of one input."""
    group: str
    """What its measurements are fitted together with: the same kind of work."""
    numbers: tuple[tuple[str, float], ...]
    """What tells it from others of its group."""

    def __hash__(self) -> int:
        return hash((self.group, self.numbers))  # the rest follows from these, and hashes slowly

    @property
    def arch(self) -> ArchSpec:
        """The smallest architecture that holds it; what else it has does not matter."""
        return ArchSpec(
            stem=self.stem,
            stages=self.stages,
            downsample=self.downsample,
            norm=self.norm,
            head=HeadSpec(),
            num_classes=1,
        )

    @property
    def key(self) -> str:
        """Names it in a table: its content and the shape of its input."""
        plain = [self.kind, self.arch.to_dict(), self.shape]
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def inputs(self) -> tuple[float, ...]:
        """Its numbers as a fit takes them: costs multiply, so logarithms of one more."""
        return tuple(math.log1p(value) for _, value in self.numbers)

    def module(self, *, impl: Impl = "auto") -> nn.Module:
        """It with fresh parameters from torch's global generator: (B, C, H, W) -> a map, of a
        block with its hidden states or None beside it."""
        if self.kind == "stem":
            return build_stem(self.arch, impl=impl)
        if self.kind == "block":
            return build_block(self.arch, 0, impl=impl)
        return build_downsample(self.arch, 0, impl=impl)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `part_of_dict` gives an equal part back."""
        return {"kind": self.kind, "arch": self.arch.to_dict(), "shape": list(self.shape)}

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value:g}" for name, value in self.numbers)
        return f"{self.group}: {numbers}"


class MapOnly(nn.Module):
    """A block whose hidden states nobody takes: exporters want tensors alone."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        found = self.block(x)
        y: Tensor = found[0] if isinstance(found, tuple) else found
        return y


def parts_of(arch: ArchSpec, resolution: int) -> dict[Part, int]:
    """Part -> how often it stands in the architecture, in the order of the forward.

    Args:
        resolution: side of the images in pixels.
    """
    sides = _sides(arch.stem, arch.downsample, arch.norm, resolution, len(arch.stages))
    found: dict[Part, int] = {}

    def add(part: Part, times: int = 1) -> None:
        found[part] = found.get(part, 0) + times

    add(stem_of(arch.stem, arch.stages[0].dim, resolution))
    for i, stage in enumerate(arch.stages):
        add(block_of(_one_block(stage), arch.norm, sides[i]), stage.depth)
        if i + 1 < len(arch.stages):
            dims = (stage.dim, arch.stages[i + 1].dim)
            add(downsample_of(arch.downsample, dims, sides[i]))
    return found


def part_of_dict(data: Mapping[str, Any]) -> Part:
    """The inverse of `Part.to_dict`. Raises SpecError, KeyError or ValueError for what is none."""
    arch, kind = ArchSpec.from_dict(data["arch"]), data["kind"]
    _, side, _ = (int(n) for n in data["shape"])
    first = arch.stages[0]
    if kind == "stem":
        return stem_of(arch.stem, first.dim, side)
    if kind == "block":
        return block_of(first, arch.norm, side)
    if kind != "downsample":
        raise ValueError(f"a part's kind must be stem, block or downsample, got {kind!r}")
    return downsample_of(arch.downsample, (first.dim, arch.stages[1].dim), side)


@functools.lru_cache(KEPT_PARTS)
def stem_of(stem: StemSpec, dim: int, resolution: int) -> Part:
    """A stem, for images of a side in pixels."""
    return Part(
        kind="stem",
        stages=(_plain_stage(dim),),
        stem=stem,
        downsample=ANY_DOWNSAMPLE,
        norm=OWN_NORM,
        shape=(3, resolution, resolution),
        group=f"stem {stem.kind}",
        numbers=(
            ("dim", float(dim)),
            ("side", float(resolution)),
            ("stride", float(stem.stride)),
        ),
    )


@functools.lru_cache(KEPT_PARTS)
def block_of(stage: StageSpec, norm: Norm, side: int) -> Part:
    """One block of a stage, on maps of a side; the stage's depth does not matter."""
    if norm == "partial_ln" and not BLOCKS.get(stage.block).batch_norm:
        norm = "ln"  # the two do not differ in it
    words, numbers = [stage.block], {"dim": float(stage.dim), "side": float(side)}
    numbers["mlp_ratio"] = stage.mlp_ratio
    if stage.mixer is not None:
        words.append(stage.mixer.kind)
        for name, value in stage.mixer.model_dump(exclude={"kind"}).items():
            if isinstance(value, int | float):  # a flag too
                numbers[name] = float(value)
            else:
                words.append(f"{name}={value}")
    return Part(
        kind="block",
        stages=(_one_block(stage),),
        stem=ANY_STEM,
        downsample=ANY_DOWNSAMPLE,
        norm=norm,
        shape=(stage.dim, side, side),
        group=" ".join(["block", *words, norm]),
        numbers=tuple(numbers.items()),
    )


@functools.lru_cache(KEPT_PARTS)
def downsample_of(kind: DownsampleKind, dims: tuple[int, int], side: int) -> Part:
    """What stands between two stages, on maps of a side."""
    return Part(
        kind="downsample",
        stages=(_plain_stage(dims[0]), _plain_stage(dims[1])),
        stem=ANY_STEM,
        downsample=kind,
        norm=OWN_NORM,
        shape=(dims[0], side, side),
        group=f"downsample {kind}",
        numbers=(
            ("dim", float(dims[0])),
            ("to_dim", float(dims[1])),
            ("side", float(side)),
        ),
    )


@functools.lru_cache(4096)
def _one_block(stage: StageSpec) -> StageSpec:
    return stage if stage.depth == 1 else stage.model_copy(update={"depth": 1})


@functools.lru_cache(1024)
def _sides(
    stem: StemSpec, downsample: DownsampleKind, norm: Norm, resolution: int, stages: int
) -> tuple[int, ...]:
    """Side of each stage's map: by running narrow ones without data, since kinds round apart."""
    dim = 64
    shape = stem_part(stem, dim, norm, (1, 3, resolution, resolution)).outputs[0]
    found = [int(shape[-1])]
    for _ in range(stages - 1):
        shape = downsample_part(downsample, (dim, dim), norm, shape).outputs[0]
        found.append(int(shape[-1]))
    return tuple(found)


@functools.lru_cache(4096)
def _plain_stage(dim: int) -> StageSpec:
    return StageSpec(depth=1, dim=dim, block="inres")


def input_of(part: Part, batch: int) -> Tensor:
    """(B, C, H, W) of standard normal values, drawn with a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn((batch, *part.shape), generator=generator)
