"""LayerNorm over channels as one operator that autograd, compilers and counters see whole."""

from typing import Any

import torch
from torch import Tensor

from evnas.kernels.dispatch import resolve
from evnas.kernels.operator import differentiate, fake, operator
from evnas.kernels.precision import accumulation_dtype

from .cpu import channel_layer_norm_cpu, channel_layer_norm_cpu_backward


@operator("channel_layer_norm")
def channel_layer_norm_op(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, impl: str
) -> Tensor:
    """The normalised map, in the dtype and layout of x."""
    if resolve("channel_layer_norm", impl, x) == "triton":
        from .kernel import channel_layer_norm_triton  # triton is optional

        return channel_layer_norm_triton(x, weight, bias, eps)
    return channel_layer_norm_cpu(x, weight, bias, eps)


@fake(channel_layer_norm_op)
def _(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, impl: str) -> Tensor:
    return torch.empty_like(x)


@operator("channel_layer_norm_backward")
def channel_layer_norm_backward_op(
    gy: Tensor, x: Tensor, weight: Tensor | None, eps: float, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, and of weight and bias (C,) in accumulation dtype."""
    if resolve("channel_layer_norm", impl, x) == "triton":
        from .kernel import channel_layer_norm_triton_backward  # triton is optional

        return channel_layer_norm_triton_backward(gy, x, weight, eps)
    return channel_layer_norm_cpu_backward(gy, x, weight, eps)


@fake(channel_layer_norm_backward_op)
def _(
    gy: Tensor, x: Tensor, weight: Tensor | None, eps: float, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    sums = [x.new_empty(x.shape[1], dtype=accumulation_dtype(x)) for _ in range(2)]
    return torch.empty_like(x), sums[0], sums[1]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, ctx.eps, ctx.impl = inputs
    ctx.bias_dtype = None if bias is None else bias.dtype
    ctx.save_for_backward(x, weight)


def _grad(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    gx, g_weight, g_bias = channel_layer_norm_backward_op(gy, x, weight, ctx.eps, ctx.impl)
    return (
        gx,
        None if weight is None else g_weight.to(weight.dtype),
        None if ctx.bias_dtype is None else g_bias.to(ctx.bias_dtype),
        None,
        None,
    )


differentiate(channel_layer_norm_op, _grad, setup=_setup)
