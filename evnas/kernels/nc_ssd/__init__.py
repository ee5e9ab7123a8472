"""NC-SSD of VSSD: one global state per head, summed over all tokens, and its read-out."""

from torch import Tensor

from evnas.kernels.dispatch import Impl, choose

from .op import nc_ssd_op
from .reference import nc_ssd_reference


def nc_ssd(
    v: Tensor,
    delta: Tensor,
    A_log: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    *,
    heads: int,
    impl: Impl = "auto",
) -> tuple[Tensor, Tensor]:
    """Sum the tokens into a state per head and read it out at every token.

    gamma = delta exp(A_log); S = (gamma v) B^T per head; y = S C + D v. The token weights are
    positive: the sign of A is dropped, as in the released configurations. No per-token outer
    product is formed. Sums are float32 (float64 where an input is float64) for any input dtype,
    and the inputs may differ in dtype, so autocast has nothing to cast here.

    Args:
        v: values, (Bt, Ci, L), channel = head * p + offset with p = Ci / heads.
        delta: step size per head, after softplus, (Bt, heads, L).
        A_log: (heads,).
        B: input matrix shared by the heads, (Bt, N, L).
        C: output matrix shared by the heads, (Bt, N, L).
        D: skip, (heads,).
        heads: a divisor of Ci.
        impl: "auto", or an implementation by name, which runs or raises.

    Returns:
        y: (Bt, Ci, L), and the state (Bt, Ci, N); both float32 (float64 where an input is
        float64): they are sums over all tokens, and a norm comes next.

    Raises:
        ValueError: shapes that do not fit one another.
        KernelUnavailable: `impl` names a kernel that cannot run on these tensors.

    Source: VSSD, arXiv 2407.18559, as released; drawn in EfficientViM, arXiv 2411.15241, Fig. 2.
    """
    _check(v, delta, A_log, B, C, D, heads)
    impl = choose("nc_ssd", impl, (v, delta, A_log, B, C, D), states=B.shape[1])
    if impl == "reference":
        return nc_ssd_reference(v, delta, A_log, B, C, D, heads=heads)
    y, state = nc_ssd_op(v, delta, A_log, B, C, D, impl)
    return y, state


def _check(
    v: Tensor, delta: Tensor, A_log: Tensor, B: Tensor, C: Tensor, D: Tensor, heads: int
) -> None:
    if v.ndim != 3 or heads < 1 or v.shape[1] % heads:
        raise ValueError(
            f"v must be (Bt, Ci, L) with Ci a multiple of heads = {heads}, got {tuple(v.shape)}"
        )
    Bt, _, L = v.shape
    N = B.shape[1] if B.ndim == 3 else 0
    expected = (
        ("delta", delta, (Bt, heads, L)),
        ("A_log", A_log, (heads,)),
        ("B", B, (Bt, N, L)),
        ("C", C, (Bt, N, L)),
        ("D", D, (heads,)),
    )
    for name, tensor, shape in expected:
        if tensor.shape != shape:
            raise ValueError(
                f"{name} must be {shape} for v {tuple(v.shape)}, got {tuple(tensor.shape)}"
            )
