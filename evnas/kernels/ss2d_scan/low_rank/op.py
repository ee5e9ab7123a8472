"""The scan with the product of its step sizes inside, as one operator for Triton alone:
`evnas::ss2d_scan_low_rank`."""

from typing import Any

import torch
from torch import Tensor

from evnas.kernels.dispatch import require
from evnas.kernels.operator import backward_schema, differentiate, fake, operator
from evnas.kernels.precision import widest, without_autocast


@operator("ss2d_scan_low_rank")
def ss2d_scan_low_rank_op(
    u: Tensor,
    low: Tensor,
    dt_weight: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    scan: str,
    step: int,
) -> Tensor:
    """The merged map (Bt, Dm, H, W), contiguous, in float32."""
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


@fake(ss2d_scan_low_rank_backward_op)
def _(gy: Tensor, *inputs: Any) -> list[Tensor]:
    return [t.new_empty(t.shape) for t in inputs if isinstance(t, Tensor)]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.scan, ctx.step = inputs
    ctx.save_for_backward(*tensors)


def _grad(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
    grads = ss2d_scan_low_rank_backward_op(gy, *ctx.saved_tensors, ctx.scan, ctx.step)
    return *grads, None, None


differentiate(ss2d_scan_low_rank_op, _grad, setup=_setup)
