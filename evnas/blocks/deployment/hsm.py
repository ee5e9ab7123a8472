"""HSM-SSD and squeeze-and-excitation for inference, with pixels as rows instead of columns."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.blocks.deployment.layers import Act, FusedConv, FusedLinear, runs_on_onednn
from evnas.blocks.mixers.hsm_ssd import HsmSsd
from evnas.blocks.squeeze_excite import SqueezeExcite


class RowHsmSsd(nn.Module):
    """HSM-SSD on channels-last maps: states (B, N, C), so that Q and O are 1x1 convolutions.

    A is gone: the softmax over L cancels it (see `evnas.kernels.hsm_ssd_compress`).
    """

    def __init__(self, mixer: HsmSsd) -> None:
        super().__init__()
        self.split, self.heads = mixer.split, mixer.heads
        self.proj = FusedConv(mixer.proj)
        self.dwconv = FusedConv(mixer.dwconv)
        self.Q, self.O = _linear(mixer.Q), _linear(mixer.O)
        self.D = nn.Parameter(mixer.D.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the same shape, and the hidden states after O, (B, C, N)."""
        Cm, h = self.read_out(x)
        return _map(Cm @ h.transpose(1, 2), x.shape), h

    def added_to(self, total: Tensor, x: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """total + share * y, and the hidden states; `total` may hold the sum afterwards.

        Args:
            total: (B, C, H, W), read by nobody else.
            x: (B, C, H, W).
            share: (C, 1).
        """
        Cm, h = self.read_out(x)
        rows, shared = _rows(total), (h * share.to(h.dtype)).transpose(1, 2)
        if runs_on_onednn(total, share):
            rows.baddbmm_(Cm, shared)
        else:
            rows = torch.baddbmm(rows, Cm, shared)
        return _map(rows, x.shape), h

    def read_out(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the output matrix (B, L, N) and the hidden states (B, C, N)."""
        Bt, C, H, W = x.shape
        N, heads = self.split[0], self.heads
        t = _rows(self.dwconv(self.proj(x)))
        B, Cm, dt = torch.split(t, self.split, dim=2)  # (Bt, L, N) twice, (Bt, L, S)
        G = torch.softmax(dt, dim=1).view(Bt, H * W, heads, -1)
        K = (G * B[:, :, None]).permute(0, 2, 3, 1)  # (Bt, heads, N, L)
        u = _rows(x).view(Bt, H * W, heads, C // heads).transpose(1, 2)
        h0 = (K @ u).transpose(1, 2).reshape(Bt, N, C)
        h1, z = self.Q(h0.transpose(1, 2)[..., None]).chunk(2, dim=1)  # (Bt, Ci, N, 1) each
        h = self.O(h1 * (F.silu(z) + self.D)).squeeze(3)  # (Bt, C, N)
        return Cm, h


class RowSqueezeExcite(nn.Module):
    """Squeeze-and-excitation whose two layers are linear maps of (B, C)."""

    def __init__(self, se: SqueezeExcite) -> None:
        super().__init__()
        self.fc1, self.fc2 = _as_linear(se.fc1, "relu"), _as_linear(se.fc2, "none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        gate = self.fc2(self.fc1(x.mean((2, 3))))
        return x * torch.sigmoid(gate)[..., None, None]


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, L, C), a view of a channels-last map


def _map(rows: Tensor, shape: torch.Size) -> Tensor:
    Bt, C, H, W = shape
    return rows.view(Bt, H, W, C).permute(0, 3, 1, 2)


def _linear(weight: Tensor) -> FusedConv:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=False, device="meta")
    conv.weight = nn.Parameter(weight.detach()[..., None, None])
    return FusedConv(conv)


def _as_linear(conv: nn.Conv2d, act: Act) -> FusedLinear:
    assert conv.bias is not None
    return FusedLinear(conv.weight.flatten(1), conv.bias, act)
