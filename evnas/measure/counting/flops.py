"""Parameters and FLOPs of an architecture or a module, counted on the meta device.

An architecture is counted part by part: its stem, one block a stage, each downsampling and its
head. All blocks of a stage are alike, so one is counted and taken `depth` times; a part that was
counted before, in any architecture, is not counted again.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from evnas.arch.spec import ArchSpec
from evnas.measure.counting.conventions import CONVENTIONS
from evnas.measure.counting.op_trace import Shape, record_forward
from evnas.measure.counting.parts import (
    PartCost,
    block_part,
    downsample_part,
    head_part,
    prices,
    stem_part,
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters and counts of a whole model, for one image."""

    params: int
    macs: Mapping[str, int]
    """Convention -> count."""
    parts: tuple[PartCost, ...]
    """In the order of the forward."""

    def by_operator(self, convention: str = "exact") -> dict[str, int]:
        """Operator -> count, largest first."""
        found: dict[str, int] = {}
        for part in self.parts:
            for op, price in part.by_operator[convention].items():
                found[op] = found.get(op, 0) + price
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def count(arch: ArchSpec, resolution: int | tuple[int, int] = 224) -> Cost:
    """Count an architecture without running it.

    Args:
        resolution: side of a square image in pixels, or (H, W).

    Raises:
        MeasurementError: an operator has no formula.
    """
    stem = stem_part(arch.stem, arch.stages[0].dim, arch.norm, _images(resolution))
    shape = stem.outputs[0]
    parts, maps, states = [stem], list[Shape](), list[Shape | None]()
    stages = tuple(stage.model_copy(update={"depth": 1}) for stage in arch.stages)
    for i, stage in enumerate(arch.stages):
        block = block_part(stages[i], arch.norm, shape)
        parts += [replace(block, path=f"stages[{i}].blocks[{j}]") for j in range(stage.depth)]
        maps.append(block.outputs[0])
        states.append(block.outputs[1] if len(block.outputs) > 1 else None)
        if i + 1 < len(stages):
            dims = (stage.dim, stages[i + 1].dim)
            down = downsample_part(arch.downsample, dims, arch.norm, maps[i])
            parts.append(replace(down, path=f"stages[{i}].downsample"))
            shape = down.outputs[0]
    head = head_part(
        stages, arch.head, arch.norm, arch.num_classes, maps=tuple(maps), states=tuple(states)
    )
    return _summed([*parts, head])


def count_module(model: nn.Module, resolution: int | tuple[int, int] = 224) -> Cost:
    """Count any image model, such as one of timm's; its parts are its direct children.

    Args:
        model: takes (B, 3, H, W); left as it is, a copy without data is counted.
        resolution: side of a square image in pixels, or (H, W).

    Raises:
        MeasurementError: an operator has no formula.
    """
    hollow = copy.deepcopy(model).to("meta")
    trace, _ = record_forward(hollow, torch.empty(_images(resolution), device="meta"))
    seen: set[int] = set()  # parameters that two children share count once
    parts = []
    for name, module in [*hollow.named_children(), ("", hollow)]:
        own = [operation for operation in trace if operation.path.partition(".")[0] == name]
        fresh = {id(p): p.numel() for p in module.parameters() if id(p) not in seen}
        seen.update(fresh)
        parts.append(PartCost(name, sum(fresh.values()), prices(own)))
    return _summed(parts)


def _summed(parts: Sequence[PartCost]) -> Cost:
    return Cost(
        params=sum(part.params for part in parts),
        macs={name: sum(part.macs(name) for part in parts) for name in CONVENTIONS},
        parts=tuple(parts),
    )


def _images(resolution: int | tuple[int, int]) -> Shape:
    height, width = (resolution,) * 2 if isinstance(resolution, int) else resolution
    return (1, 3, height, width)
