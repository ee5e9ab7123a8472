"""HSM-SSD as operators that autograd, compilers and counters see whole: `evnas::hsm_ssd*`.

A is an argument only so that a graph shows it: it has no effect and its gradient is zero.
"""

from typing import Any

import torch
from torch import Tensor

from evnas.kernels.dispatch import require, resolve
from evnas.kernels.operator import differentiate, fake, operator
from evnas.kernels.precision import accumulation_dtype, without_autocast

from .cpu import (
    compress_cpu,
    compress_cpu_backward,
    expand_cpu,
    expand_cpu_backward,
    middle,
    middle_backward,
)

_Compressed = tuple[Tensor, Tensor, Tensor]
"""u, dt and B."""


def _compress(
    u: Tensor, dt: Tensor, B: Tensor, heads: int, impl: str, *, by_state: bool = False
) -> tuple[Tensor, Tensor]:
    """h0 (Bt, C, N), in Triton where asked for `by_state` as a view of (Bt, N, C)."""
    if resolve("hsm_ssd_compress", impl, u) == "triton":
        from .kernel import compress_triton  # triton is optional

        return compress_triton(u, dt, B, heads=heads, by_state=by_state)
    return compress_cpu(u, dt, B, heads=heads)


def _compress_backward(
    gh0: Tensor, h0: Tensor, given: _Compressed, log_sum: Tensor, heads: int, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    u, dt, B = given
    if resolve("hsm_ssd_compress", impl, u) == "triton":
        from .kernel import compress_triton_backward  # triton is optional

        return compress_triton_backward(gh0, h0, u, dt, B, log_sum, heads=heads)
    return compress_cpu_backward(gh0, u, dt, B, heads=heads)


def _expand(h: Tensor, C: Tensor, dtype: torch.dtype, impl: str) -> Tensor:
    if resolve("hsm_ssd_expand", impl, C) == "triton":
        from .kernel import expand_triton  # triton is optional

        return expand_triton(h, C, dtype=dtype)
    return expand_cpu(h, C).to(dtype)


def _expand_backward(gy: Tensor, h: Tensor, C: Tensor, impl: str) -> tuple[Tensor, Tensor]:
    if resolve("hsm_ssd_expand", impl, C) == "triton":
        from .kernel import expand_triton_backward  # triton is optional

        return expand_triton_backward(gy, h, C)
    return expand_cpu_backward(gy, h, C)


@operator("hsm_ssd_compress")
@without_autocast
def hsm_ssd_compress_op(
    u: Tensor, dt: Tensor, B: Tensor, A: Tensor | None, heads: int, impl: str
) -> tuple[Tensor, Tensor]:
    """h0 (Bt, C, N) in accumulation dtype, and the log-sums that the backward starts from."""
    h0, log_sum = _compress(u, dt, B, heads, impl)
    return h0.contiguous(), log_sum


@fake(hsm_ssd_compress_op)
def _(u: Tensor, dt: Tensor, B: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return _hidden_like(u, dt, B), _log_sum_like(u, dt, B)


@operator("hsm_ssd_compress_backward")
@without_autocast
def hsm_ssd_compress_backward_op(
    gh0: Tensor,
    h0: Tensor,
    u: Tensor,
    dt: Tensor,
    B: Tensor,
    log_sum: Tensor,
    heads: int,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of u, dt and B."""
    return _compress_backward(gh0, h0, (u, dt, B), log_sum, heads, impl)


@fake(hsm_ssd_compress_backward_op)
def _(
    gh0: Tensor, h0: Tensor, u: Tensor, dt: Tensor, B: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    return u.new_empty(u.shape), dt.new_empty(dt.shape), B.new_empty(B.shape)


def _compress_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    u, dt, B, A, ctx.heads, ctx.impl = inputs
    ctx.save_for_backward(u, dt, B, A, *output)
    ctx.mark_non_differentiable(output[1])


def _compress_grad(ctx: Any, gh0: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    u, dt, B, A, h0, log_sum = ctx.saved_tensors
    gu, gdt, gB = hsm_ssd_compress_backward_op(gh0, h0, u, dt, B, log_sum, ctx.heads, ctx.impl)
    return gu, gdt, gB, None if A is None else torch.zeros_like(A), None, None


differentiate(hsm_ssd_compress_op, _compress_grad, setup=_compress_setup)


@operator("hsm_ssd_expand")
@without_autocast
def hsm_ssd_expand_op(h: Tensor, C: Tensor, impl: str) -> Tensor:
    """y = h C, in the dtype of h."""
    return _expand(h, C, h.dtype, impl)


@fake(hsm_ssd_expand_op)
def _(h: Tensor, C: Tensor, impl: str) -> Tensor:
    return h.new_empty((h.shape[0], h.shape[1], C.shape[2]))


@operator("hsm_ssd_expand_backward")
@without_autocast
def hsm_ssd_expand_backward_op(
    gy: Tensor, h: Tensor, C: Tensor, impl: str
) -> tuple[Tensor, Tensor]:
    """Gradients of h and C."""
    gh, gC = _expand_backward(gy, h, C, impl)
    return gh.to(h.dtype), gC.to(C.dtype)


@fake(hsm_ssd_expand_backward_op)
def _(gy: Tensor, h: Tensor, C: Tensor, impl: str) -> tuple[Tensor, Tensor]:
    return h.new_empty(h.shape), C.new_empty(C.shape)


def _expand_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    h, C, ctx.impl = inputs
    ctx.save_for_backward(h, C)


def _expand_grad(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
    return *hsm_ssd_expand_backward_op(gy, *ctx.saved_tensors, ctx.impl), None


differentiate(hsm_ssd_expand_op, _expand_grad, setup=_expand_setup)


@operator(
    "hsm_ssd",
    schema="(Tensor u, Tensor dt, Tensor B, Tensor C, Tensor? A, Tensor Q, Tensor O, Tensor D, "
    "SymInt heads, str impl) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
@without_autocast
def hsm_ssd_op(*inputs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """y in the dtype of u, contiguous but for "triton_fused", which follows u; h in accumulation
    dtype; for the backward h0 and [h1; z], a row a state, and log-sums."""
    *given, heads, impl = inputs
    u, dt, B, C, _, Q, O, D = given  # noqa: E741 - the paper's letter
    if resolve("hsm_ssd", impl, u) == "triton_fused":
        from .fused.kernel import hsm_ssd_fused  # triton is optional

        return hsm_ssd_fused(tuple(given), heads=heads, as_u_lies=impl != "auto")
    h0, log_sum = _compress(u, dt, B, heads, impl, by_state=True)
    states = h0.mT.contiguous()  # (Bt, N, Ch)
    h, hz = middle(states, Q, O, D)
    y = _expand(h, C, u.dtype, impl)
    return y, h, states, hz, log_sum


@fake(hsm_ssd_op)
def _(
    u: Tensor, dt: Tensor, B: Tensor, C: Tensor, A: Tensor | None, Q: Tensor, *others: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    shape = (u.shape[0], B.shape[1], u.shape[1])
    states = u.new_empty(shape, dtype=accumulation_dtype(u, dt, B))
    hz = states.new_empty((shape[0] * shape[1], Q.shape[0]))
    y = torch.empty_like(u) if others[-1] == "triton_fused" else u.new_empty(u.shape)
    return y, _hidden_like(u, dt, B), states, hz, _log_sum_like(u, dt, B)


@operator(
    "hsm_ssd_added",
    schema="(Tensor u, Tensor dt, Tensor B, Tensor C, Tensor Q, Tensor O, Tensor D, Tensor total, "
    "Tensor share, SymInt heads) -> (Tensor, Tensor)",
)
@without_autocast
def hsm_ssd_added_op(*inputs: Any) -> tuple[Tensor, Tensor]:
    """total + share y, and h in float32; by Triton alone, without a backward."""
    u, dt, B, C, Q, O, D, total, share, heads = inputs  # noqa: E741 - the paper's letter
    require("hsm_ssd", "triton_fused", u)
    from .fused.kernel import hsm_ssd_added  # triton is optional

    return hsm_ssd_added((u, dt, B, C, None, Q, O, D), total, share, heads=heads)


@fake(hsm_ssd_added_op)
def _(u: Tensor, dt: Tensor, B: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(others[4]), _hidden_like(u, dt, B)


@operator(
    "hsm_ssd_backward",
    schema="(Tensor gy, Tensor gh, Tensor u, Tensor dt, Tensor B, Tensor C, Tensor Q, Tensor O, "
    "Tensor D, Tensor h, Tensor states, Tensor hz, Tensor log_sum, SymInt heads, str impl) -> "
    "Tensor[]",
)
@without_autocast
def hsm_ssd_backward_op(gy: Tensor, gh: Tensor, *inputs: Any) -> list[Tensor]:
    """Gradients of u, dt, B, C, Q, O and D."""
    u, dt, B, C, Q, O, D, h, states, hz, log_sum, heads, impl = inputs  # noqa: E741 - the paper's letter
    impl = "triton" if impl == "triton_fused" else impl
    g_expand, gC = _expand_backward(gy, h, C, impl)
    gh = g_expand.to(states.dtype) + gh.to(states.dtype)
    gh0, gQ, gO, gD = middle_backward(gh, states, hz, Q, O, D)
    gu, gdt, gB = _compress_backward(gh0, states.mT, (u, dt, B), log_sum, heads, impl)
    return [gu, gdt, gB, gC.to(C.dtype), gQ.to(Q.dtype), gO.to(O.dtype), gD.to(D.dtype)]


@fake(hsm_ssd_backward_op)
def _(gy: Tensor, gh: Tensor, *inputs: Any) -> list[Tensor]:
    return [t.new_empty(t.shape) for t in inputs[:7]]  # u to D


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    u, dt, B, C, A, Q, O, D, ctx.heads, ctx.impl = inputs  # noqa: E741 - the paper's letter
    ctx.save_for_backward(u, dt, B, C, A, Q, O, D, *output[1:])
    ctx.mark_non_differentiable(*output[2:])


def _grad(ctx: Any, gy: Tensor, gh: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    u, dt, B, C, A, Q, O, D, h, states, hz, log_sum = ctx.saved_tensors  # noqa: E741 - the paper's letter
    gu, gdt, gB, gC, gQ, gO, gD = hsm_ssd_backward_op(
        gy, gh, u, dt, B, C, Q, O, D, h, states, hz, log_sum, ctx.heads, ctx.impl
    )
    gA = None if A is None else torch.zeros_like(A)
    return gu, gdt, gB, gC, gA, gQ, gO, gD, None, None


differentiate(hsm_ssd_op, _grad, setup=_setup)


def _hidden_like(u: Tensor, dt: Tensor, B: Tensor) -> Tensor:
    shape = (u.shape[0], u.shape[1], B.shape[1])
    return u.new_empty(shape, dtype=accumulation_dtype(u, dt, B))


def _log_sum_like(u: Tensor, dt: Tensor, B: Tensor) -> Tensor:
    return dt.new_empty((*dt.shape[:2], 1), dtype=accumulation_dtype(u, dt, B))
