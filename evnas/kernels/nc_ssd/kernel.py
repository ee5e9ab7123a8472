"""NC-SSD in Triton: weighted contraction into the state, read-out with the skip, and the adjoint.

The token weights gamma are applied to tiles in registers, so neither gamma v nor any per-token
outer product is written.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from evnas.kernels.contraction.kernel import (
    WARPS,
    block,
    contract,
    expand,
    precision,
    strided,
    whole,
)
from evnas.kernels.operator_inputs import NcSsdInputs


@triton.jit
def _tokens_bwd(
    gy_ptr, gS_ptr, S_ptr, v_ptr, delta_ptr, A_log_ptr, B_ptr, D_ptr,
    gv_ptr, gdelta_ptr, gA_log_ptr, gB_ptr, gC_ptr, gD_ptr, Ci, N, L, p, heads,
    gy_image, gy_channel, gy_token, v_image, v_channel, v_token, B_image, B_state, B_token,
    BC: tl.constexpr, BN: tl.constexpr, BL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """All gradients at BL tokens of one image; those of A_log and D as one partial a program."""
    image = tl.program_id(0).to(tl.int64)
    part = image * tl.num_programs(1) + tl.program_id(1)
    t, n = tl.program_id(1) * BL + tl.arange(0, BL), tl.arange(0, BN)
    in_t, in_n = t < L, n < N
    both = in_n[:, None] & in_t[None, :]
    m_at = image * N * L + n[:, None] * L + t[None, :]
    B_at = B_ptr + image * B_image + n[:, None] * B_state + t[None, :] * B_token
    B = tl.load(B_at, both, 0.0).to(tl.float32)  # (BN, BL)
    gB = tl.zeros((BN, BL), tl.float32)
    gC = tl.zeros((BN, BL), tl.float32)
    for head in range(heads):
        rate = tl.exp(tl.load(A_log_ptr + head).to(tl.float32))
        D = tl.load(D_ptr + head).to(tl.float32)
        row = (image * heads + head) * L + t
        gamma = tl.load(delta_ptr + row, in_t, 0.0).to(tl.float32) * rate  # (BL,)
        g_gamma = tl.zeros((BL,), tl.float32)
        gB_head = tl.zeros((BN, BL), tl.float32)
        gD = tl.zeros((BL,), tl.float32)
        for start in range(0, p, BC):
            offset = start + tl.arange(0, BC)
            c, in_c = head * p + offset, offset < p
            S_at = image * Ci * N + c[:, None] * N + n[None, :]
            S_in = in_c[:, None] & in_n[None, :]
            S = tl.load(S_ptr + S_at, S_in, 0.0)  # (BC, BN)
            gS = tl.load(gS_ptr + S_at, S_in, 0.0)
            inside = in_c[:, None] & in_t[None, :]
            v_at = v_ptr + image * v_image + c[:, None] * v_channel + t[None, :] * v_token
            v = tl.load(v_at, inside, 0.0).to(tl.float32)
            gy_at = gy_ptr + image * gy_image + c[:, None] * gy_channel + t[None, :] * gy_token
            gy = tl.load(gy_at, inside, 0.0).to(tl.float32)
            g_weighted = tl.dot(gS, B, input_precision=PRECISION)  # of gamma v, (BC, BL)
            gv = g_weighted * gamma[None, :] + D * gy
            gv_at = gv_ptr + image * Ci * L + c[:, None] * L + t[None, :]
            tl.store(gv_at, gv.to(gv_ptr.dtype.element_ty), inside)
            g_gamma += tl.sum(g_weighted * v, 0)
            gD += tl.sum(gy * v, 0)
            gB_head += tl.dot(tl.trans(gS), v, input_precision=PRECISION)
            gC += tl.dot(tl.trans(S), gy, input_precision=PRECISION)
        gB += gB_head * gamma[None, :]
        tl.store(gdelta_ptr + row, (g_gamma * rate).to(gdelta_ptr.dtype.element_ty), in_t)
        tl.store(gA_log_ptr + part * heads + head, tl.sum(g_gamma * gamma))
        tl.store(gD_ptr + part * heads + head, tl.sum(gD))
    tl.store(gB_ptr + m_at, gB.to(gB_ptr.dtype.element_ty), both)
    tl.store(gC_ptr + m_at, gC.to(gC_ptr.dtype.element_ty), both)


def nc_ssd_triton(given: NcSsdInputs) -> tuple[Tensor, Tensor]:
    """y and the state, in float32."""
    v, delta, A_log, B, C, D = given
    gamma = delta.float() * torch.exp(A_log.float())[:, None]
    state = contract(v, B, gamma)
    return expand(state, C, D, v, dtype=torch.float32), state


def nc_ssd_triton_backward(
    gy: Tensor, g_state: Tensor, given: NcSsdInputs, state: Tensor
) -> list[Tensor]:
    """Gradients of v, delta, A_log, B, C and D, in their dtypes."""
    v, delta, A_log, B, C, D = given
    (Bt, Ci, L), N, heads = v.shape, B.shape[1], delta.shape[1]
    gS = contract(gy, C) + g_state.float()
    BL = block(L, 32)
    grads = [t.new_empty(t.shape) for t in (v, delta, B, C)]
    parts = torch.empty((2, Bt * triton.cdiv(L, BL), heads), dtype=torch.float32, device=v.device)
    (gy, gy_strides), (v, v_strides), (B, B_strides) = (strided(t) for t in (gy, v, B))
    gS, state, delta, A_log, D = (t.contiguous() for t in (gS, state, delta, A_log, D))
    gv, gdelta, gB, gC = grads
    _tokens_bwd[(Bt, triton.cdiv(L, BL))](
        gy, gS, state, v, delta, A_log, B, D, gv, gdelta, parts[0], gB, gC, parts[1],
        Ci, N, L, Ci // heads, heads, *gy_strides, *v_strides, *B_strides,
        BC=block(Ci // heads, 32), BN=whole(N), BL=BL, PRECISION=precision(v),
        num_warps=WARPS,
    )  # fmt: skip
    gA_log, gD = parts[0].sum(0).to(A_log.dtype), parts[1].sum(0).to(D.dtype)
    return [gv, gdelta, gA_log, gB, gC, gD]
