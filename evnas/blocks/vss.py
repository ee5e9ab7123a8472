"""The VSS block of VMamba, with no MLP the vanilla one, and what others add to it."""

from torch import Tensor, nn

from evnas.blocks.layers import DropPath, Mlp, mix
from evnas.blocks.norms import Norms


class VssBlock(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x)) unless `mlp_ratio` is 0.

    Args:
        dim: C.
        mixer: (B, C, H, W) -> the same shape, and perhaps hidden states.
        mlp_ratio: hidden width of the MLP over C; 0 for none, as in Vanilla-VMamba.
        norms: which layer normalizes what.
        drop_path: probability that a sample skips a branch in training.

    A block that is this one with layers of its own adds them in `add_before` and `add_beside`:
    layers are made in the order of the forward, which is that of saved parameters and of what is
    drawn to initialise them.

    Source: VMamba, arXiv 2401.10166, Section 4.1 and Figure 3 (c), (d).
    """

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
        self.add_before(dim, norms)
        self.norm = norms.token(dim)
        self.mixer = mixer
        self.drop_path = DropPath(drop_path)
        self.add_beside(dim, norms)
        self.mlp = MlpBranch(dim, mlp_ratio, norms=norms) if mlp_ratio else None

    def add_before(self, dim: int, norms: Norms) -> None:
        """Make layers that stand before the norm."""

    def add_beside(self, dim: int, norms: Norms) -> None:
        """Make layers that stand beside or behind the mixer."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> the same shape, and the mixer's hidden states or None."""
        y, h = mix(self.mixer, self.norm(x))
        return self.with_mlp(x + self.drop_path(y)), h

    def with_mlp(self, x: Tensor) -> Tensor:
        """x + mlp(x), or x where there is no MLP; (B, C, H, W)."""
        return x if self.mlp is None else x + self.drop_path(self.mlp(x))


class MlpBranch(nn.Module):
    """Norm, then an MLP of hidden width int(ratio * C): the second half of three blocks."""

    def __init__(self, dim: int, ratio: float, *, norms: Norms) -> None:
        super().__init__()
        self.norm = norms.token(dim)
        self.mlp = Mlp(dim, int(ratio * dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        y: Tensor = self.mlp(self.norm(x))
        return y
