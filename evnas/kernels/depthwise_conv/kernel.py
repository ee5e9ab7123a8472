"""A depthwise 3x3 convolution with bias and activation in Triton: one read, one write of the map.

A program makes R rows of BW columns of one image's output, in BC channels, in any memory format.
R is unrolled, and each row of the input is read once for all outputs that it takes part in, in
three shifted tiles; the other two come from the first-level cache.
"""

import triton
import triton.language as tl
from torch import Tensor

from .op import empty_output

MOST_ROWS = 7  # of a program: so many tiles of sums are held in registers
TILE_ELEMENTS = 1024  # of one (BW, BC) tile; 8 registers a thread and row at 4 warps
WARPS = 4


@triton.jit
def activated(y, ACT: tl.constexpr):
    """y after one of `evnas.kernels.depthwise_conv.ACTS`."""
    if ACT == "relu":
        y = tl.where(y < 0.0, 0.0, y)  # NaN stays
    elif ACT == "silu":
        y = y / (1.0 + tl.exp(-y))
    elif ACT == "gelu":
        y = 0.5 * y * (1.0 + tl.erf(y * 0.7071067811865476))
    return y


@triton.jit
def _depthwise(
    x_ptr, weight_ptr, bias_ptr, y_ptr, C, H, W, OH, OW, ROW_BLOCKS, COL_BLOCKS,
    x_image, x_channel, x_row, x_col, y_image, y_channel, y_row, y_col,
    S: tl.constexpr, R: tl.constexpr, BW: tl.constexpr, BC: tl.constexpr, BIAS: tl.constexpr,
    ACT: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0) % (ROW_BLOCKS * COL_BLOCKS)
    image = (tl.program_id(0) // (ROW_BLOCKS * COL_BLOCKS)).to(tl.int64)
    top = block // COL_BLOCKS * R
    col = block % COL_BLOCKS * BW + tl.arange(0, BW)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    in_c = c < C
    channel = c.to(tl.int64)[None, :]  # int64: offsets overflow int32
    weights = ()
    for tap in tl.static_range(9):
        weights += (tl.load(weight_ptr + c * 9 + tap, in_c, 0.0).to(tl.float32)[None, :],)
    start = tl.zeros((BW, BC), tl.float32)
    if BIAS:
        start += tl.load(bias_ptr + c, in_c, 0.0).to(tl.float32)[None, :]
    sums = ()
    for _ in tl.static_range(R):
        sums += (start,)
    x_at = x_ptr + image * x_image + channel * x_channel
    for q in tl.static_range(S * (R - 1) + 3):
        row = top * S + q - 1
        for j in tl.static_range(3):
            at = col * S + j - 1
            inside = ((at >= 0) & (at < W) & (row >= 0) & (row < H))[:, None] & in_c[None, :]
            x = tl.load(x_at + (row.to(tl.int64) * x_row + at * x_col)[:, None], inside, 0.0)
            x = x.to(tl.float32)
            added = ()
            for r in tl.static_range(R):
                if q - r * S >= 0 and q - r * S < 3:
                    added += (sums[r] + x * weights[(q - r * S) * 3 + j],)
                else:
                    added += (sums[r],)
            sums = added
    y_at = y_ptr + image * y_image + channel * y_channel
    for r in tl.static_range(R):
        y = activated(sums[r], ACT)
        kept = ((top + r < OH) & (col < OW))[:, None] & in_c[None, :]
        to = ((top + r).to(tl.int64) * y_row + col * y_col)[:, None]
        tl.store(y_at + to, y.to(y_ptr.dtype.element_ty), kept)


def depthwise_conv_triton(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, act: str
) -> Tensor:
    """Shapes as in `evnas.kernels.depthwise_conv.depthwise_conv`."""
    (B, C, H, W), y = x.shape, empty_output(x, stride)
    OH, OW = y.shape[2:]
    BW, BC = _tile(OW, C, channels_last=y.stride(1) == 1)
    R = triton.cdiv(OH, triton.cdiv(OH, MOST_ROWS))
    blocks = (triton.cdiv(OH, R), triton.cdiv(OW, BW))
    _depthwise[(B * blocks[0] * blocks[1], triton.cdiv(C, BC))](
        x, weight.contiguous(), x if bias is None else bias.contiguous(), y,
        C, H, W, OH, OW, *blocks, *x.stride(), *y.stride(),
        S=stride, R=R, BW=BW, BC=BC, BIAS=bias is not None, ACT=act, num_warps=WARPS,
    )  # fmt: skip
    return y


def _tile(OW: int, C: int, *, channels_last: bool) -> tuple[int, int]:
    """Columns and channels of a tile, wide along the axis that is contiguous."""
    columns, channels = (triton.next_power_of_2(size) for size in (OW, C))
    if channels_last:
        BC = min(channels, 64)
        return min(columns, TILE_ELEMENTS // BC), BC
    BW = min(columns, 64)
    return BW, min(channels, TILE_ELEMENTS // BW)
