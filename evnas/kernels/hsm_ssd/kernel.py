"""HSM-SSD in Triton: softmax over L fused with the contraction, and the adjoint of both.

The compression walks the tokens once with a running maximum, so neither the scores' softmax nor
K = G * B is ever written. A has no part in it: the softmax over L cancels it.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from evnas.kernels.contraction.kernel import (
    WARPS,
    block,
    contract,
    correlate,
    expand,
    precision,
    strided,
    whole,
)


@triton.jit
def _compress_fwd(
    u_ptr, dt_ptr, B_ptr, h0_ptr, log_sum_ptr, C, N, L, p, heads,
    u_image, u_channel, u_token, dt_image, dt_score, dt_token, B_image, B_state, B_token,
    h_channel, h_state,
    SHARED: tl.constexpr, BC: tl.constexpr, BN: tl.constexpr, BL: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0).to(tl.int64)
    blocks = tl.cdiv(p, BC)
    head = tl.program_id(1) // blocks
    first = tl.program_id(1) % blocks == 0
    offset = (tl.program_id(1) % blocks) * BC + tl.arange(0, BC)
    c, n = head * p + offset, tl.arange(0, BN)
    in_c, in_n = offset < p, n < N
    score = head + 0 * n if SHARED else head * N + n  # rows of dt
    scores = heads if SHARED else heads * N
    top = tl.full((BN,), float("-inf"), tl.float32)
    total = tl.zeros((BN,), tl.float32)
    h0 = tl.zeros((BC, BN), tl.float32)
    for start in range(0, L, BL):
        t = start + tl.arange(0, BL)
        in_t = t < L
        both = in_n[None, :] & in_t[:, None]
        dt_at = dt_ptr + image * dt_image + score[None, :] * dt_score + t[:, None] * dt_token
        dt = tl.load(dt_at, both, 0.0).to(tl.float32)  # (BL, BN)
        dt = tl.where(in_t[:, None], dt, float("-inf"))
        higher = tl.maximum(top, tl.max(dt, 0))
        shrink = tl.exp(top - higher)
        weight = tl.exp(dt - higher[None, :])
        total = total * shrink + tl.sum(weight, 0)
        B_at = B_ptr + image * B_image + n[None, :] * B_state + t[:, None] * B_token
        weight *= tl.load(B_at, both, 0.0).to(tl.float32)
        u_at = u_ptr + image * u_image + c[:, None] * u_channel + t[None, :] * u_token
        u = tl.load(u_at, in_c[:, None] & in_t[None, :], 0.0).to(tl.float32)
        h0 = h0 * shrink[None, :] + tl.dot(u, weight, input_precision=PRECISION)
        top = higher
    h0 = h0 / total[None, :]
    h0_at = h0_ptr + image * C * N + c[:, None] * h_channel + n[None, :] * h_state
    tl.store(h0_at, h0, in_c[:, None] & in_n[None, :])
    owns = (n == 0) if SHARED else in_n
    tl.store(log_sum_ptr + image * scores + score, top + tl.log(total), owns & first)


@triton.jit
def _compress_bwd(
    gh0_ptr, h0_ptr, u_ptr, dt_ptr, B_ptr, log_sum_ptr, gu_ptr, gdt_ptr, gB_ptr,
    C, N, L, p, heads, g_image, g_channel, g_state, h_image, h_channel, h_state,
    u_image, u_channel, u_token, dt_image, dt_score, dt_token, B_image, B_state, B_token,
    SHARED: tl.constexpr, BC: tl.constexpr, BN: tl.constexpr, BL: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """All gradients at BL tokens of one image; `dot` is sum over L of G dG, known from h0."""
    image = tl.program_id(0).to(tl.int64)
    t, n = tl.program_id(1) * BL + tl.arange(0, BL), tl.arange(0, BN)
    in_t, in_n = t < L, n < N
    both = in_n[:, None] & in_t[None, :]
    scores = heads if SHARED else heads * N
    B_at = B_ptr + image * B_image + n[:, None] * B_state + t[None, :] * B_token
    B = tl.load(B_at, both, 0.0).to(tl.float32)  # (BN, BL)
    gB = tl.zeros((BN, BL), tl.float32)
    for head in range(heads):
        score = head + 0 * n if SHARED else head * N + n
        dt_at = dt_ptr + image * dt_image + score[:, None] * dt_score + t[None, :] * dt_token
        dt = tl.load(dt_at, both, 0.0).to(tl.float32)
        log_sum = tl.load(log_sum_ptr + image * scores + score, in_n, 0.0)
        G = tl.where(both, tl.exp(dt - log_sum[:, None]), 0.0)
        gK = tl.zeros((BN, BL), tl.float32)
        dot = tl.zeros((BN,), tl.float32)
        for start in range(0, p, BC):
            offset = start + tl.arange(0, BC)
            c, in_c = head * p + offset, offset < p
            h_in = in_c[:, None] & in_n[None, :]
            g_at = gh0_ptr + image * g_image + c[:, None] * g_channel + n[None, :] * g_state
            gh0 = tl.load(g_at, h_in, 0.0).to(tl.float32)  # (BC, BN)
            h_at = h0_ptr + image * h_image + c[:, None] * h_channel + n[None, :] * h_state
            dot += tl.sum(gh0 * tl.load(h_at, h_in, 0.0).to(tl.float32), 0)
            u_at = u_ptr + image * u_image + c[:, None] * u_channel + t[None, :] * u_token
            u_in = in_c[:, None] & in_t[None, :]
            u = tl.load(u_at, u_in, 0.0).to(tl.float32)
            gu = tl.dot(gh0, G * B, input_precision=PRECISION)
            gu_at = gu_ptr + image * C * L + c[:, None] * L + t[None, :]
            tl.store(gu_at, gu.to(gu_ptr.dtype.element_ty), u_in)
            gK += tl.dot(tl.trans(gh0), u, input_precision=PRECISION)
        gB += gK * G
        gG = gK * B
        if SHARED:
            gdt = G * (tl.sum(gG, 0)[None, :] - tl.sum(dot))
            gdt_in = (n == 0)[:, None] & in_t[None, :]
        else:
            gdt = G * (gG - dot[:, None])
            gdt_in = both
        gdt_at = gdt_ptr + image * scores * L + score[:, None] * L + t[None, :]
        tl.store(gdt_at, gdt.to(gdt_ptr.dtype.element_ty), gdt_in)
    gB_at = gB_ptr + image * N * L + n[:, None] * L + t[None, :]
    tl.store(gB_at, gB.to(gB_ptr.dtype.element_ty), both)


def compress_triton(
    u: Tensor, dt: Tensor, B: Tensor, *, heads: int, by_state: bool = False
) -> tuple[Tensor, Tensor]:
    """h0 (Bt, C, N) and the log of the softmax's sums (Bt, S, 1), both float32; `by_state`: h0 is
    a view of (Bt, N, C)."""
    (Bt, C, L), N, S = u.shape, B.shape[1], dt.shape[1]
    p = C // heads
    BC = block(p, 64)
    h0 = torch.empty((Bt, N, C) if by_state else (Bt, C, N), dtype=torch.float32, device=u.device)
    h0 = h0.mT if by_state else h0
    log_sum = torch.empty((Bt, S, 1), dtype=torch.float32, device=u.device)
    (u, u_strides), (dt, dt_strides), (B, B_strides) = (strided(t) for t in (u, dt, B))
    _compress_fwd[(Bt, heads * triton.cdiv(p, BC))](
        u, dt, B, h0, log_sum, C, N, L, p, heads, *u_strides, *dt_strides, *B_strides,
        *h0.stride()[1:],
        SHARED=heads == S, BC=BC, BN=whole(N), BL=block(L, 32), PRECISION=precision(u),
        num_warps=WARPS,
    )  # fmt: skip
    return h0, log_sum


def compress_triton_backward(
    gh0: Tensor, h0: Tensor, u: Tensor, dt: Tensor, B: Tensor, log_sum: Tensor, *, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of u, dt and B, in their dtypes."""
    (Bt, C, L), N, S = u.shape, B.shape[1], dt.shape[1]
    BL = block(L, 32)
    gu, gdt, gB = u.new_empty(u.shape), dt.new_empty(dt.shape), B.new_empty(B.shape)
    (gh0, g_strides), (h0, h_strides) = strided(gh0), strided(h0)
    (u, u_strides), (dt, dt_strides), (B, B_strides) = (strided(t) for t in (u, dt, B))
    _compress_bwd[(Bt, triton.cdiv(L, BL))](
        gh0, h0, u, dt, B, log_sum.contiguous(), gu, gdt, gB, C, N, L, C // heads, heads,
        *g_strides, *h_strides, *u_strides, *dt_strides, *B_strides,
        SHARED=heads == S, BC=block(C // heads, 32), BN=whole(N), BL=BL,
        PRECISION=precision(u), num_warps=WARPS,
    )  # fmt: skip
    return gu, gdt, gB


def expand_triton(h: Tensor, C: Tensor, *, dtype: torch.dtype) -> Tensor:
    """y = h C, (Bt, Ch, L), in `dtype`."""
    return expand(h, C, dtype=dtype)


def expand_triton_backward(gy: Tensor, h: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of h, in float32, and of C, in its dtype."""
    return contract(gy, C), correlate(h, gy, dtype=C.dtype)
