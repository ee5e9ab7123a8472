"""HSM-SSD as its definition reads, in plain torch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.operator_inputs import HsmSsdInputs
from evnas.kernels.precision import accumulation_dtype


def hsm_ssd_compress_reference(
    u: Tensor, dt: Tensor, B: Tensor, A: Tensor | None = None, *, heads: int = 1
) -> Tensor:
    """h0 = u K^T per head with K = softmax_L(dt + A) * B, in at least float32."""
    (Bt, C, L), N = u.shape, B.shape[1]
    acc = accumulation_dtype(u, dt, B)
    scores = dt.to(acc) if A is None else dt.to(acc) + A.to(acc)[:, None]
    G = torch.softmax(scores, dim=-1).view(
        Bt, heads, dt.shape[1] // heads, L
    )  # (Bt, heads, N or 1, L)
    K = G * B.to(acc)[:, None]  # (Bt, heads, N, L)
    h0 = u.to(acc).view(Bt, heads, C // heads, L) @ K.transpose(-1, -2)
    return h0.reshape(Bt, C, N)


def hsm_ssd_expand_reference(h: Tensor, C: Tensor) -> Tensor:
    """y = h C: (Bt, C, N) by (Bt, N, L), in at least float32."""
    acc = accumulation_dtype(h, C)
    return (h.to(acc) @ C.to(acc)).to(h.dtype)


def hsm_ssd_middle_reference(h0: Tensor, Q: Tensor, O: Tensor, D: Tensor) -> Tensor:  # noqa: E741 - the paper's letter
    """h = O (h1 * SiLU(z) + D h1) with [h1; z] = Q h0, in at least float32."""
    acc = accumulation_dtype(h0, Q, O)
    h1, z = (Q.to(acc) @ h0.to(acc)).chunk(2, dim=1)  # each (Bt, Ci, N)
    return (O.to(acc) @ (h1 * F.silu(z) + D.to(acc) * h1)).to(h0.dtype)


def hsm_ssd_reference(given: HsmSsdInputs, *, heads: int = 1) -> tuple[Tensor, Tensor]:
    """Compress, mix the hidden states, expand; shapes as in `evnas.kernels.hsm_ssd.hsm_ssd`."""
    u, dt, B, C, A, Q, O, D = given  # noqa: E741 - the paper's letter
    h0 = hsm_ssd_compress_reference(u, dt, B, A, heads=heads)
    h = hsm_ssd_middle_reference(h0, Q, O, D)
    return hsm_ssd_expand_reference(h, C).to(u.dtype), h
