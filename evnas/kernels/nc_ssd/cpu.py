"""NC-SSD and its adjoint in plain torch."""

import torch
from torch import Tensor

from evnas.kernels.operator_inputs import NcSsdInputs
from evnas.kernels.precision import accumulation_dtype, widen
from evnas.kernels.product import product


def nc_ssd_cpu(given: NcSsdInputs) -> tuple[Tensor, Tensor]:
    """y and the state, in accumulation dtype."""
    v, delta, A_log, B, C, D = given
    acc = accumulation_dtype(v, delta, B, C)
    value = _per_head(widen(v, acc), delta.shape[1])
    gamma = _gamma(delta, A_log, acc)
    state = product((value * gamma).view(v.shape), widen(B, acc).transpose(1, 2))
    y = product(state, widen(C, acc))
    _per_head(y, delta.shape[1]).addcmul_(value, D.to(acc)[:, None, None])
    return y, state


def nc_ssd_cpu_backward(
    gy: Tensor, g_state: Tensor, given: NcSsdInputs, state: Tensor
) -> list[Tensor]:
    """Gradients of v, delta, A_log, B, C and D, in their dtypes."""
    v, delta, A_log, B, C, D = given
    acc, heads = state.dtype, delta.shape[1]
    value, g = _per_head(widen(v, acc), heads), widen(gy, acc)
    gamma = _gamma(delta, A_log, acc)  # (Bt, heads, 1, L)
    gS = product(g, widen(C, acc).transpose(1, 2)).add_(g_state)  # (Bt, Ci, N)
    gC = product(state.transpose(1, 2).contiguous(), g)
    gB = product(gS.transpose(1, 2).contiguous(), (value * gamma).view(v.shape))
    g_weighted = _per_head(product(gS, widen(B, acc)), heads)  # gradient of gamma * v
    g_gamma = (g_weighted * value).sum(2)
    gD = (_per_head(g, heads) * value).sum((0, 2, 3))
    gv = g_weighted.mul_(gamma).addcmul_(_per_head(g, heads), D.to(acc)[:, None, None])
    g_delta = g_gamma * torch.exp(A_log.to(acc))[:, None]
    g_A_log = (g_gamma * gamma.squeeze(2)).sum((0, 2))
    grads = (gv.view(v.shape), g_delta, g_A_log, gB, gC, gD)
    return [g.to(t.dtype) for g, t in zip(grads, given, strict=True)]


def _gamma(delta: Tensor, A_log: Tensor, acc: torch.dtype) -> Tensor:
    """The weight of each token, (Bt, heads, 1, L)."""
    return (widen(delta, acc) * torch.exp(A_log.to(acc))[:, None])[:, :, None]


def _per_head(tokens: Tensor, heads: int) -> Tensor:
    """(Bt, Ci, L) -> (Bt, heads, p, L)."""
    Bt, Ci, L = tokens.shape
    return tokens.reshape(Bt, heads, Ci // heads, L)
