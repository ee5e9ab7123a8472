"""SS2D whose step sizes come as the two factors that a mixer has them in."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.autotune_table import CallShape
from evnas.kernels.dispatch import Impl, choose, implementation_in_use
from evnas.kernels.onnx_form.exporting import as_one_node, exporting
from evnas.kernels.operator_inputs import LowRankMapInputs
from evnas.kernels.precision import widest

from .. import check_shapes, ss2d_scan
from ..onnx_form import ss2d_scan_onnx_form
from ..routes import Scan
from .op import ss2d_scan_low_rank_op

OPERATOR = "ss2d_scan_low_rank"


def ss2d_scan_low_rank(
    u: Tensor,
    low: Tensor,
    dt_weight: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    *,
    scan: Scan,
    step: int = 1,
    impl: Impl = "auto",
) -> Tensor:
    """`evnas.kernels.ss2d_scan` of delta[k, d] = the sum over r of dt_weight[k, d, r] low[k, r].

    "triton_fused" takes that product within the scan, so that no map of Dm channels a route is
    written for delta, neither read nor kept for the backward; it is not rounded either. Its
    backward takes the product again, and writes the gradient of delta once. Every other
    implementation, on a CPU, in an ONNX graph and for compilers, is the product and `ss2d_scan`
    after it; so is "auto", unless "triton_fused" was measured to be faster on such a map.

    Args:
        u: one map, (Bt, Dm, H, W).
        low: (Bt, K, R, H, W).
        dt_weight: (K, Dm, R).
        A, B, C, D, delta_bias, scan, step: as of `ss2d_scan`.
        impl: "auto", or an implementation by name, which runs or raises.

    Returns:
        y: (Bt, Dm, H, W), float32 (float64 where an input is float64).

    Raises:
        ValueError: unknown scan, or shapes that do not fit one another.
        KernelUnavailable: `impl` names a kernel that cannot run on these tensors.

    Source: Mamba, arXiv 2312.00752, Sec. 3.6 (dt as a product of low rank); VMamba, arXiv
    2401.10166, Sec. 4.2.
    """
    given = (u, low, dt_weight, A, B, C, D, delta_bias)
    if low.ndim != 5 or dt_weight.ndim != 3 or low.shape[1:3] != dt_weight.shape[::2]:
        raise ValueError(
            "low must be (Bt, K, R, H, W) and dt_weight (K, Dm, R), "
            f"got {tuple(low.shape)} and {tuple(dt_weight.shape)}"
        )
    delta = (*low.shape[:2], dt_weight.shape[1], *low.shape[3:])
    if as_one_node():
        check_shapes([u.shape, delta, *(t.shape for t in given[3:])], scan, step)
        maps = (u, low, A, B, C, D, delta_bias)
        return ss2d_scan_onnx_form(maps, scan=scan, step=step, dt_weight=dt_weight)
    if _fused(given, impl):
        check_shapes([u.shape, delta, *(t.shape for t in given[3:])], scan, step)
        choose(OPERATOR, "triton_fused", given, states=A.shape[2])
        y: Tensor = ss2d_scan_low_rank_op(*given, scan, step)
        return y
    return ss2d_scan(
        u, step_sizes(low, dt_weight), A, B, C, D, delta_bias, scan=scan, step=step, impl=impl
    )


def step_sizes(low: Tensor, dt_weight: Tensor) -> Tensor:
    """delta before bias and softplus, (Bt, K, Dm, H, W)."""
    K, Dm, _ = dt_weight.shape
    up = dt_weight.flatten(0, 1)[..., None, None]  # (K*Dm, R, 1, 1)
    delta = F.conv2d(low.flatten(1, 2), up, groups=K)
    return delta.view(-1, K, Dm, low.shape[3], low.shape[4])


def _fused(given: LowRankMapInputs, impl: str) -> bool:
    """Whether the product is taken within the scan: by name, or as measured fastest."""
    u, A = given[0], given[3]
    if impl != "auto" or not u.is_cuda:
        return impl == "triton_fused"
    if torch.compiler.is_compiling() or exporting():
        return False
    if torch._C._are_functorch_transforms_active():
        return False
    training = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    work = CallShape(u.numel(), A.shape[-1], training)
    dtype = widest(*given).dtype
    return implementation_in_use(OPERATOR, u.device, dtype, work=work) == "triton_fused"
