"""The recurrence of a selective scan as one node of an ONNX graph, as torch sees it.

The node is of a domain of ours; `evnas.kernels.onnx_form.nodes` writes ONNX's own Scan in its
place. So the number of steps need not be known, and nothing but products of decays in [0, 1] is
formed, one step after another as in the definition: nothing overflows however strong a decay is.
"""

from typing import Any

import torch
from torch import Tensor

from evnas.kernels.operator import operator

DOMAIN = "evnas"
NODE = "SelectiveRecurrence"


def recurrence(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """y[t] = <C[t], h[t]> with h[t] = exp(dt[t] A) h[t-1] + dt[t] x[t] B[t], from h = 0.

    Args:
        x: input, (L, Bt, K, Dm).
        dt: step size, after softplus, (L, Bt, K, Dm).
        A: continuous decay, (K, Dm, N), negative.
        B: input matrix, (L, Bt, K, N).
        C: output matrix, (L, Bt, K, N).

    Returns:
        y: (L, Bt, K, Dm).
    """
    rate = A.transpose(1, 2)  # (K, N, Dm): channels side by side, as in every other operand
    start = x.new_zeros((x.shape[1], *rate.shape))
    drive, step = (dt * x).unsqueeze(3), dt.unsqueeze(3)
    states = int(A.shape[2])  # a tracer's sizes are tensors
    y: Tensor = _Recurrence.apply(step, drive, rate, B.unsqueeze(4), C.unsqueeze(3), start, states)
    return y.squeeze(3)


@operator("onnx_recurrence")
def onnx_recurrence_op(
    dt: Tensor, drive: Tensor, rate: Tensor, B: Tensor, C: Tensor, start: Tensor
) -> Tensor:
    """What the node gives, (L, Bt, K, 1, Dm): a tracer sees no steps, and has true values."""
    h, y = start, []
    for dt_t, drive_t, B_t, C_t in zip(dt, drive, B, C, strict=True):
        h = torch.exp(dt_t * rate) * h + drive_t * B_t
        y.append(C_t @ h)
    return torch.stack(y)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        y: Tensor = onnx_recurrence_op(*inputs[:-1])
        return y

    @staticmethod
    def symbolic(g: Any, *inputs: Any) -> Any:
        *tensors, states = inputs
        return g.op(f"{DOMAIN}::{NODE}", *tensors, states_i=states).setType(tensors[0].type())
