"""Batched contractions between channels, states and tokens, with per-head token weights.

With x (Bt, C, L), h (Bt, C, N), m (Bt, N, L): `contract` sums over tokens, `expand` over states,
`correlate` over channels. Sums are float32; half-precision operands go through TF32 products,
which hold them exactly and do not overflow as float16 would; float32 ones through three of them,
which is nearly float32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

WARPS = 8  # with tiles of 64 channels and 32 tokens nothing spills when compiled for sm_90


@triton.jit
def _contract(
    x_ptr, m_ptr, weight_ptr, out_ptr, C, N, L, p,
    x_image, x_channel, x_token, m_image, m_state, m_token,
    WEIGHTED: tl.constexpr, BC: tl.constexpr, BN: tl.constexpr, BL: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """out[c, n] = sum over l of x[c, l] weight[head of c, l] m[n, l]; BC channels of one head."""
    image = tl.program_id(0).to(tl.int64)
    blocks = tl.cdiv(p, BC)
    head = tl.program_id(1) // blocks
    offset = (tl.program_id(1) % blocks) * BC + tl.arange(0, BC)
    c, n = head * p + offset, tl.arange(0, BN)
    in_c, in_n = offset < p, n < N
    sums = tl.zeros((BC, BN), tl.float32)
    for start in range(0, L, BL):
        t = start + tl.arange(0, BL)
        in_t = t < L
        x_at = x_ptr + image * x_image + c[:, None] * x_channel + t[None, :] * x_token
        x = tl.load(x_at, in_c[:, None] & in_t[None, :], 0.0).to(tl.float32)
        m_at = m_ptr + image * m_image + n[None, :] * m_state + t[:, None] * m_token
        m = tl.load(m_at, in_n[None, :] & in_t[:, None], 0.0).to(tl.float32)  # (BL, BN)
        if WEIGHTED:
            weight_at = weight_ptr + (image * (C // p) + head) * L + t
            m *= tl.load(weight_at, in_t, 0.0).to(tl.float32)[:, None]
        sums += tl.dot(x, m, input_precision=PRECISION)
    out_at = out_ptr + image * C * N + c[:, None] * N + n[None, :]
    tl.store(out_at, sums.to(out_ptr.dtype.element_ty), in_c[:, None] & in_n[None, :])


@triton.jit
def _expand(
    h_ptr, m_ptr, factor_ptr, x_ptr, out_ptr, C, N, L, p,
    x_image, x_channel, x_token, m_image, m_state, m_token, out_image, out_channel, out_token,
    SKIP: tl.constexpr, SHARE: tl.constexpr, BC: tl.constexpr, BN: tl.constexpr,
    BL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out[c, l] = y = sum over n of h[c, n] m[n, l]; with SKIP y + factor[head of c] x[c, l], with
    SHARE factor[c] y + x[c, l]."""
    image = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    t = tl.program_id(2) * BL + tl.arange(0, BL)
    n = tl.arange(0, BN)
    in_c, in_t, in_n = c < C, t < L, n < N
    h_at = h_ptr + image * C * N + c[:, None] * N + n[None, :]
    h = tl.load(h_at, in_c[:, None] & in_n[None, :], 0.0).to(tl.float32)
    m_at = m_ptr + image * m_image + n[:, None] * m_state + t[None, :] * m_token
    m = tl.load(m_at, in_n[:, None] & in_t[None, :], 0.0).to(tl.float32)
    y = tl.dot(h, m, input_precision=PRECISION)
    inside = in_c[:, None] & in_t[None, :]
    if SKIP or SHARE:
        x_at = x_ptr + image * x_image + c[:, None] * x_channel + t[None, :] * x_token
        x = tl.load(x_at, inside, 0.0).to(tl.float32)
        if SHARE:
            y = tl.load(factor_ptr + c, in_c, 0.0).to(tl.float32)[:, None] * y + x
        else:
            y += tl.load(factor_ptr + c // p, in_c, 0.0).to(tl.float32)[:, None] * x
    out_at = out_ptr + image * out_image + c[:, None] * out_channel + t[None, :] * out_token
    tl.store(out_at, y.to(out_ptr.dtype.element_ty), inside)


@triton.jit
def _correlate(
    h_ptr, x_ptr, out_ptr, C, N, L, x_image, x_channel, x_token,
    BC: tl.constexpr, BN: tl.constexpr, BL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out[n, l] = sum over c of h[c, n] x[c, l]."""
    image = tl.program_id(0).to(tl.int64)
    t = tl.program_id(1) * BL + tl.arange(0, BL)
    n = tl.arange(0, BN)
    in_t, in_n = t < L, n < N
    sums = tl.zeros((BN, BL), tl.float32)
    for start in range(0, C, BC):
        c = start + tl.arange(0, BC)
        in_c = c < C
        h_at = h_ptr + image * C * N + c[None, :] * N + n[:, None]
        h = tl.load(h_at, in_c[None, :] & in_n[:, None], 0.0).to(tl.float32)  # (BN, BC)
        x_at = x_ptr + image * x_image + c[:, None] * x_channel + t[None, :] * x_token
        x = tl.load(x_at, in_c[:, None] & in_t[None, :], 0.0).to(tl.float32)
        sums += tl.dot(h, x, input_precision=PRECISION)
    out_at = out_ptr + image * N * L + n[:, None] * L + t[None, :]
    tl.store(out_at, sums.to(out_ptr.dtype.element_ty), in_n[:, None] & in_t[None, :])


def block(size: int, most: int) -> int:
    """A power of two, at least the 16 that a matrix product takes, for a dimension."""
    return max(16, min(most, triton.next_power_of_2(size)))


def whole(size: int) -> int:
    """The same for a dimension that no kernel walks over: the states."""
    return block(size, triton.next_power_of_2(size))


def precision(*tokens: Tensor) -> str:
    """TF32 where the tokens are half precision, which it holds exactly; else TF32 three times."""
    return "tf32x3" if any(t.dtype == torch.float32 for t in tokens) else "tf32"


def strided(tokens: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """(Bt, rows, L) as it lies, a slice of a larger map too, and its strides; copied only where an
    offset within an image would overflow int32."""
    rows, L = tokens.shape[1:]
    if (rows - 1) * tokens.stride(1) + (L - 1) * tokens.stride(2) >= 2**31:
        tokens = tokens.contiguous()
    return tokens, tokens.stride()


def contract(x: Tensor, m: Tensor, weight: Tensor | None = None) -> Tensor:
    """(Bt, C, L) by (Bt, N, L), tokens weighted by (Bt, heads, L) -> (Bt, C, N) float32."""
    (Bt, C, L), N = x.shape, m.shape[1]
    p = C if weight is None else C // weight.shape[1]
    BC = block(p, 64)
    out = torch.empty((Bt, C, N), dtype=torch.float32, device=x.device)
    (x, x_strides), (m, m_strides) = strided(x), strided(m)
    _contract[(Bt, C // p * triton.cdiv(p, BC))](
        x, m, x if weight is None else weight.contiguous(), out, C, N, L, p,
        *x_strides, *m_strides,
        WEIGHTED=weight is not None, BC=BC, BN=whole(N), BL=block(L, 32),
        PRECISION=precision(x, m), num_warps=WARPS,
    )  # fmt: skip
    return out


def expand(
    h: Tensor,
    m: Tensor,
    skip: Tensor | None = None,
    x: Tensor | None = None,
    *,
    share: Tensor | None = None,
    dtype: torch.dtype,
    like: Tensor | None = None,
) -> Tensor:
    """(Bt, C, N) by (Bt, N, L), plus skip (heads,) times x (Bt, C, L), or times share (C,)
    and plus x -> (Bt, C, L), contiguous or as `like` lies."""
    (Bt, C, N), L = h.shape, m.shape[2]
    p = C if skip is None else C // skip.shape[0]
    BC, BL = block(C, 64), block(L, 32)
    if like is None:
        out = torch.empty((Bt, C, L), dtype=dtype, device=h.device)
    else:
        out = torch.empty_like(like, dtype=dtype)
    h, (m, m_strides) = h.contiguous(), strided(m)
    x, x_strides = strided(h if x is None else x)
    factor = next((t.contiguous() for t in (skip, share) if t is not None), h)
    _expand[(Bt, triton.cdiv(C, BC), triton.cdiv(L, BL))](
        h, m, factor, x, out,
        C, N, L, p, *x_strides, *m_strides, *out.stride(),
        SKIP=skip is not None, SHARE=share is not None, BC=BC, BN=whole(N), BL=BL,
        PRECISION=precision(m), num_warps=WARPS,
    )  # fmt: skip
    return out


def correlate(h: Tensor, x: Tensor, *, dtype: torch.dtype) -> Tensor:
    """(Bt, C, N) by (Bt, C, L) -> (Bt, N, L)."""
    (Bt, C, N), L = h.shape, x.shape[2]
    BL = block(L, 32)
    out = torch.empty((Bt, N, L), dtype=dtype, device=x.device)
    x, x_strides = strided(x)
    _correlate[(Bt, triton.cdiv(L, BL))](
        h.contiguous(), x, out, C, N, L, *x_strides,
        BC=block(C, 64), BN=whole(N), BL=BL, PRECISION=precision(x), num_warps=WARPS,
    )  # fmt: skip
    return out
