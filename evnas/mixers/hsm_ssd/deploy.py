"""HSM-SSD for inference, with pixels as rows instead of columns."""

import contextlib
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.blocks.deployment.fused import (
    FusedConv,
    FusedLinear,
    as_map,
    by_pixel,
    pixels,
    runs_on_onednn,
)
from evnas.blocks.deployment.rule import Convert, Deployment, RowMixer, convert_children
from evnas.blocks.deployment.shapes import is_by_pixel
from evnas.kernels.precision import accumulation_dtype
from evnas.mixers.hsm_ssd.module import HsmSsd


class RowHsmSsd(RowMixer):
    """HSM-SSD on rows of channels: every projection is a linear map of pixels or states.

    A is gone: the softmax over L cancels it (see `evnas.kernels.hsm_ssd_compress`).
    """

    def __init__(self, mixer: HsmSsd) -> None:
        super().__init__()
        self.split, self.heads = mixer.split, mixer.heads
        self.proj, self.dwconv = by_pixel(mixer.proj), FusedConv(mixer.dwconv)
        self.Q, self.O = _mixing(mixer.Q), _mixing(mixer.O)
        self.D = nn.Parameter(mixer.D.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the same shape, and the hidden states after O, (B, C, N)."""
        rows = pixels(x)
        Cm, h = self.read_out(rows)
        with exact(x):
            y = (Cm @ h).to(x.dtype)
        return as_map(y.view(rows.shape)), h.transpose(1, 2)

    def added_to(self, total: Tensor, x: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """total + share * y, and the hidden states; `total` may hold the sum afterwards.

        Args:
            total: (B, H, W, C), read by nobody else.
            x: (B, H, W, C).
            share: (C,).
        """
        Cm, h = self.read_out(x)
        rows, shared = total.flatten(1, 2), h * share.to(h.dtype)
        if runs_on_onednn(total, share):
            rows.baddbmm_(Cm, shared)
        else:
            with exact(x):
                rows = torch.baddbmm(rows.to(h.dtype), Cm, shared).to(total.dtype)
        return rows.view(x.shape), h.transpose(1, 2)

    def read_out(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, C) -> the output matrix (B, L, N) and the hidden states (B, N, C), float32 at
        least, as sums over tokens have to be."""
        t = pixels(self.dwconv(as_map(self.proj(x)))).flatten(1, 2)
        acc = accumulation_dtype(t, x)
        B, Cm, dt = torch.split(t.to(acc), self.split, dim=2)  # (Bt, L, N) twice, (Bt, L, S)
        with exact(x):
            h0 = self._compressed(x.flatten(1, 2).to(acc), torch.softmax(dt, dim=1), B)
            h1, z = self.Q(h0).chunk(2, dim=2)  # (Bt, N, Ci) each
            return Cm, self.O(h1 * (F.silu(z) + self.D.to(acc)))

    def _compressed(self, u: Tensor, G: Tensor, B: Tensor) -> Tensor:
        """Tokens (Bt, L, C) by scores (Bt, L, S) and matrix (Bt, L, N) -> states (Bt, N, C)."""
        (Bt, L, C), heads = u.shape, self.heads
        if heads == 1:
            return torch.bmm((G * B).transpose(1, 2), u)
        K = G.view(Bt, L, heads, -1) * B[:, :, None]  # (Bt, L, heads, N)
        by_head = u.view(Bt, L, heads, C // heads).transpose(1, 2)
        h0 = torch.matmul(K.permute(0, 2, 3, 1), by_head)  # (Bt, heads, N, C / heads)
        return h0.transpose(1, 2).flatten(2)


def exact(x: Tensor) -> AbstractContextManager[None]:
    """A region that keeps the dtypes of its operands, within autocast too."""
    if x.is_meta or not torch.is_autocast_enabled(x.device.type):
        return contextlib.nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def _mixing(weight: Tensor) -> FusedLinear:
    return FusedLinear(weight, weight.new_zeros(weight.shape[0]))


def _as_rows(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, HsmSsd)
    return RowHsmSsd(module) if is_by_pixel(module.proj) else convert_children(module, convert)


DEPLOYMENT = Deployment(
    rules={HsmSsd: convert_children},
    channels_last={HsmSsd: _as_rows},
    kept_precise={HsmSsd: ("A", "D")},
)
