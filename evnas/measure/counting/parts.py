"""The parts of an architecture and what each costs, remembered by what it is made of."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from evnas.arch.spec import ArchSpec, DownsampleKind, HeadSpec, Norm, StageSpec, StemSpec
from evnas.blocks.backbone import build_block, build_downsample, build_head, build_stem
from evnas.measure.counting.conventions import CONVENTIONS
from evnas.measure.counting.op_trace import Shape, TracedOp, record_forward

KEPT_PARTS = 20_000
"""Counts kept of each sort of part, a few kB each."""


@dataclass(frozen=True, slots=True)
class PartCost:
    """What one part of a model costs, for one image."""

    path: str
    """`stem`, `stages[0].blocks[1]`, `stages[0].downsample`, `head`."""
    params: int
    by_operator: Mapping[str, Mapping[str, int]]
    """Convention -> operator -> count."""
    outputs: tuple[Shape, ...] = ()
    """Shapes of what the part returns: a map, and hidden states where there are any."""

    def macs(self, convention: str = "exact") -> int:
        """The part's count under a convention."""
        return sum(self.by_operator[convention].values())


@functools.lru_cache(KEPT_PARTS)
def stem_part(stem: StemSpec, dim: int, norm: Norm, images: Shape) -> PartCost:
    """The stem, for images of shape (1, 3, H, W)."""
    arch = _arch(stages=(_plain_stage(dim),), stem=stem, norm=norm)
    with torch.device("meta"):
        module, inputs = build_stem(arch), torch.empty(images)
    return _counted("stem", module, inputs)


@functools.lru_cache(KEPT_PARTS)
def block_part(stage: StageSpec, norm: Norm, shape: Shape) -> PartCost:
    """One block of a stage, for a map of `shape`; its path is for the caller to set."""
    with torch.device("meta"):
        module = build_block(_arch(stages=(stage,), norm=norm), 0)
        inputs = torch.empty(shape)
    return _counted("", module, inputs)


@functools.lru_cache(KEPT_PARTS)
def downsample_part(
    kind: DownsampleKind, dims: tuple[int, int], norm: Norm, shape: Shape
) -> PartCost:
    """What stands between two stages, for a map of `shape`."""
    stages = (_plain_stage(dims[0]), _plain_stage(dims[1]))
    arch = _arch(stages=stages, downsample=kind, norm=norm)
    with torch.device("meta"):
        module, inputs = build_downsample(arch, 0), torch.empty(shape)
    return _counted("", module, inputs)


@functools.lru_cache(KEPT_PARTS)
def head_part(
    stages: tuple[StageSpec, ...],
    head: HeadSpec,
    norm: Norm,
    num_classes: int,
    *,
    maps: tuple[Shape, ...],
    states: tuple[Shape | None, ...],
) -> PartCost:
    """The head, for the stages' maps and hidden states of these shapes."""
    arch = _arch(stages=stages, head=head, norm=norm, num_classes=num_classes)
    with torch.device("meta"):
        inputs = [torch.empty(shape) for shape in maps]
        hidden = [None if shape is None else torch.empty(shape) for shape in states]
        module = build_head(arch)
    return _counted("head", module, inputs, hidden)


def prices(trace: Sequence[TracedOp]) -> dict[str, dict[str, int]]:
    """Convention -> operator -> count."""
    return {name: convention.by_operator(trace) for name, convention in CONVENTIONS.items()}


def _counted(path: str, module: nn.Module, *inputs: Any) -> PartCost:
    trace, output = record_forward(module, *inputs)
    outputs = output if isinstance(output, (tuple, list)) else (output,)
    shapes = tuple(tuple(t.shape) for t in outputs if t is not None)
    params = sum(p.numel() for p in module.parameters())
    return PartCost(path, params, prices(trace), shapes)


def _arch(
    *,
    stages: tuple[StageSpec, ...],
    norm: Norm,
    stem: StemSpec | None = None,
    downsample: DownsampleKind = "efficientvim",
    head: HeadSpec | None = None,
    num_classes: int = 1000,
) -> ArchSpec:
    """An architecture around the part in question; what is left out does not matter to it."""
    return ArchSpec(
        stem=stem or StemSpec(),
        stages=stages,
        downsample=downsample,
        norm=norm,
        head=head or HeadSpec(),
        num_classes=num_classes,
    )


def _plain_stage(dim: int) -> StageSpec:
    return StageSpec(depth=1, dim=dim, block="inres")
