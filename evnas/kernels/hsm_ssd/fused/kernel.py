"""The middle of HSM-SSD in Triton: two products of the hidden states, on tensor cores.

The first makes [h1; z] and, before it leaves its registers, the gated states; the second writes h
as the read-out takes it. Operands are TF32, as in `evnas.kernels.contraction.kernel`: that is as
many digits as float16 has, and no state overflows.
"""

import triton
import triton.language as tl
from torch import Tensor

from evnas.kernels.contraction.kernel import block, expand, precision
from evnas.kernels.operator_inputs import HsmSsdInputs

from ..kernel import compress_triton

ROWS, COLUMNS, DEPTH = 64, 64, 32  # of a tile of the result, and of what is summed at a time
WARPS = 4


@triton.jit
def _gate(
    states_ptr, Q_ptr, D_ptr, hz_ptr, mixed_ptr, M, C, Ci,
    BM: tl.constexpr, BI: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """[h1; z] = Q h0 and h1 (SiLU(z) + D) at BM states and BI of the Ci inner channels."""
    m = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)  # int64: offsets overflow int32
    i = tl.program_id(1) * BI + tl.arange(0, BI)
    in_m, in_i = m < M, i < Ci
    h1, z = tl.zeros((BM, BI), tl.float32), tl.zeros((BM, BI), tl.float32)
    for start in range(0, C, BK):
        c = start + tl.arange(0, BK)
        in_c = c < C
        states_at = states_ptr + m[:, None] * C + c[None, :]
        states = tl.load(states_at, in_m[:, None] & in_c[None, :], 0.0)
        Q_at = Q_ptr + i[None, :] * C + c[:, None]
        inside = in_i[None, :] & in_c[:, None]
        of_h1 = tl.load(Q_at, inside, 0.0).to(tl.float32)
        of_z = tl.load(Q_at + Ci * C, inside, 0.0).to(tl.float32)
        h1 += tl.dot(states, of_h1, input_precision=PRECISION)
        z += tl.dot(states, of_z, input_precision=PRECISION)
    kept = in_m[:, None] & in_i[None, :]
    hz_at = hz_ptr + m[:, None] * (2 * Ci) + i[None, :]
    tl.store(hz_at, h1, kept)
    tl.store(hz_at + Ci, z, kept)
    mixed = h1 * (z / (1.0 + tl.exp(-z)) + tl.load(D_ptr).to(tl.float32))
    tl.store(mixed_ptr + m[:, None] * Ci + i[None, :], mixed, kept)


@triton.jit
def _mix(
    mixed_ptr, O_ptr, h_ptr, M, N, C, Ci,
    BM: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """h = O mixed at BM states and BC channels, a row a channel: (Bt, C, N)."""
    m = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    in_m, in_c = m < M, c < C
    h = tl.zeros((BM, BC), tl.float32)
    for start in range(0, Ci, BK):
        i = start + tl.arange(0, BK)
        in_i = i < Ci
        mixed_at = mixed_ptr + m[:, None] * Ci + i[None, :]
        mixed = tl.load(mixed_at, in_m[:, None] & in_i[None, :], 0.0)
        O_at = O_ptr + c[None, :] * Ci + i[:, None]
        weight = tl.load(O_at, in_c[None, :] & in_i[:, None], 0.0).to(tl.float32)
        h += tl.dot(mixed, weight, input_precision=PRECISION)
    h_at = h_ptr + (m // N * C * N + m % N)[:, None] + c[None, :] * N
    tl.store(h_at, h, in_m[:, None] & in_c[None, :])


def middle_triton(
    states: Tensor,
    Q: Tensor,
    O: Tensor,  # noqa: E741 - the paper's letter
    D: Tensor,
    *,
    exact: str,
) -> tuple[Tensor, Tensor]:
    """h (Bt, C, N) and [h1; z] (Bt*N, 2*Ci), in float32, of `states` (Bt, N, C) in float32;
    `exact`: how products are taken, see `tl.dot`."""
    (Bt, N, C), Ci = states.shape, O.shape[1]
    M = Bt * N
    hz, mixed = states.new_empty((M, 2 * Ci)), states.new_empty((M, Ci))
    h = states.new_empty((Bt, C, N))
    BM = block(M, ROWS)
    BI, BC = block(Ci, COLUMNS), block(C, COLUMNS)
    _gate[(triton.cdiv(M, BM), triton.cdiv(Ci, BI))](
        states, Q.contiguous(), D, hz, mixed, M, C, Ci,
        BM=BM, BI=BI, BK=block(C, DEPTH), PRECISION=exact, num_warps=WARPS,
    )  # fmt: skip
    _mix[(triton.cdiv(M, BM), triton.cdiv(C, BC))](
        mixed, O.contiguous(), h, M, N, C, Ci,
        BM=BM, BC=BC, BK=block(Ci, DEPTH), PRECISION=exact, num_warps=WARPS,
    )  # fmt: skip
    return h, hz


def hsm_ssd_fused(
    given: HsmSsdInputs, *, heads: int, as_u_lies: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """All of `evnas::hsm_ssd` in four launches, and no copy: y, in the strides of u or contiguous,
    h, states, [h1; z], log-sums."""
    u, C = given[0], given[3]
    h, states, hz, log_sum = _mixed(given, heads=heads)
    y = expand(h, C, dtype=u.dtype, like=u if as_u_lies else None)
    return y, h, states, hz, log_sum


def hsm_ssd_added(
    given: HsmSsdInputs, total: Tensor, share: Tensor, *, heads: int
) -> tuple[Tensor, Tensor]:
    """total + share y, as `total` lies and rounded once, and h, in the same four launches."""
    h, *_ = _mixed(given, heads=heads)
    return expand(h, given[3], x=total, share=share, dtype=total.dtype, like=total), h


def _mixed(given: HsmSsdInputs, *, heads: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """h, states, [h1; z] and log-sums, up to the read-out."""
    u, dt, B, _, _, Q, O, D = given  # noqa: E741 - the paper's letter
    h0, log_sum = compress_triton(u, dt, B, heads=heads, by_state=True)
    states = h0.mT
    h, hz = middle_triton(states, Q, O, D, exact=precision(u))
    return h, states, hz, log_sum
