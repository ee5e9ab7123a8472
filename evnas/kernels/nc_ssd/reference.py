"""NC-SSD as its definition reads, in plain torch."""

import torch
from torch import Tensor

from evnas.kernels.precision import accumulation_dtype


def nc_ssd_reference(
    v: Tensor, delta: Tensor, A_log: Tensor, B: Tensor, C: Tensor, D: Tensor, *, heads: int
) -> tuple[Tensor, Tensor]:
    """S = (gamma v) B^T per head, y = S C + D v, in at least float32."""
    Bt, Ci, L = v.shape
    acc = accumulation_dtype(v, delta, B, C)
    gamma = delta.to(acc) * torch.exp(A_log.to(acc))[:, None]  # (Bt, heads, L)
    value = v.to(acc).view(Bt, heads, Ci // heads, L)
    state = (value * gamma[:, :, None]).view(Bt, Ci, L) @ B.to(acc).transpose(1, 2)
    skip = (value * D.to(acc)[:, None, None]).view(Bt, Ci, L)
    return state @ C.to(acc) + skip, state
