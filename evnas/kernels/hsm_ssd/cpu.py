"""HSM-SSD and its adjoint in plain torch. A has no part in it: the softmax over L cancels it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.precision import accumulation_dtype, widen


def compress_cpu(u: Tensor, dt: Tensor, B: Tensor, *, heads: int) -> tuple[Tensor, Tensor]:
    """h0 (Bt, C, N) and the log of the softmax's sums (Bt, S, 1), both in accumulation dtype."""
    (Bt, C, L), acc = u.shape, accumulation_dtype(u, dt, B)
    scores = widen(dt, acc)
    log_sum = torch.logsumexp(scores, -1, keepdim=True)
    K = _score(scores, log_sum, heads) * widen(B, acc)[:, None]  # (Bt, heads, N, L)
    h0 = widen(u, acc).reshape(Bt, heads, C // heads, L) @ K.transpose(-1, -2)
    return h0.view(Bt, C, -1), log_sum


def compress_cpu_backward(
    gh0: Tensor, u: Tensor, dt: Tensor, B: Tensor, log_sum: Tensor, *, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of u, dt and B, in their dtypes."""
    (Bt, C, L), acc = u.shape, log_sum.dtype
    G = _score(widen(dt, acc), log_sum, heads)  # (Bt, heads, N or 1, L)
    value, matrix = widen(u, acc).reshape(Bt, heads, C // heads, L), widen(B, acc)[:, None]
    gh0 = widen(gh0, acc).reshape(Bt, heads, C // heads, -1)
    gu = (gh0 @ (G * matrix)).view(Bt, C, L)
    gK = gh0.transpose(-1, -2) @ value  # (Bt, heads, N, L)
    gB = (gK * G).sum(1)
    gG = gK.mul_(matrix)
    if G.shape[2] == 1:
        gG = gG.sum(2, keepdim=True)  # one score shared by the states
    gG.mul_(G)
    g_scores = gG - G * gG.sum(-1, keepdim=True)
    return gu.to(u.dtype), g_scores.reshape(dt.shape).to(dt.dtype), gB.to(B.dtype)


def expand_cpu(h: Tensor, C: Tensor) -> Tensor:
    """y = h C, (Bt, Ch, L), in accumulation dtype."""
    acc = accumulation_dtype(h, C)
    return widen(h, acc) @ widen(C, acc)


def expand_cpu_backward(gy: Tensor, h: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of h and C, in accumulation dtype."""
    acc = accumulation_dtype(gy, h, C)
    g = widen(gy, acc)
    return g @ widen(C, acc).transpose(1, 2), widen(h, acc).transpose(1, 2) @ g


def middle(h0: Tensor, Q: Tensor, O: Tensor, D: Tensor) -> Tensor:  # noqa: E741 - the paper's letter
    """h = O (h1 * SiLU(z) + D h1) with [h1; z] = Q h0, in the dtype of h0."""
    h1, z = (Q.to(h0.dtype) @ h0).chunk(2, dim=1)  # each (Bt, Ci, N)
    return O.to(h0.dtype) @ (h1 * (F.silu(z) + D.to(h0.dtype)))


def middle_backward(
    gh: Tensor,
    h0: Tensor,
    Q: Tensor,
    O: Tensor,  # noqa: E741 - the paper's letter
    D: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of h0, Q, O and D, in the dtype of h0."""
    Q, O, D = (t.to(h0.dtype) for t in (Q, O, D))  # noqa: E741 - the paper's letter
    h1, z = (Q @ h0).chunk(2, dim=1)
    s = torch.sigmoid(z)
    gate = z * s + D
    g_mixed = O.T @ gh  # (Bt, Ci, N)
    gO = torch.einsum("bcn,bin->ci", gh, h1 * gate)
    g_gate = g_mixed * h1
    g_hz = torch.cat([g_mixed * gate, g_gate * (s + z * s * (1 - s))], dim=1)
    gQ = torch.einsum("bin,bcn->ic", g_hz, h0)
    return Q.T @ g_hz, gQ, gO, g_gate.sum().view(1)


def _score(scores: Tensor, log_sum: Tensor, heads: int) -> Tensor:
    """softmax over L from its log-sum: (Bt, heads, N or 1, L)."""
    Bt, _, L = scores.shape
    return (scores - log_sum).exp_().view(Bt, heads, -1, L)
