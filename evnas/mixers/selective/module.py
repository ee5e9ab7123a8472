"""What SS2D and ES2D share: projections into and out of the scan, and the scan's parameters."""

import math
from collections.abc import Callable, Mapping
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.blocks import init
from evnas.blocks.layers import PixelLinear
from evnas.blocks.norms import Norms
from evnas.kernels import Impl
from evnas.mixers.selective.spec import Activation, Initialization, Rank

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "relu": F.relu,
}


class ScanParameters(nn.Module):
    """Per route: A, D, and the projections that make step, B and C out of the input.

    The projections act at each pixel, so they commute with any order of the pixels.

    Args:
        inner: D, channels scanned.
        routes: K.
        d_state: N.
        dt_rank: R.
        scheme: initialization, one of VMamba's Table 11.
    """

    def __init__(
        self, inner: int, *, routes: int, d_state: int, dt_rank: int, scheme: str
    ) -> None:
        super().__init__()
        self.split = [dt_rank, d_state, d_state]
        self.x_proj = nn.Parameter(torch.empty(routes, sum(self.split), inner))  # (K, R+2N, D)
        self.A_log = nn.Parameter(torch.empty(routes, inner, d_state))
        self.D = nn.Parameter(torch.ones(routes, inner))
        self.dt_weight = nn.Parameter(torch.empty(routes, inner, dt_rank))
        self.dt_bias = nn.Parameter(torch.empty(routes, inner))
        bound = inner**-0.5
        nn.init.uniform_(self.x_proj, -bound, bound)
        init.selective_scan_(self.A_log, self.dt_weight, self.dt_bias, scheme=scheme)

    def A(self) -> Tensor:
        """Continuous decay, (K, D, N), negative; float32 at least, also under autocast."""
        return -torch.exp(self.A_log.float() if self.A_log.dtype.itemsize < 4 else self.A_log)

    def on_map(self, u: Tensor, routes: slice = slice(None)) -> tuple[Tensor, Tensor, Tensor]:
        """Step's factor, B and C of every chosen route at every pixel of one map.

        Args:
            u: (B, D, H, W).
            routes: which of the K.

        Returns:
            low (B, K, R, H, W), of which `dt_weight` makes the step, B and C (B, K, N, H, W).
        """
        weight = self.x_proj[routes]  # (K, R+2N, D)
        K, H, W = weight.shape[0], u.shape[2], u.shape[3]
        q = F.conv2d(u, weight.flatten(0, 1)[..., None, None])
        q = q.view(-1, K, weight.shape[1], H, W)
        low, B, C = torch.split(q, self.split, dim=2)
        return low, B, C

    def on_sequences(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step, B and C where each route has a sequence of its own.

        Args:
            x: (B, K, D, L).

        Returns:
            delta (B, K*D, L) before bias and softplus, B and C (B, K, N, L).
        """
        K, L = x.shape[1], x.shape[3]
        q = F.conv1d(x.flatten(1, 2), self.x_proj.flatten(0, 1)[..., None], groups=K)
        q = q.view(-1, K, self.x_proj.shape[1], L)
        low, B, C = torch.split(q, self.split, dim=2)
        up = self.dt_weight.flatten(0, 1)[..., None]
        return F.conv1d(low.flatten(1, 2), up, groups=K), B, C


class SelectiveFields(TypedDict):
    """What a child is made with beside its own: `dt_rank` is R, or `auto` for ceil(C / 16), from C
    and not from D as in the releases; the rest as in `SelectiveSpec`."""

    d_state: int
    ssm_ratio: float
    dt_rank: Rank
    conv: bool
    conv_bias: bool
    gate: bool
    act: Activation
    init: Initialization
    norms: Norms


class SelectiveMixer(nn.Module):
    """in_proj, depthwise convolution, activation, a scan, norm, gate, out_proj.

    Abstract: a child says how it scans.

    Args:
        dim: C.
        shared: the fields that all children have.
        routes: K.
        impl: of the scan.
    """

    hidden_width = None

    def __init__(self, dim: int, shared: SelectiveFields, *, routes: int, impl: Impl) -> None:
        super().__init__()
        inner = int(shared["ssm_ratio"] * dim)
        self.gate, self.act = shared["gate"], shared["act"]
        self.in_proj = PixelLinear(dim, 2 * inner if self.gate else inner, bias=False)
        self.dwconv = (
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=shared["conv_bias"])
            if shared["conv"]
            else None
        )
        rank = shared["dt_rank"]
        self.ssm = ScanParameters(
            inner,
            routes=routes,
            d_state=shared["d_state"],
            dt_rank=math.ceil(dim / 16) if rank == "auto" else rank,
            scheme=shared["init"],
        )
        self.norm = shared["norms"].token(inner)
        self.out_proj = PixelLinear(inner, dim, bias=False)
        self.impl = impl

    def sections(self) -> dict[str, tuple[int, dict[str, int]]]:
        """Parameter -> (axis, name -> size) where several things lie along one axis."""
        inner = self.out_proj.in_channels
        rank, states, _ = self.ssm.split
        return {
            "in_proj.weight": (0, {"u": inner, "z": inner} if self.gate else {"u": inner}),
            "ssm.x_proj": (1, {"dt": rank, "B": states, "C": states}),
        }

    def scan(self, u: Tensor) -> Tensor:
        """(B, D, H, W) -> the same shape, float32 at least: the norm comes next."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        u, z = self.in_proj(x), None
        if self.gate:
            u, z = u.chunk(2, dim=1)
        y = self.norm(self.scanned(u)).to(u.dtype)
        if z is not None:
            y = y * ACTIVATIONS[self.act](z)
        out: Tensor = self.out_proj(y)
        return out

    def scanned(self, u: Tensor) -> Tensor:
        """What `in_proj` gives, (B, D, H, W), without the gate -> the scan's sums, float32 at
        least."""
        return self.scan(ACTIVATIONS[self.act](u if self.dwconv is None else self.dwconv(u)))
