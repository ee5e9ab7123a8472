"""HSM-SSD and its adjoint in plain torch. A has no part in it: the softmax over L cancels it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.precision import accumulation_dtype, widen
from evnas.kernels.product import linear


def compress_cpu(u: Tensor, dt: Tensor, B: Tensor, *, heads: int) -> tuple[Tensor, Tensor]:
    """h0 (Bt, C, N) in accumulation dtype, as a view of (Bt, N, C) where heads is 1; and zeros
    (Bt, S, 1) for the sums that it does without."""
    acc = accumulation_dtype(u, dt, B)
    G, matrix = torch.softmax(widen(dt, acc), -1), widen(B, acc)
    K = _per_head(G, heads)
    K = K.mul_(matrix[:, None]) if K.shape[2] == matrix.shape[1] else K * matrix[:, None]
    states = torch.bmm(K.flatten(0, 1), _head_first(widen(u, acc), heads).mT)
    h0 = states.mT.reshape(*u.shape[:2], -1)  # of (Bt * heads, N, C // heads)
    return h0, G.new_zeros((*dt.shape[:2], 1))


def compress_cpu_backward(
    gh0: Tensor, u: Tensor, dt: Tensor, B: Tensor, *, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of u, dt and B, in their dtypes."""
    (Bt, C, L), acc = u.shape, accumulation_dtype(u, dt, B)
    scores, matrix = torch.softmax(widen(dt, acc), -1), widen(B, acc)[:, None]
    G = _per_head(scores, heads)  # (Bt, heads, N or 1, L)
    gh0 = gh0.to(acc).reshape(Bt * heads, C // heads, -1)
    gu = torch.bmm(gh0, (G * matrix).flatten(0, 1)).view(u.shape)
    gK = torch.bmm(gh0.mT, _head_first(widen(u, acc), heads)).view(Bt, heads, -1, L)
    gB = (gK * G).sum(1)
    gG = gK.mul_(matrix)
    if G.shape[2] < gG.shape[2]:
        gG = gG.sum(2, keepdim=True)  # one score shared by the states
    g_scores = torch._softmax_backward_data(gG.view(dt.shape), scores, -1, acc)
    return gu.to(u.dtype), g_scores.to(dt.dtype), gB.to(B.dtype)


def expand_cpu(h: Tensor, C: Tensor) -> Tensor:
    """y = h C, (Bt, Ch, L), in accumulation dtype."""
    acc = accumulation_dtype(h, C)
    return torch.bmm(widen(h, acc), widen(C, acc))


def expand_cpu_backward(gy: Tensor, h: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of h and C, in accumulation dtype."""
    acc = accumulation_dtype(gy, h, C)
    g = widen(gy, acc)
    return torch.bmm(widen(C, acc), g.mT).mT, torch.bmm(widen(h, acc).mT, g)


def middle(
    states: Tensor,
    Q: Tensor,
    O: Tensor,  # noqa: E741 - the paper's letter
    D: Tensor,
) -> tuple[Tensor, Tensor]:
    """h = O (h1 * SiLU(z) + D h1), (Bt, C, N), and [h1; z] = Q h0 as (Bt*N, 2*Ci).

    `states` is h0 as (Bt, N, C): a row per state, so that each product is one large one.
    """
    hz = linear(states.flatten(0, 1), Q.to(states.dtype))
    h1, z = hz.chunk(2, 1)
    mixed = F.silu(z).add_(D.to(states.dtype)).mul_(h1)
    h = linear(mixed, O.to(states.dtype))
    return h.view(states.shape).mT.contiguous(), hz


def middle_backward(
    gh: Tensor,
    states: Tensor,
    hz: Tensor,
    Q: Tensor,
    O: Tensor,  # noqa: E741 - the paper's letter
    D: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of h0 (Bt, C, N), a view of (Bt, N, C), and of Q, O and D, all in the dtype of
    `states`."""
    Q, O, D = (t.to(states.dtype) for t in (Q, O, D))  # noqa: E741 - the paper's letter
    h1, z = hz.chunk(2, 1)
    g = gh.mT.reshape(-1, gh.shape[1])  # (Bt*N, C)
    gate = F.silu(z).add_(D)
    g_mixed = linear(g, O.T)  # (Bt*N, Ci)
    gO = linear(g.T, (h1 * gate).T)
    g_gate = g_mixed * h1
    g_hz = torch.cat([gate.mul_(g_mixed), torch.ops.aten.silu_backward(g_gate, z)], 1)
    gQ = linear(g_hz.T, states.flatten(0, 1).T)
    return linear(g_hz, Q.T).view(states.shape).mT, gQ, gO, g_gate.sum().view(1)


def _per_head(scores: Tensor, heads: int) -> Tensor:
    """(Bt, S, L) -> (Bt, heads, N or 1, L)."""
    return scores.view(scores.shape[0], heads, -1, scores.shape[2])


def _head_first(tokens: Tensor, heads: int) -> Tensor:
    """(Bt, C, L) -> (Bt * heads, C // heads, L)."""
    return tokens.view(tokens.shape[0] * heads, -1, tokens.shape[2])
