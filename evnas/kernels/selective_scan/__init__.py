"""The selective scan of Mamba over sequences (Bt, K*Dm, L)."""

import torch
from torch import Tensor

from evnas.kernels.dispatch import Impl, choose
from evnas.kernels.onnx_form.exporting import as_one_node
from evnas.kernels.operator_inputs import SequenceInputs

from .onnx_form import selective_scan_onnx_form
from .op import selective_scan_op
from .reference import selective_scan_reference


def selective_scan(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    impl: Impl = "auto",
) -> Tensor:
    """Scan h[t] = exp(dt A) h[t-1] + dt B x, y = <C, h> + D x along L, from h = 0.

    dt is `delta`, plus `delta_bias` where given, through softplus if `delta_softplus`. The state
    is float32 (float64 where an input is float64) for any input dtype, and the inputs may differ
    in dtype, so autocast has nothing to cast here.

    Args:
        x: input, (Bt, K*Dm, L), any L >= 1.
        delta: step size, (Bt, K*Dm, L).
        A: continuous decay, (K*Dm, N), negative already: -exp(A_log); 1 <= N <= 64.
        B: input matrix per group, (Bt, K, N, L).
        C: output matrix per group, (Bt, K, N, L).
        D: skip, (K*Dm,), or None for none.
        delta_bias: (K*Dm,), or None for none.
        delta_softplus: whether the step goes through softplus.
        impl: "auto", or an implementation by name, which runs or raises.

    Returns:
        y: (Bt, K*Dm, L), float32 (float64 where an input is float64): a sum over states may be
        too large for half precision, and a norm comes next.

    Raises:
        ValueError: shapes that do not fit one another.
        KernelUnavailable: `impl` names a kernel that cannot run on these tensors.

    Source: Mamba, arXiv 2312.00752, Alg. 2 and eq. 2; zero-order hold for A, Euler for B.
    """
    given = (x, delta, A, B, C, D, delta_bias)
    _check(given)
    if as_one_node():
        return selective_scan_onnx_form(given, delta_softplus=delta_softplus)
    impl = choose("selective_scan", impl, given, states=A.shape[1])
    if impl == "reference":
        return selective_scan_reference(given, delta_softplus=delta_softplus)
    y: Tensor = selective_scan_op(*given, delta_softplus, impl)
    return y


def _check(given: SequenceInputs) -> None:
    x, delta, A, B, C, D, delta_bias = given
    if x.ndim != 3 or x.shape != delta.shape or x.shape[2] < 1:
        raise ValueError(
            f"x and delta must both be (Bt, K*Dm, L) with L >= 1, got {_shapes(x, delta)}"
        )
    Bt, KD, L = x.shape
    if A.ndim != 2 or A.shape[0] != KD or not 1 <= A.shape[1] <= 64:
        raise ValueError(f"A must be ({KD}, N) with 1 <= N <= 64, got {_shapes(A)}")
    if B.ndim != 4 or KD % B.shape[1] or B.shape != (Bt, B.shape[1], A.shape[1], L):
        raise ValueError(
            f"B must be ({Bt}, K, {A.shape[1]}, {L}) with K a divisor of {KD}, got {_shapes(B)}"
        )
    if C.shape != B.shape:
        raise ValueError(f"C must have the shape of B, {tuple(B.shape)}, got {_shapes(C)}")
    for name, vector in (("D", D), ("delta_bias", delta_bias)):
        if vector is not None and vector.shape != (KD,):
            raise ValueError(f"{name} must be ({KD},), got {_shapes(vector)}")


def _shapes(*tensors: torch.Tensor) -> str:
    return " and ".join(str(tuple(t.shape)) for t in tensors)
