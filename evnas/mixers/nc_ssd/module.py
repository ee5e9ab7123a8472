"""NC-SSD, the mixer of VSSD: one global state per head, shared by all tokens."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.blocks import init
from evnas.blocks.layers import PixelLinear
from evnas.blocks.norms import Norms
from evnas.kernels import Impl, nc_ssd
from evnas.kernels.onnx_form.step_size import softplus


class NcSsd(nn.Module):
    """Project, convolve, sum tokens into a state per head, read it out, normalize, gate.

    The gate z is raw (no activation) and comes after the norm; V, B and Cm pass a depthwise 3x3
    convolution with bias and SiLU; the step and z do not.

    Args:
        dim: C.
        states: N, in one group for all heads.
        heads: of width E*C / heads.
        expand: E.

    Source: VSSD, arXiv 2407.18559, as released.
    """

    def __init__(
        self,
        dim: int,
        *,
        states: int,
        heads: int,
        expand: float,
        norms: Norms,
        impl: Impl = "auto",
    ) -> None:
        super().__init__()
        inner = round(expand * dim)
        convolved = inner + 2 * states
        self.hidden_width: int = inner
        self.split = [inner, convolved, heads]
        self.inner_split = [inner, states, states]
        self.heads = heads
        self.impl: Impl = impl
        self.dt_bias = nn.Parameter(torch.empty(heads))
        self.A_log = nn.Parameter(torch.empty(heads))
        self.D = nn.Parameter(torch.ones(heads))
        self.in_proj = PixelLinear(dim, sum(self.split), bias=False)
        self.dwconv = nn.Conv2d(convolved, convolved, 3, padding=1, groups=convolved)
        self.norm = norms.token(inner)
        self.out_proj = PixelLinear(inner, dim, bias=False)
        init.step_bias_(self.dt_bias)
        init.log_uniform_(self.A_log)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the same shape, and the states, (B, E*C, N), float32 at least."""
        z, xBC, dt = torch.split(self.in_proj(x), self.split, dim=1)
        delta = softplus(dt + self.dt_bias[:, None, None]).flatten(2)  # (B, heads, L)
        xBC = F.silu(self.dwconv(xBC)).flatten(2)
        v, B, Cm = torch.split(xBC, self.inner_split, dim=1)  # (B, E*C, L), (B, N, L) twice
        y, state = nc_ssd(v, delta, self.A_log, B, Cm, self.D, heads=self.heads, impl=self.impl)
        out: Tensor = self.out_proj(self.norm(y.view(z.shape)).to(z.dtype) * z)
        return out, state

    def sections(self) -> dict[str, tuple[int, dict[str, int]]]:
        """Parameter -> (axis, name -> size) where several things lie along one axis."""
        inner, states, _ = self.inner_split
        convolved = {"v": inner, "B": states, "C": states}
        return {
            "in_proj.weight": (0, {"z": inner, **convolved, "dt": self.heads}),
            "dwconv.weight": (0, convolved),
            "dwconv.bias": (0, convolved),
        }

    def extra_repr(self) -> str:
        """Heads and states, which the parameters' shapes do not show."""
        return f"heads={self.heads}, states={self.inner_split[1]}"
