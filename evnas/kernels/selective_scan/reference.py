"""The selective scan as its definition reads: a loop over L in plain torch. Truth, not speed."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.operator_inputs import SequenceInputs
from evnas.kernels.precision import accumulation_dtype


def selective_scan_reference(given: SequenceInputs, *, delta_softplus: bool = False) -> Tensor:
    """h[t] = exp(dt A) h[t-1] + dt B x, y = <C, h> + D x, in at least float32.

    Shapes as in `evnas.kernels.selective_scan.selective_scan`; the result has accumulation dtype.
    """
    x, delta, A, B, C, D, delta_bias = given
    acc = accumulation_dtype(x, delta, A, B, C)
    repeats = x.shape[1] // B.shape[1]
    value, dt = x.to(acc), delta.to(acc)
    if delta_bias is not None:
        dt = dt + delta_bias.to(acc)[:, None]
    if delta_softplus:
        dt = F.softplus(dt)
    decay = torch.exp(dt[:, :, None] * A.to(acc)[:, :, None])  # (Bt, K*Dm, N, L)
    drive = (dt * value)[:, :, None] * B.to(acc).repeat_interleave(repeats, dim=1)
    read = C.to(acc).repeat_interleave(repeats, dim=1)  # (Bt, K*Dm, N, L)
    h, y = torch.zeros_like(decay[..., 0]), []
    for a_t, b_t, c_t in zip(decay.unbind(-1), drive.unbind(-1), read.unbind(-1), strict=True):
        h = a_t * h + b_t
        y.append((c_t * h).sum(-1))
    out = torch.stack(y, dim=-1)
    if D is not None:
        out = out + D.to(acc)[:, None] * value
    return out
