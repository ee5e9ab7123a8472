"""HSM-SSD and its adjoint in plain torch. A has no part in it: the softmax over L cancels it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.precision import accumulation_dtype, widen
from evnas.kernels.softplus import LOG2_E

FEW_COLUMNS = 64  # below which a product's transpose is faster: up to six times at nine columns


def compress_cpu(u: Tensor, dt: Tensor, B: Tensor, *, heads: int) -> tuple[Tensor, Tensor]:
    """h0 (Bt, C, N) and the log of the softmax's sums (Bt, S, 1), both in accumulation dtype."""
    (Bt, C, L), acc = u.shape, accumulation_dtype(u, dt, B)
    scores = widen(dt, acc)
    G = torch.softmax(scores, -1)
    log_sum = scores.amax(-1, keepdim=True) - G.amax(-1, keepdim=True).log_()
    K = G.view(Bt, heads, -1, L) * widen(B, acc)[:, None]  # (Bt, heads, N, L)
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


def middle(
    h0: Tensor,
    Q: Tensor,
    O: Tensor,  # noqa: E741 - the paper's letter
    D: Tensor,
) -> tuple[Tensor, Tensor]:
    """h = O (h1 * SiLU(z) + D h1), (Bt, C, N), and [h1; z] = Q h0 as (2*Ci, Bt*N).

    The states of all images stand side by side, so that each product is one large one.
    """
    hz = _mixed(Q.to(h0.dtype), _side_by_side(h0))
    h1, z = hz.chunk(2)
    h = _mixed(O.to(h0.dtype), F.silu(z).add_(D.to(h0.dtype)).mul_(h1))
    return _per_image(h, h0.shape[0]), hz


def middle_backward(
    gh: Tensor,
    h0: Tensor,
    hz: Tensor,
    Q: Tensor,
    O: Tensor,  # noqa: E741 - the paper's letter
    D: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of h0, Q, O and D, in the dtype of h0."""
    Q, O, D = (t.to(h0.dtype) for t in (Q, O, D))  # noqa: E741 - the paper's letter
    h1, z = hz.chunk(2)
    g = _side_by_side(gh)
    s = torch.sigmoid(z)
    gate = z * s + D
    g_mixed = _mixed(O.T, g)  # (Ci, Bt*N)
    gO = g @ (h1 * gate).T
    g_gate = g_mixed * h1
    g_hz = torch.cat([g_mixed * gate, g_gate * (s + z * s * (1 - s))])
    gQ = g_hz @ _side_by_side(h0).T
    return _per_image(_mixed(Q.T, g_hz), h0.shape[0]), gQ, gO, g_gate.sum().view(1)


def _mixed(weight: Tensor, states: Tensor) -> Tensor:
    """weight @ states, contiguous, for states (C, Bt*N) that may be few."""
    if states.shape[1] < FEW_COLUMNS:
        return (states.T @ weight.T).T.contiguous()
    return weight @ states


def _side_by_side(states: Tensor) -> Tensor:
    """(Bt, C, N) -> (C, Bt*N)."""
    return states.transpose(0, 1).flatten(1)


def _per_image(states: Tensor, images: int) -> Tensor:
    """(C, Bt*N) -> (Bt, C, N), contiguous."""
    return states.view(states.shape[0], images, -1).transpose(0, 1).contiguous()


def _score(scores: Tensor, log_sum: Tensor, heads: int) -> Tensor:
    """softmax over L from its log-sum: (Bt, heads, N or 1, L)."""
    Bt, _, L = scores.shape
    return (scores - log_sum).mul_(LOG2_E).exp2_().view(Bt, heads, -1, L)
