"""The block of VSSD: a local perception unit before the mixer and another before the MLP."""

from torch import Tensor, nn

from evnas.blocks.layers import DropPath, mix
from evnas.blocks.norms import Norms
from evnas.blocks.vss import MlpBranch


class VssdBlock(nn.Module):
    """x + lpu(x), x + mixer(norm(x)), x + lpu(x), x + mlp(norm(x)).

    A local perception unit is a depthwise 3x3 convolution with bias, nothing else.

    Args:
        dim: C.
        mixer: (B, C, H, W) -> the same shape, and perhaps hidden states.
        mlp_ratio: hidden width of the MLP over C; 0 for none.
        norms: which layer normalizes what.
        drop_path: probability that a sample skips a branch in training.

    Source: VSSD, arXiv 2407.18559, appendix Section 3 and Figure 2 (which leaves the units
    out), and its release.
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
        self.lpu1 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm = norms.token(dim)
        self.mixer = mixer
        self.drop_path = DropPath(drop_path)
        self.lpu2 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.mlp = MlpBranch(dim, mlp_ratio, norms=norms) if mlp_ratio else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> the same shape, and the mixer's hidden states or None."""
        x = x + self.lpu1(x)
        y, h = mix(self.mixer, self.norm(x))
        x = x + self.drop_path(y)
        x = x + self.lpu2(x)
        if self.mlp is not None:
            x = x + self.drop_path(self.mlp(x))
        return x, h
