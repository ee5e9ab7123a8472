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
    followed,
    pixels,
    runs_on_onednn,
)
from evnas.blocks.deployment.rule import Convert, Deployment, RowMixer, convert_children
from evnas.blocks.deployment.shapes import is_by_pixel
from evnas.kernels import hsm_ssd, hsm_ssd_added_to
from evnas.kernels.autotune_table import CallShape
from evnas.kernels.dispatch import MOST_TRITON_STATES, implementation_in_use
from evnas.kernels.precision import accumulation_dtype
from evnas.mixers.hsm_ssd.module import HsmSsd


class RowHsmSsd(RowMixer):
    """HSM-SSD on rows of channels: every projection is a linear map of pixels or states.

    A is gone: the softmax over L cancels it (see `evnas.kernels.hsm_ssd_compress`).
    """

    def __init__(self, mixer: HsmSsd) -> None:
        super().__init__()
        self.split, self.heads, self.impl = mixer.split, mixer.heads, mixer.impl
        self.proj, self.dwconv = by_pixel(mixer.proj), FusedConv(mixer.dwconv)
        self.Q, self.O = _mixing(mixer.Q), _mixing(mixer.O)
        self.D = nn.Parameter(mixer.D.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the same shape, and the hidden states after O, (B, C, N)."""
        rows = pixels(x)
        if self._fused(rows):
            y, h = self._by_kernels(rows)
            return as_map(y), h
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
        if self._fused(x):
            return self._added_by_kernels(total, x, share)
        Cm, h = self.read_out(x)
        rows, shared = total.flatten(1, 2), h * share.to(h.dtype)
        if runs_on_onednn(total, share):
            rows.baddbmm_(Cm, shared)
        else:
            with exact(x):
                rows = torch.baddbmm(rows.to(h.dtype), Cm, shared).to(total.dtype)
        return rows.view(x.shape), h.transpose(1, 2)

    def _fused(self, x: Tensor) -> bool:
        """Whether the kernels stand for the plain operators: by name, or as measured fastest."""
        if self.impl == "triton_fused":
            return not followed()
        if self.impl != "auto" or not x.is_cuda or followed():
            return False
        work = CallShape(x.numel(), self.split[0], training=False)
        taken = implementation_in_use("hsm_ssd", x.device, x.dtype, work=work)
        return taken == "triton_fused" and self.split[0] <= MOST_TRITON_STATES

    def _by_kernels(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, C) -> the same shape, and the hidden states (B, C, N); nothing is copied."""
        u, dt, B, Cm, *weights = self._operands(x)
        y, h = hsm_ssd(u, dt, B, Cm, None, *weights, heads=self.heads, impl="triton_fused")
        return y.mT.reshape(x.shape), h

    def _added_by_kernels(self, total: Tensor, x: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """As `added_to`; the sum is made by the launch that makes y, in inference in one dtype."""
        gradient = torch.is_grad_enabled() and (x.requires_grad or total.requires_grad)
        if gradient or total.dtype != x.dtype:
            y, h = self._by_kernels(x)
            return torch.addcmul(total, y, share.to(y.dtype)), h
        columns = total.flatten(1, 2).mT
        y, h = hsm_ssd_added_to(columns, share, *self._operands(x), heads=self.heads)
        return y.mT.reshape(x.shape), h

    def _operands(self, x: Tensor) -> tuple[Tensor, ...]:
        """u, dt, B, C, Q, O and D for (B, H, W, C), as the kernels take them: views."""
        t = pixels(self.dwconv(as_map(self.proj(x)))).flatten(1, 2).mT
        B, Cm, dt = torch.split(t, self.split, dim=1)
        return x.flatten(1, 2).mT, dt, B, Cm, self.Q.weight, self.O.weight, self.D

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
