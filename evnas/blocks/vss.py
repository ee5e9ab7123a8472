"""The VSS block of VMamba, and with no MLP the vanilla one."""

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
        self.norm = norms.token(dim)
        self.mixer = mixer
        self.drop_path = DropPath(drop_path)
        self.mlp = MlpBranch(dim, mlp_ratio, norms=norms) if mlp_ratio else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> the same shape, and the mixer's hidden states or None."""
        y, h = mix(self.mixer, self.norm(x))
        x = x + self.drop_path(y)
        if self.mlp is not None:
            x = x + self.drop_path(self.mlp(x))
        return x, h


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
