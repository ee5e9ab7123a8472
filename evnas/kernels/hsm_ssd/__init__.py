"""HSM-SSD of EfficientViM: compress tokens into hidden states, mix these, expand back."""

import torch
from torch import Tensor

from evnas.errors import KernelUnavailable
from evnas.kernels.dispatch import Impl, choose
from evnas.kernels.operator_inputs import HsmSsdInputs

from .op import hsm_ssd_added_op, hsm_ssd_compress_op, hsm_ssd_expand_op, hsm_ssd_op
from .reference import (
    hsm_ssd_compress_reference,
    hsm_ssd_expand_reference,
    hsm_ssd_reference,
)


def hsm_ssd_compress(
    u: Tensor,
    dt: Tensor,
    B: Tensor,
    A: Tensor | None = None,
    *,
    heads: int = 1,
    impl: Impl = "auto",
) -> Tensor:
    """Contract tokens into hidden states: h0 = u K^T per head, K = softmax_L(dt + A) * B.

    A is constant along L, so the softmax cancels it: it never changes the result and its gradient
    is exactly zero. It is an argument because the published model holds it as a parameter.

    Args:
        u: tokens, (Bt, C, L); channel c belongs to head c // (C // heads).
        dt: scores, (Bt, S, L): S = heads * N with one score per state (index head * N + n), or
            S = heads with one score shared by the states of a head.
        B: input matrix, (Bt, N, L), shared by the heads.
        A: (S,), or None for none.
        heads: a divisor of C.
        impl: "auto", or an implementation by name, which runs or raises.

    Returns:
        h0: (Bt, C, N), float32 (float64 where an input is float64), as every state.

    Raises:
        ValueError: shapes that do not fit one another.
        KernelUnavailable: `impl` names a kernel that cannot run on these tensors.

    Source: EfficientViM, arXiv 2411.15241, Fig. 2 (right), Alg. 1; heads and the shared score are
    rows E and F of its supplement's Table C.
    """
    _check_compress(u, dt, B, A, heads)
    impl = choose("hsm_ssd_compress", impl, (u, dt, B), states=B.shape[1])
    if impl == "reference":
        return hsm_ssd_compress_reference(u, dt, B, A, heads=heads)
    h0: Tensor = hsm_ssd_compress_op(u, dt, B, A, heads, impl)[0]
    return h0


def hsm_ssd_expand(h: Tensor, C: Tensor, *, impl: Impl = "auto") -> Tensor:
    """Read hidden states out at every token: y = h C.

    Args:
        h: hidden states, (Bt, Ch, N).
        C: output matrix, (Bt, N, L).
        impl: "auto", or an implementation by name, which runs or raises.

    Returns:
        y: (Bt, Ch, L), dtype of h.

    Raises:
        ValueError: shapes that do not fit one another.
        KernelUnavailable: `impl` names a kernel that cannot run on these tensors.

    Source: EfficientViM, arXiv 2411.15241, Alg. 1.
    """
    if h.ndim != 3 or C.ndim != 3 or C.shape[:2] != (h.shape[0], h.shape[2]):
        raise ValueError(
            f"h must be (Bt, Ch, N) and C (Bt, N, L), got {tuple(h.shape)} and {tuple(C.shape)}"
        )
    impl = choose("hsm_ssd_expand", impl, (h, C), states=C.shape[1])
    if impl == "reference":
        return hsm_ssd_expand_reference(h, C)
    y: Tensor = hsm_ssd_expand_op(h, C, impl)
    return y


def hsm_ssd(
    u: Tensor,
    dt: Tensor,
    B: Tensor,
    C: Tensor,
    A: Tensor | None,
    Q: Tensor,
    O: Tensor,  # noqa: E741 - the paper's letter
    D: Tensor,
    *,
    heads: int = 1,
    impl: Impl = "auto",
) -> tuple[Tensor, Tensor]:
    """The whole HSM-SSD between its projections: compress, mix the hidden states, expand.

    h0 = compress(u, dt, B, A); [h1; z] = Q h0; h = O (h1 * SiLU(z) + D h1); y = h C.

    Args:
        u: tokens, (Bt, Ch, L).
        dt: scores, (Bt, S, L), S = heads * N or heads, as in `hsm_ssd_compress`.
        B: input matrix, (Bt, N, L).
        C: output matrix, (Bt, N, L).
        A: (S,), or None; without effect on the result, see `hsm_ssd_compress`.
        Q: (2*Ci, Ch), Ci the inner width.
        O: (Ch, Ci).
        D: (1,).
        heads: a divisor of Ch.
        impl: "auto", or an implementation by name, which runs or raises; "triton_fused" is
            "triton" with a forward of four launches, the products with Q and O on tensor cores.

    Returns:
        y: (Bt, Ch, L), dtype of u, and h: (Bt, Ch, N), the hidden states after O, float32 (float64
        where an input is float64).

    Raises:
        ValueError: shapes that do not fit one another.
        KernelUnavailable: `impl` names a kernel that cannot run on these tensors.

    Source: EfficientViM, arXiv 2411.15241, Fig. 2 (right) and Alg. 1.
    """
    given = (u, dt, B, C, A, Q, O, D)
    _check_all(given, heads)
    impl = choose("hsm_ssd", impl, (u, dt, B, C, Q, O, D), states=B.shape[1])
    if impl == "reference":
        return hsm_ssd_reference(given, heads=heads)
    y, h, *_ = hsm_ssd_op(*given, heads, impl)
    return y, h


def hsm_ssd_added_to(
    total: Tensor,
    share: Tensor,
    u: Tensor,
    dt: Tensor,
    B: Tensor,
    C: Tensor,
    Q: Tensor,
    O: Tensor,  # noqa: E741 - the paper's letter
    D: Tensor,
    *,
    heads: int = 1,
) -> tuple[Tensor, Tensor]:
    """total + share y, y and the hidden states as of `hsm_ssd` with impl "triton_fused"; for
    inference.

    The sum is made by the launch that reads y out, so y is neither written nor read.

    Args:
        total: (Bt, Ch, L), dtype of u.
        share: (Ch,).
        u, dt, B, C, Q, O, D, heads: as of `hsm_ssd`.

    Returns:
        The sum, (Bt, Ch, L), as `total` lies, and h: (Bt, Ch, N), float32.

    Raises:
        ValueError: shapes or dtypes that do not fit one another.
        KernelUnavailable: the kernels cannot run on these tensors, or a gradient is asked for.
    """
    _check_all((u, dt, B, C, None, Q, O, D), heads)
    if total.shape != u.shape or total.dtype != u.dtype or share.shape != u.shape[1:2]:
        raise ValueError(
            f"total must be {tuple(u.shape)} of {u.dtype} and share ({u.shape[1]},), "
            f"got {tuple(total.shape)} of {total.dtype} and {tuple(share.shape)}"
        )
    given = (u, dt, B, C, Q, O, D, total, share)
    if torch.is_grad_enabled() and any(t.requires_grad for t in given):
        raise KernelUnavailable(
            "a gradient was asked for, but hsm_ssd_added_to is for inference: take hsm_ssd and add"
        )
    choose("hsm_ssd", "triton_fused", given, states=B.shape[1])
    y, h = hsm_ssd_added_op(*given, heads)
    return y, h


def _check_all(given: HsmSsdInputs, heads: int) -> None:
    u, dt, B, C, A, Q, O, D = given  # noqa: E741 - the paper's letter
    _check_compress(u, dt, B, A, heads)
    if C.shape != B.shape:
        raise ValueError(f"C must have the shape of B, {tuple(B.shape)}, got {tuple(C.shape)}")
    Ch, Ci = u.shape[1], O.shape[-1]
    if Q.shape != (2 * Ci, Ch) or O.shape != (Ch, Ci) or D.shape != (1,):
        raise ValueError(
            f"Q must be (2*Ci, {Ch}), O ({Ch}, Ci) and D (1,), "
            f"got {tuple(Q.shape)}, {tuple(O.shape)} and {tuple(D.shape)}"
        )


def _check_compress(u: Tensor, dt: Tensor, B: Tensor, A: Tensor | None, heads: int) -> None:
    if u.ndim != 3 or heads < 1 or u.shape[1] % heads:
        raise ValueError(
            f"u must be (Bt, C, L) with C a multiple of heads = {heads}, got {tuple(u.shape)}"
        )
    Bt, _, L = u.shape
    if B.ndim != 3 or (B.shape[0], B.shape[2]) != (Bt, L):
        raise ValueError(f"B must be ({Bt}, N, {L}), got {tuple(B.shape)}")
    scores = (heads * B.shape[1], heads)
    if dt.ndim != 3 or dt.shape[1] not in scores or (dt.shape[0], dt.shape[2]) != (Bt, L):
        raise ValueError(
            f"dt must be ({Bt}, S, {L}) with S one of {scores}, got {tuple(dt.shape)}"
        )
    if A is not None and A.shape != (dt.shape[1],):
        raise ValueError(f"A must be ({dt.shape[1]},), got {tuple(A.shape)}")
