"""A block of another package: its norm comes after the mixer."""

from torch import Tensor, nn

from evnas.arch.block import Block
from evnas.blocks.layers import DropPath, mix
from evnas.blocks.norms import Norms


class PostNormBlock(nn.Module):
    """norm(x + mixer(x)), without an MLP."""

    def __init__(
        self,
        dim: int,
        mixer: nn.Module,
        *,
        mlp_ratio: float,
        norms: Norms,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.mixer = mixer
        self.norm = norms.token(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> the same shape, and the mixer's hidden states or None."""
        y, h = mix(self.mixer, x)
        return self.norm(x + self.drop_path(y)), h


BLOCK = Block(module=PostNormBlock, mlp=False, batch_norm=False)
