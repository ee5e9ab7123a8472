"""SS2D as one operator that autograd, compilers and counters see whole: `evnas::ss2d_scan`."""

from typing import Any

from torch import Tensor

from evnas.kernels.dispatch import resolve
from evnas.kernels.operator import backward_schema, differentiate_by, fake, operator
from evnas.kernels.precision import accumulation_dtype, widest

from .cpu import ss2d_scan_cpu, ss2d_scan_cpu_backward


@operator(
    "ss2d_scan",
    schema="(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, Tensor delta_bias, "
    "str scan, SymInt step, str impl) -> Tensor",
)
def ss2d_scan_op(*inputs: Any) -> Tensor:
    """The merged map (Bt, Dm, H, W), contiguous, in accumulation dtype."""
    *tensors, scan, step, impl = inputs
    match resolve("ss2d_scan", impl, widest(*tensors[:5])):
        case "triton" | "triton_patches":
            from .kernel import ss2d_scan_triton as run  # triton is optional
        case "numba":
            from .compiled import ss2d_scan_compiled as run  # and so is numba
        case _:
            run = ss2d_scan_cpu
    return run(tuple(tensors), scan=scan, step=step)


@fake(ss2d_scan_op)
def _(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *_: Any) -> Tensor:
    return u.new_empty(u.shape, dtype=accumulation_dtype(u, delta, A, B, C))


@operator("ss2d_scan_backward", schema=backward_schema(ss2d_scan_op))
def ss2d_scan_backward_op(gy: Tensor, *inputs: Any) -> list[Tensor]:
    """Gradients of u, delta, A, B, C, D and delta_bias."""
    *tensors, scan, step, impl = inputs
    match resolve("ss2d_scan", impl, widest(*tensors[:5])):
        case "triton":
            from .backward.kernel import ss2d_scan_triton_backward as run
        case "triton_patches":
            from .patches.backward.kernel import ss2d_scan_patches_backward as run
        case "numba":
            from .compiled import ss2d_scan_compiled_backward as run
        case _:
            run = ss2d_scan_cpu_backward
    return run(gy, tuple(tensors), scan=scan, step=step)


differentiate_by(ss2d_scan_op, ss2d_scan_backward_op)
