"""LayerNorm over channels in Triton, in the layout of x: one read and one write of the map.

A program holds all channels of BP positions, (BC, BP), whichever of the two axes is contiguous.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE_ELEMENTS = 4096  # of one (BC, BP) tile
WARPS = 8
BACKWARD_PROGRAMS = 1024  # each keeps one partial sum of the gradients of weight and bias


@triton.jit
def _place(block, pixels, P, image_stride, pixel_stride, BP: tl.constexpr):
    """Offsets of BP positions, counted over all images, and which exist."""
    q = block * BP + tl.arange(0, BP)
    image, pixel = (q // P).to(tl.int64), (q % P).to(tl.int64)  # int64: offsets overflow int32
    return image * image_stride + pixel * pixel_stride, q < pixels


@triton.jit
def _normalise(x, inside, C, eps):
    """(x - mean) / sqrt(var + eps) over axis 0, zero outside, and 1 / sqrt(var + eps)."""
    centred = tl.where(inside, x - (tl.sum(x, 0) / C)[None, :], 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / C + eps)
    return centred * rstd[None, :], rstd


@triton.jit
def _norm_fwd(
    x_ptr, weight_ptr, bias_ptr, y_ptr, C, pixels, P, image_stride, channel_stride, pixel_stride,
    eps, WEIGHT: tl.constexpr, BIAS: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    at, exists = _place(tl.program_id(0), pixels, P, image_stride, pixel_stride, BP)
    c = tl.arange(0, BC)
    inside = (c < C)[:, None] & exists[None, :]
    at = c.to(tl.int64)[:, None] * channel_stride + at[None, :]
    y, _ = _normalise(tl.load(x_ptr + at, inside, 0.0).to(tl.float32), inside, C, eps)
    if WEIGHT:
        y *= tl.load(weight_ptr + c, c < C, 0.0).to(tl.float32)[:, None]
    if BIAS:
        y += tl.load(bias_ptr + c, c < C, 0.0).to(tl.float32)[:, None]
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), inside)


@triton.jit
def _norm_bwd(
    gy_ptr, x_ptr, weight_ptr, gx_ptr, g_weight_ptr, g_bias_ptr,
    C, pixels, P, image_stride, channel_stride, pixel_stride, eps, blocks,
    WEIGHT: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    c = tl.arange(0, BC)
    weight = tl.full((BC,), 1.0, tl.float32)
    if WEIGHT:
        weight = tl.load(weight_ptr + c, c < C, 0.0).to(tl.float32)
    g_weight = tl.zeros((BC,), tl.float32)
    g_bias = tl.zeros((BC,), tl.float32)
    for block in range(tl.program_id(0), blocks, tl.num_programs(0)):
        at, exists = _place(block, pixels, P, image_stride, pixel_stride, BP)
        inside = (c < C)[:, None] & exists[None, :]
        at = c.to(tl.int64)[:, None] * channel_stride + at[None, :]
        x = tl.load(x_ptr + at, inside, 0.0).to(tl.float32)
        gy = tl.load(gy_ptr + at, inside, 0.0).to(tl.float32)
        normal, rstd = _normalise(x, inside, C, eps)
        g_weight += tl.sum(gy * normal, 1)
        g_bias += tl.sum(gy, 1)
        g = gy * weight[:, None]
        shift = (tl.sum(g, 0) / C)[None, :]
        gx = (g - shift - normal * (tl.sum(g * normal, 0) / C)[None, :]) * rstd[None, :]
        tl.store(gx_ptr + at, gx.to(gx_ptr.dtype.element_ty), inside)
    row = tl.program_id(0) * C + c
    tl.store(g_weight_ptr + row, g_weight, c < C)
    tl.store(g_bias_ptr + row, g_bias, c < C)


def channel_layer_norm_triton(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """The normalised map, in the dtype and layout of x."""
    dense = _dense(x)
    y = torch.empty_like(dense)
    geometry, blocks, tile = _geometry(dense)
    _norm_fwd[(blocks,)](
        dense, dense if weight is None else weight.contiguous(),
        dense if bias is None else bias.contiguous(), y, *geometry, eps,
        WEIGHT=weight is not None, BIAS=bias is not None, **tile, num_warps=WARPS,
    )  # fmt: skip
    return _like(y, x)


def channel_layer_norm_triton_backward(
    gy: Tensor, x: Tensor, weight: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, in its dtype and layout, and of weight and bias in float32."""
    dense = _dense(x)
    gx, g = torch.empty_like(dense), torch.empty_like(dense, dtype=gy.dtype).copy_(gy)
    geometry, blocks, tile = _geometry(dense)
    programs = min(blocks, BACKWARD_PROGRAMS)
    parts = torch.empty((2, programs, x.shape[1]), dtype=torch.float32, device=x.device)
    _norm_bwd[(programs,)](
        g, dense, dense if weight is None else weight.contiguous(), gx, parts[0], parts[1],
        *geometry, eps, blocks, WEIGHT=weight is not None, **tile, num_warps=WARPS,
    )  # fmt: skip
    return _like(gx, x), parts[0].sum(0), parts[1].sum(0)


def _dense(x: Tensor) -> Tensor:
    """x itself if its channels or its positions are contiguous, else a contiguous copy."""
    return x if x.is_contiguous() or x.movedim(1, -1).is_contiguous() else x.contiguous()


def _like(y: Tensor, x: Tensor) -> Tensor:
    """y in the strides that `empty_like(x)` has, which the fake kernel promises."""
    target = torch.empty_like(x)
    return y if y.stride() == target.stride() else target.copy_(y)


def _geometry(x: Tensor) -> tuple[tuple[int, ...], int, dict[str, int]]:
    """Sizes and strides (C, positions, P, image, channel, position), blocks, tile."""
    C, P = x.shape[1], x[0, 0].numel()
    strides = (C * P, P, 1) if x.is_contiguous() else (C * P, 1, C)
    BC = triton.next_power_of_2(C)
    BP = max(1, min(triton.next_power_of_2(x.shape[0] * P), TILE_ELEMENTS // BC, 64))
    sizes = (C, x.shape[0] * P, P, *strides)
    return sizes, triton.cdiv(x.shape[0] * P, BP), {"BC": BC, "BP": BP}
