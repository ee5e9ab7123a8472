"""LayerNorm over channels in Triton, in the layout of x: one read and one write of the map.

A program takes BP positions, wide enough that each 32-byte sector is read by one program alone.
Where all of their channels fit its registers, (BC, BP), they are read once. Else it walks them BC
at a time, once for statistics, which are merged as in Chan, Golub and LeVeque (1979), and once
more, from the caches, for the result.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE_ELEMENTS = 4096  # of one (BC, BP) tile
MOST_ELEMENTS = 8192  # of one that holds all channels of whole sectors, whose loads are vectors
MOST_POSITIONS = 64
SECTOR_BYTES = 32
WARPS = 8
BACKWARD_PROGRAMS = 1024  # each keeps one partial sum of the gradients of weight and bias


@triton.jit
def _place(
    block, images, P, image_stride, pixel_stride, image_blocks, BI: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    """Offsets of BP positions, BI of each image, and which exist."""
    local = tl.arange(0, BP)
    image = (block // image_blocks).to(tl.int64) * (BP // BI) + local // BI
    pixel = (block % image_blocks).to(tl.int64) * BI + local % BI  # int64: int32 overflows
    return image * image_stride + pixel * pixel_stride, (image < images) & (pixel < P)


@triton.jit
def _normalise(x, inside, C, eps):
    """(x - mean) / sqrt(var + eps) over axis 0, zero outside, and 1 / sqrt(var + eps)."""
    centred = tl.where(inside, x - (tl.sum(x, 0) / C)[None, :], 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / C + eps)
    return centred * rstd[None, :], rstd


@triton.jit
def _tile(c, C, channel_stride, at, exists):
    """Offsets (BC, BP) of channels c at positions `at`, and which of them exist."""
    inside = (c < C)[:, None] & exists[None, :]
    return c.to(tl.int64)[:, None] * channel_stride + at[None, :], inside


@triton.jit
def _loaded(ptr, offset, inside):
    return tl.load(ptr + offset, inside, 0.0).to(tl.float32)


@triton.jit
def _by_channel(ptr, c, C):
    """Of channels c, beside their positions: (BC, 1)."""
    return tl.load(ptr + c, c < C, 0.0).to(tl.float32)[:, None]


@triton.jit
def _store_scaled(
    y, y_ptr, offset, inside, weight_ptr, bias_ptr, c, C,
    WEIGHT: tl.constexpr, BIAS: tl.constexpr,
):  # fmt: skip
    """weight y + bias, where there are such."""
    if WEIGHT:
        y *= _by_channel(weight_ptr, c, C)
    if BIAS:
        y += _by_channel(bias_ptr, c, C)
    tl.store(y_ptr + offset, y.to(y_ptr.dtype.element_ty), inside)


@triton.jit
def _norm_bwd(
    gy_ptr, x_ptr, weight_ptr, gx_ptr, g_weight_ptr, g_bias_ptr,
    C, images, P, image_stride, channel_stride, pixel_stride, image_blocks, eps, blocks,
    WEIGHT: tl.constexpr, BC: tl.constexpr, BI: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    c = tl.arange(0, BC)
    weight = tl.full((BC, 1), 1.0, tl.float32)
    if WEIGHT:
        weight = _by_channel(weight_ptr, c, C)
    g_weight = tl.zeros((BC,), tl.float32)
    g_bias = tl.zeros((BC,), tl.float32)
    for block in range(tl.program_id(0), blocks, tl.num_programs(0)):
        at, exists = _place(block, images, P, image_stride, pixel_stride, image_blocks, BI, BP)
        offset, inside = _tile(c, C, channel_stride, at, exists)
        x, gy = _loaded(x_ptr, offset, inside), _loaded(gy_ptr, offset, inside)
        normal, rstd = _normalise(x, inside, C, eps)
        g_weight += tl.sum(gy * normal, 1)
        g_bias += tl.sum(gy, 1)
        g = gy * weight
        shift = (tl.sum(g, 0) / C)[None, :]
        gx = (g - shift - normal * (tl.sum(g * normal, 0) / C)[None, :]) * rstd[None, :]
        tl.store(gx_ptr + offset, gx.to(gx_ptr.dtype.element_ty), inside)
    row = tl.program_id(0) * C + c
    tl.store(g_weight_ptr + row, g_weight, c < C)
    tl.store(g_bias_ptr + row, g_bias, c < C)


@triton.jit
def _merged(n, mean, square, count, x, inside):
    """Mean and sum of squares about it of `n` channels, and of `count` more, x (BC, BP)."""
    mean_x = tl.sum(x, 0) / count
    centred = tl.where(inside, x - mean_x[None, :], 0.0)
    apart = mean_x - mean
    total = n + count
    square += tl.sum(centred * centred, 0) + apart * (n * count / total) * apart
    return mean + apart * (count / total), square, centred, apart


@triton.jit
def _norm_fwd(
    x_ptr, weight_ptr, bias_ptr, y_ptr,
    C, images, P, image_stride, channel_stride, pixel_stride, image_blocks, eps,
    WEIGHT: tl.constexpr, BIAS: tl.constexpr, AT_ONCE: tl.constexpr,
    BC: tl.constexpr, BI: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    """BP positions: all their channels AT_ONCE, or BC at a time."""
    at, exists = _place(
        tl.program_id(0), images, P, image_stride, pixel_stride, image_blocks, BI, BP
    )
    if AT_ONCE:
        c = tl.arange(0, BC)
        offset, inside = _tile(c, C, channel_stride, at, exists)
        y, _ = _normalise(_loaded(x_ptr, offset, inside), inside, C, eps)
        _store_scaled(y, y_ptr, offset, inside, weight_ptr, bias_ptr, c, C, WEIGHT, BIAS)
    else:
        mean, square = tl.zeros((BP,), tl.float32), tl.zeros((BP,), tl.float32)
        for start in range(0, C, BC):
            offset, inside = _tile(start + tl.arange(0, BC), C, channel_stride, at, exists)
            x = _loaded(x_ptr, offset, inside)
            count = tl.minimum(BC, C - start).to(tl.float32)
            mean, square, _centred, _apart = _merged(start * 1.0, mean, square, count, x, inside)
        rstd = 1.0 / tl.sqrt(square / C + eps)
        for start in range(0, C, BC):
            c = start + tl.arange(0, BC)
            offset, inside = _tile(c, C, channel_stride, at, exists)
            y = (_loaded(x_ptr, offset, inside) - mean[None, :]) * rstd[None, :]
            _store_scaled(y, y_ptr, offset, inside, weight_ptr, bias_ptr, c, C, WEIGHT, BIAS)


@triton.jit
def _wide_norm_bwd(
    gy_ptr, x_ptr, weight_ptr, gx_ptr, g_weight_ptr, g_bias_ptr,
    C, images, P, image_stride, channel_stride, pixel_stride, image_blocks, eps,
    WEIGHT: tl.constexpr, BC: tl.constexpr, BI: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    """As `_norm_bwd` of one block, BC channels at a time; the sum of (g - mean of g) (x - mean of
    x) is merged from chunk to chunk as the variance is."""
    at, exists = _place(
        tl.program_id(0), images, P, image_stride, pixel_stride, image_blocks, BI, BP
    )
    mean, square = tl.zeros((BP,), tl.float32), tl.zeros((BP,), tl.float32)
    mean_g, product = tl.zeros((BP,), tl.float32), tl.zeros((BP,), tl.float32)
    for start in range(0, C, BC):
        c = start + tl.arange(0, BC)
        offset, inside = _tile(c, C, channel_stride, at, exists)
        x, g = _loaded(x_ptr, offset, inside), _loaded(gy_ptr, offset, inside)
        if WEIGHT:
            g *= _by_channel(weight_ptr, c, C)
        n, count = start * 1.0, tl.minimum(BC, C - start).to(tl.float32)
        mean, square, centred, apart = _merged(n, mean, square, count, x, inside)
        apart_g = tl.sum(g, 0) / count - mean_g
        product += tl.sum(g * centred, 0) + apart * (n * count / (n + count)) * apart_g
        mean_g += apart_g * (count / (n + count))
    rstd = 1.0 / tl.sqrt(square / C + eps)
    slope = product * rstd / C
    for start in range(0, C, BC):
        c = start + tl.arange(0, BC)
        offset, inside = _tile(c, C, channel_stride, at, exists)
        x, gy = _loaded(x_ptr, offset, inside), _loaded(gy_ptr, offset, inside)
        normal = tl.where(inside, (x - mean[None, :]) * rstd[None, :], 0.0)
        row = tl.program_id(0).to(tl.int64) * C + c
        tl.store(g_weight_ptr + row, tl.sum(gy * normal, 1), c < C)
        tl.store(g_bias_ptr + row, tl.sum(gy, 1), c < C)
        g = gy
        if WEIGHT:
            g *= _by_channel(weight_ptr, c, C)
        gx = (g - mean_g[None, :] - normal * slope[None, :]) * rstd[None, :]
        tl.store(gx_ptr + offset, gx.to(gx_ptr.dtype.element_ty), inside)


def channel_layer_norm_triton(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """The normalised map, in the dtype and layout of x."""
    dense = _dense(x)
    y = torch.empty_like(dense)
    walk = _walk(dense)
    _norm_fwd[(walk.blocks,)](
        dense, dense if weight is None else weight.contiguous(),
        dense if bias is None else bias.contiguous(), y, *walk.geometry, eps,
        WEIGHT=weight is not None, BIAS=bias is not None, AT_ONCE=walk.at_once, **walk.tile,
        num_warps=WARPS,
    )  # fmt: skip
    return _like(y, x)


def channel_layer_norm_triton_backward(
    gy: Tensor, x: Tensor, weight: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, in its dtype and layout, and of weight and bias in float32."""
    dense = _dense(x)
    gx, g = torch.empty_like(dense), torch.empty_like(dense, dtype=gy.dtype).copy_(gy)
    walk = _walk(dense)
    programs = min(walk.blocks, BACKWARD_PROGRAMS) if walk.at_once else walk.blocks
    parts = torch.empty((2, programs, x.shape[1]), dtype=torch.float32, device=x.device)
    given = (
        g, dense, dense if weight is None else weight.contiguous(), gx, parts[0], parts[1],
        *walk.geometry, eps,
    )  # fmt: skip
    options = {"WEIGHT": weight is not None, **walk.tile, "num_warps": WARPS}
    if walk.at_once:
        _norm_bwd[(programs,)](*given, walk.blocks, **options)
    else:
        _wide_norm_bwd[(programs,)](*given, **options)
    return _like(gx, x), parts[0].sum(0), parts[1].sum(0)


def _dense(x: Tensor) -> Tensor:
    """x itself if its channels or its positions are contiguous, else a contiguous copy."""
    return x if x.is_contiguous() or x.movedim(1, -1).is_contiguous() else x.contiguous()


def _like(y: Tensor, x: Tensor) -> Tensor:
    """y in the strides that `empty_like(x)` has, which the fake kernel promises."""
    target = torch.empty_like(x)
    return y if y.stride() == target.stride() else target.copy_(y)


class _Walk(NamedTuple):
    """How programs share a map."""

    geometry: tuple[int, ...]
    """C, images, positions of one; strides of image, channel, position; blocks of an image."""
    blocks: int
    tile: dict[str, int]
    """Channels, positions of one image and positions of a tile."""
    at_once: bool
    """Whether a tile holds all channels."""


def _walk(x: Tensor) -> _Walk:
    C, P = x.shape[1], x[0, 0].numel()
    images, strides = x.shape[0], (C * P, P, 1)
    if not x.is_contiguous():  # a position's channels lie side by side: all positions are alike
        images, P, strides = 1, images * P, (0, 1, C)
    BC, BI, BP = tile_sizes(C, images, P, x.element_size(), channels_last=strides[1] == 1)
    image_blocks = triton.cdiv(P, BI)
    blocks = triton.cdiv(images, BP // BI) * image_blocks
    geometry = (C, images, P, *strides, image_blocks)
    return _Walk(geometry, blocks, {"BC": BC, "BI": BI, "BP": BP}, BC >= C)


def tile_sizes(
    C: int, images: int, P: int, element_size: int, *, channels_last: bool
) -> tuple[int, int, int]:
    """Channels, positions of an image, and positions of a tile; all powers of two."""
    channels, pixels = triton.next_power_of_2(C), triton.next_power_of_2(max(1, P))
    wished = max(1, min(TILE_ELEMENTS // channels, MOST_POSITIONS))
    least, most = min(pixels, MOST_POSITIONS), TILE_ELEMENTS
    sector = SECTOR_BYTES // element_size
    if channels_last:
        least = 1  # a position is whole sectors by itself
    elif P % sector == 0:
        least, most = min(least, sector), MOST_ELEMENTS
    if channels_last or least * channels <= most:
        BI = min(pixels, max(least, wished))
        BP = max(BI, min(wished, BI * triton.next_power_of_2(images)))
        return channels, BI, BP
    BI, BP = min(pixels, MOST_POSITIONS), MOST_POSITIONS
    return TILE_ELEMENTS // BP, BI, BP
