"""The EVSS block of EfficientVMamba: a global and a local branch, gated by one shared SE."""

from torch import Tensor, nn

from evnas.blocks.layers import ConvNorm, DropPath, mix
from evnas.blocks.norms import Norms
from evnas.blocks.squeeze_excite import NormedSqueezeExcite
from evnas.blocks.vss import MlpBranch


class EvssBlock(nn.Module):
    """n = norm(x); x + se(mixer(n)) + se(conv(n)); the release has no MLP after it.

    Args:
        dim: C.
        mixer: the global branch, (B, C, H, W) -> the same shape, and perhaps hidden states.
        mlp_ratio: hidden width of an MLP over C; 0 for none, as released.
        norms: which layer normalizes what.
        drop_path: probability that a sample skips a branch in training.

    Source: EfficientVMamba, arXiv 2403.09977, Section 4.2, eq. 6. The paper draws two SE blocks;
    its release applies one to both branches, and so does this.
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
        self.local = nn.Sequential(
            ConvNorm(dim, dim, 3, norm=norms.conv, groups=dim, bias=True, act=nn.GELU),
            nn.Conv2d(dim, dim, 1),
        )
        self.se = NormedSqueezeExcite(dim, norms=norms)
        self.drop_path = DropPath(drop_path)
        self.mlp = MlpBranch(dim, mlp_ratio, norms=norms) if mlp_ratio else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> the same shape, and the mixer's hidden states or None."""
        n = self.norm(x)
        y, h = mix(self.mixer, n)
        x = x + self.drop_path(self.se(y) + self.se(self.local(n)))
        if self.mlp is not None:
            x = x + self.drop_path(self.mlp(x))
        return x, h
