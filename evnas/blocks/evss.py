"""The EVSS block of EfficientVMamba: a global and a local branch, gated by one shared SE."""

from torch import Tensor, nn

from evnas.blocks.layers import ConvNorm, mix
from evnas.blocks.norms import Norms
from evnas.blocks.squeeze_excite import NormedSqueezeExcite
from evnas.blocks.vss import VssBlock


class EvssBlock(VssBlock):
    """n = norm(x); x + se(mixer(n)) + se(conv(n)); the release has no MLP after it.

    Source: EfficientVMamba, arXiv 2403.09977, Section 4.2, eq. 6. The paper draws two SE blocks;
    its release applies one to both branches, and so does this.
    """

    def add_beside(self, dim: int, norms: Norms) -> None:
        """The local branch, and the SE of both."""
        self.local = nn.Sequential(
            ConvNorm(dim, dim, 3, norm=norms.conv, groups=dim, bias=True, act=nn.GELU),
            nn.Conv2d(dim, dim, 1),
        )
        self.se = NormedSqueezeExcite(dim, norms=norms)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> the same shape, and the mixer's hidden states or None."""
        n = self.norm(x)
        y, h = mix(self.mixer, n)
        return self.with_mlp(x + self.drop_path(self.se(y) + self.se(self.local(n)))), h
