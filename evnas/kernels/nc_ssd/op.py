"""NC-SSD as one operator that autograd, compilers and counters see whole: `evnas::nc_ssd`."""

from typing import Any

from torch import Tensor

from evnas.kernels.dispatch import resolve
from evnas.kernels.operator import differentiate, fake, operator
from evnas.kernels.precision import accumulation_dtype, without_autocast

from .cpu import nc_ssd_cpu, nc_ssd_cpu_backward


@operator("nc_ssd")
@without_autocast
def nc_ssd_op(
    v: Tensor, delta: Tensor, A_log: Tensor, B: Tensor, C: Tensor, D: Tensor, impl: str
) -> tuple[Tensor, Tensor]:
    """y and the state, in accumulation dtype."""
    if resolve("nc_ssd", impl, v) == "triton":
        from .kernel import nc_ssd_triton  # triton is optional

        return nc_ssd_triton((v, delta, A_log, B, C, D))
    return nc_ssd_cpu((v, delta, A_log, B, C, D))


@fake(nc_ssd_op)
def _(
    v: Tensor, delta: Tensor, A_log: Tensor, B: Tensor, C: Tensor, *_: Any
) -> tuple[Tensor, Tensor]:
    shape = (v.shape[0], v.shape[1], B.shape[1])
    acc = accumulation_dtype(v, delta, B, C)
    return v.new_empty(v.shape, dtype=acc), v.new_empty(shape, dtype=acc)


@operator(
    "nc_ssd_backward",
    schema="(Tensor gy, Tensor g_state, Tensor v, Tensor delta, Tensor A_log, Tensor B, Tensor C, "
    "Tensor D, Tensor state, str impl) -> Tensor[]",
)
@without_autocast
def nc_ssd_backward_op(gy: Tensor, g_state: Tensor, *inputs: Any) -> list[Tensor]:
    """Gradients of v, delta, A_log, B, C and D."""
    *tensors, state, impl = inputs
    given = tuple(tensors)
    if resolve("nc_ssd", impl, given[0]) == "triton":
        from .kernel import nc_ssd_triton_backward  # triton is optional

        return nc_ssd_triton_backward(gy, g_state, given, state)
    return nc_ssd_cpu_backward(gy, g_state, given, state)


@fake(nc_ssd_backward_op)
def _(gy: Tensor, g_state: Tensor, *inputs: Any) -> list[Tensor]:
    return [t.new_empty(t.shape) for t in inputs[:6]]  # state and impl are behind them


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.impl = inputs
    ctx.save_for_backward(*tensors, output[1])


def _grad(ctx: Any, gy: Tensor, g_state: Tensor) -> tuple[Tensor | None, ...]:
    return *nc_ssd_backward_op(gy, g_state, *ctx.saved_tensors, ctx.impl), None


differentiate(nc_ssd_op, _grad, setup=_setup)
