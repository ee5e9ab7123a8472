"""HSM-SSD, the mixer of EfficientViM: channels mix in the hidden states, not in the tokens."""

import torch
from torch import Tensor, nn

from evnas.blocks import init
from evnas.blocks.norms import Norms
from evnas.kernels import Impl, hsm_ssd
from evnas.mixers.hsm_ssd.spec import Score


class HsmSsd(nn.Module):
    """Tokens u = x -> N hidden states -> gate and two linear maps on the states -> tokens.

    B, Cm and the scores dt are a 1x1 and a depthwise 3x3 convolution of x, without bias, norm or
    activation. The gate is SiLU(z) + D; there is no skip at token level.

    Args:
        dim: C.
        states: N.
        heads: groups of channels with scores of their own; B and Cm are shared.
        score: `per_state`: a score per token and state (A in R^{LxN}); `shared`: one per token
            (a in R^L), in each head.
        expand: E; the states are mixed at E*C channels.

    Source: EfficientViM, arXiv 2411.15241, Figure 2, Algorithm 1; heads and the shared score
    are rows E and F of Table C (supplement). A is held and drawn from U(1, 16) as in the release,
    though the softmax over L cancels it.
    """

    def __init__(
        self,
        dim: int,
        *,
        states: int,
        heads: int,
        score: Score,
        expand: float,
        norms: Norms,
        impl: Impl = "auto",
    ) -> None:
        super().__init__()
        scores = heads * (states if score == "per_state" else 1)
        inner = round(expand * dim)
        self.hidden_width: int = dim
        self.split = [states, states, scores]
        self.heads = heads
        self.impl: Impl = impl
        self.A = nn.Parameter(torch.empty(scores).uniform_(1, 16))
        self.D = nn.Parameter(torch.ones(1))
        self.proj = nn.Conv2d(dim, sum(self.split), 1, bias=False)
        self.dwconv = nn.Conv2d(
            sum(self.split), sum(self.split), 3, padding=1, groups=sum(self.split), bias=False
        )
        self.Q = nn.Parameter(torch.empty(2 * inner, dim))
        self.O = nn.Parameter(torch.empty(dim, inner))
        init.convolution_(self.Q)
        init.convolution_(self.O)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the same shape, and the hidden states after O, (B, C, N), float32 at
        least."""
        t = self.dwconv(self.proj(x)).flatten(2)
        B, Cm, dt = torch.split(t, self.split, dim=1)  # (B, N, L) twice, (B, S, L)
        y, h = hsm_ssd(
            x.flatten(2),
            dt,
            B,
            Cm,
            self.A,
            self.Q,
            self.O,
            self.D,
            heads=self.heads,
            impl=self.impl,
        )
        return y.view(x.shape), h

    def sections(self) -> dict[str, tuple[int, dict[str, int]]]:
        """Parameter -> (axis, name -> size) where several things lie along one axis."""
        heads = {f"dt of head {h}": self.split[2] // self.heads for h in range(self.heads)}
        scores = {"B": self.split[0], "C": self.split[1], **heads}
        inner = self.O.shape[1]
        return {
            "A": (0, heads),
            "proj.weight": (0, scores),
            "dwconv.weight": (0, scores),
            "Q": (0, {"states": inner, "gate": inner}),
        }

    def extra_repr(self) -> str:
        """Heads and states, which the parameters' shapes do not show."""
        return f"heads={self.heads}, states={self.split[0]}"
