"""The selective scan as one operator that autograd, compilers and counters see whole."""

from typing import Any

from torch import Tensor

from evnas.kernels.dispatch import resolve
from evnas.kernels.operator import backward_schema, differentiate_by, fake, operator
from evnas.kernels.precision import accumulation_dtype, widest

from .cpu import selective_scan_cpu, selective_scan_cpu_backward


@operator("selective_scan")
def selective_scan_op(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    impl: str,
) -> Tensor:
    """y (Bt, K*Dm, L), contiguous, in accumulation dtype."""
    match resolve("selective_scan", impl, widest(x, delta, A, B, C)):
        case "triton":
            from .kernel import selective_scan_triton as run  # triton is optional
        case "numba":
            from .compiled import selective_scan_compiled as run  # and so is numba
        case _:
            run = selective_scan_cpu
    return run((x, delta, A, B, C, D, delta_bias), delta_softplus=delta_softplus)


@fake(selective_scan_op)
def _(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape, dtype=accumulation_dtype(x, delta, A, B, C))


@operator("selective_scan_backward", schema=backward_schema(selective_scan_op))
def selective_scan_backward_op(gy: Tensor, *inputs: Any) -> list[Tensor]:
    """Gradients of x, delta, A, B, C, then of D and delta_bias where they are given."""
    *tensors, delta_softplus, impl = inputs
    match resolve("selective_scan", impl, widest(*tensors[:5])):
        case "triton":
            from .kernel import selective_scan_triton_backward as run
        case "numba":
            from .compiled import selective_scan_compiled_backward as run
        case _:
            run = selective_scan_cpu_backward
    return run(gy, tuple(tensors), delta_softplus=delta_softplus)


differentiate_by(selective_scan_op, selective_scan_backward_op)
