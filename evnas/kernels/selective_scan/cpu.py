"""The selective scan in plain torch: each sequence folded into lines (T, Bt, Dm, M).

Step t = m * T + i of a sequence lies at [i, :, :, m], so that `evnas.kernels.recurrence` advances
all lines together; the end is padded with steps of dt = 0, which change nothing.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.operator_inputs import SequenceInputs
from evnas.kernels.precision import accumulation_dtype
from evnas.kernels.recurrence import MIN_BLOCK, Walk
from evnas.kernels.route_cpu import Routes, routes_backward, routes_forward
from evnas.kernels.softplus import LOG2_E, softplus

CHUNK_ELEMENTS = 400_000  # of one array (T, Bt, Dm, M); a handful of them live at once
GPU_CHUNK_ELEMENTS = 2**25  # the same on a GPU, where a chunk costs launches


def line_length(L: int) -> int:
    """T for a sequence of L steps: near its root, and a multiple of a good block."""
    root = max(1, int(L**0.5))
    return root if root < 2 * MIN_BLOCK else root // MIN_BLOCK * MIN_BLOCK


def selective_scan_cpu(given: SequenceInputs, *, delta_softplus: bool) -> Tensor:
    """Shapes as in `evnas.kernels.selective_scan.selective_scan`; runs below autograd."""
    x, delta, A, B, C, D, delta_bias = given
    acc, L = accumulation_dtype(x, delta, A, B, C), x.shape[2]
    out = torch.empty(x.shape, dtype=acc, device=x.device)
    for images, channels, k in _chunks(x, B.shape[1]):
        raw = _biased(delta[images, channels], delta_bias, channels, acc)
        step = _softplus(raw) if delta_softplus else raw
        route = _route(x, step, A, B, C, D, images, channels, k)
        y = torch.empty_like(route.x[0])
        routes_forward(route, torch.empty_like(route.z), y)
        out[images, channels] = _unfold(y[0], L)
    return out


def selective_scan_cpu_backward(
    gy: Tensor, given: SequenceInputs, *, delta_softplus: bool
) -> list[Tensor]:
    """Gradients of x, delta, A, B, C, then of D and delta_bias where they are given."""
    x, delta, A, B, C, D, delta_bias = given
    acc, L = accumulation_dtype(x, delta, A, B, C), x.shape[2]
    wanted = [x, delta, A, B, C] + [t for t in (D, delta_bias) if t is not None]
    sums = [torch.zeros_like(t, dtype=acc, memory_format=torch.contiguous_format) for t in wanted]
    g_x, g_delta, g_A, g_B, g_C = sums[:5]
    for images, channels, k in _chunks(x, B.shape[1]):
        raw = _biased(delta[images, channels], delta_bias, channels, acc)
        step = _softplus(raw) if delta_softplus else raw
        route = _route(x, step, A, B, C, D, images, channels, k)
        grads = routes_backward(route, _fold(gy[images, channels].to(acc))[None])
        g_step = _unfold(grads.z[0, 0], L)
        if delta_softplus:
            g_step = g_step * torch.sigmoid(raw)
        g_x[images, channels], g_delta[images, channels] = _unfold(grads.x[0, 0], L), g_step
        g_A[channels] += grads.A[0, 0]
        g_B[images, k] += _unfold(grads.B[:, 0, 0].squeeze(3).permute(1, 2, 0, 3), L)
        g_C[images, k] += _unfold(grads.C[:, 0, 0].squeeze(3).permute(1, 2, 0, 3), L)
        if grads.D is not None:
            sums[5][channels] += grads.D[0, 0]
        if delta_bias is not None:
            sums[-1][channels] += g_step.sum((0, 2))
    return [g.to(t.dtype) for g, t in zip(sums, wanted, strict=True)]


def _biased(delta: Tensor, delta_bias: Tensor | None, channels: slice, acc: torch.dtype) -> Tensor:
    """delta + delta_bias for one chunk, (Bt, Dm, L), a copy or delta itself."""
    return delta.to(acc) if delta_bias is None else delta.to(acc) + delta_bias[channels, None]


def _route(
    x: Tensor,
    step: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    images: slice,
    channels: slice,
    k: int,
) -> Routes:
    """One chunk of group k, folded; its step size has been through softplus already."""
    acc = step.dtype
    return Routes(
        x=_fold(x[images, channels].to(acc))[None, None],
        z=_fold(step)[None, None],
        A=A[None, None, channels].to(acc),
        B=_fold(B[images, k].to(acc)).permute(2, 0, 1, 3).contiguous()[:, None, None, :, :, None],
        C=_fold(C[images, k].to(acc)).permute(2, 0, 1, 3).contiguous()[:, None, None, :, :, None],
        D=None if D is None else D[None, None, channels].to(acc),
        walks=(Walk(),),
        softplus=False,
    )


def _softplus(z: Tensor) -> Tensor:
    return softplus(z * LOG2_E, torch.empty_like(z))


def _fold(sequences: Tensor) -> Tensor:
    """(Bt, R, L) -> lines (T, Bt, R, M), zeros after the end."""
    L = sequences.shape[-1]
    T = line_length(L)
    padded = F.pad(sequences, (0, -L % T))
    return padded.view(*padded.shape[:2], -1, T).permute(3, 0, 1, 2).contiguous()


def _unfold(lines: Tensor, L: int) -> Tensor:
    """Lines (T, Bt, R, M) -> (Bt, R, L)."""
    return lines.permute(1, 2, 3, 0).flatten(2)[..., :L]


def _chunks(x: Tensor, groups: int) -> Iterator[tuple[slice, slice, int]]:
    """Slices of the batch and of the channels within group k, about CHUNK_ELEMENTS each."""
    Bt, KD, L = x.shape
    Dm = KD // groups
    elements = GPU_CHUNK_ELEMENTS if x.is_cuda else CHUNK_ELEMENTS
    channels = min(Dm, max(1, elements // L))
    images = max(1, elements // (channels * L))
    for b in range(0, Bt, images):
        for k in range(groups):
            for d in range(k * Dm, (k + 1) * Dm, channels):
                yield slice(b, b + images), slice(d, min(d + channels, (k + 1) * Dm)), k
