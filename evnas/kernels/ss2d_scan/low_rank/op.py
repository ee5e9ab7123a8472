"""The scan with the product of its step sizes inside, as one operator for Triton alone:
`evnas::ss2d_scan_low_rank`."""

from typing import Any

import torch
from torch import Tensor

from evnas.kernels.dispatch import require
from evnas.kernels.operator import backward_schema, differentiate_by, fake, operator
from evnas.kernels.precision import widest, without_autocast


@operator(
    "ss2d_scan_low_rank",
    schema="(Tensor u, Tensor low, Tensor dt_weight, Tensor A, Tensor B, Tensor C, Tensor D, "
    "Tensor delta_bias, str scan, SymInt step) -> Tensor",
)
def ss2d_scan_low_rank_op(*inputs: Any) -> Tensor:
    """The merged map (Bt, Dm, H, W), contiguous, in float32."""
    u, low, dt_weight, A, B, C, D, delta_bias, scan, step = inputs
    require("ss2d_scan_low_rank", "triton_fused", widest(u, low, A, B, C))
    from ..kernel import ss2d_scan_low_rank_triton  # triton is optional

    given = (u, low, A, B, C, D, delta_bias)
    return ss2d_scan_low_rank_triton(given, dt_weight, scan=scan, step=step)


@fake(ss2d_scan_low_rank_op)
def _(u: Tensor, *_: Any) -> Tensor:
    return u.new_empty(u.shape, dtype=torch.float32)


@operator("ss2d_scan_low_rank_backward", schema=backward_schema(ss2d_scan_low_rank_op))
@without_autocast
def ss2d_scan_low_rank_backward_op(gy: Tensor, *inputs: Any) -> list[Tensor]:
    """Gradients of u, low, dt_weight, A, B, C, D and delta_bias.

    That of delta is written once. Parts of the gradient of `low`, one for some channels each as
    of B and C, would be R times as many: more bytes than that map.
    """
    from ..backward.kernel import ss2d_scan_low_rank_triton_backward  # triton is optional

    u, low, dt_weight, A, B, C, D, delta_bias, scan, step = inputs
    gu, gdelta, *others = ss2d_scan_low_rank_triton_backward(
        gy, (u, low, A, B, C, D, delta_bias), dt_weight, scan=scan, step=step
    )
    rows = gdelta.flatten(3)  # (Bt, K, Dm, L)
    glow = torch.matmul(dt_weight.to(rows.dtype).mT, rows)
    parts = torch.matmul(rows, low.flatten(3).mT)  # (Bt, K, Dm, R): one an image, then one sum
    gweight = parts.sum(0, dtype=torch.float32).to(dt_weight.dtype)
    return [gu, glow.view(low.shape), gweight, *others]


differentiate_by(ss2d_scan_low_rank_op, ss2d_scan_low_rank_backward_op)
