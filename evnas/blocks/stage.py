"""One resolution of a backbone, and the walk through all of them."""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Stage(nn.Module):
    """Blocks on one resolution, and the downsampling to the next, which the last has not."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> the same shape, before downsampling, and the last hidden states."""
        h = None
        for block in self.blocks:
            if self.grad_checkpointing and torch.is_grad_enabled():
                x, h = checkpoint(block, x, use_reentrant=False)
            else:
                x, h = block(x)
        return x, h


def run_stages(x: Tensor, stages: Iterable[nn.Module]) -> tuple[list[Tensor], list[Tensor | None]]:
    """The stem's map -> each stage's map, (B, C_s, H_s, W_s), and hidden states or None."""
    maps, states = [], []
    for stage in cast(Iterable[Stage], stages):  # a ModuleList forgets what it holds
        y, h = stage(x)
        maps.append(y)
        states.append(h)
        x = y if stage.downsample is None else stage.downsample(y)
    return maps, states
