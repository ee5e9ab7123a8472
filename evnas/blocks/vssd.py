"""The block of VSSD: a local perception unit before the mixer and another before the MLP."""

from torch import Tensor, nn

from evnas.blocks.layers import mix
from evnas.blocks.norms import Norms
from evnas.blocks.vss import VssBlock


class VssdBlock(VssBlock):
    """x + lpu(x), x + mixer(norm(x)), x + lpu(x), x + mlp(norm(x)).

    A local perception unit is a depthwise 3x3 convolution with bias, nothing else.

    Source: VSSD, arXiv 2407.18559, appendix Section 3 and Figure 2 (which leaves the units
    out), and its release.
    """

    def add_before(self, dim: int, norms: Norms) -> None:
        """The unit before the mixer."""
        self.lpu1 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def add_beside(self, dim: int, norms: Norms) -> None:
        """The unit before the MLP."""
        self.lpu2 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> the same shape, and the mixer's hidden states or None."""
        x = x + self.lpu1(x)
        y, h = mix(self.mixer, self.norm(x))
        x = x + self.drop_path(y)
        return self.with_mlp(x + self.lpu2(x)), h
