"""A linear map at each pixel in Triton, with a layer norm before it and a sum after it.

A program makes BO channels of BL pixels of one image. It goes over the channels of x block by
block, where there is a norm twice: first for mean and variance, merged block by block, then for
the product. Nothing but the result is stored.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from evnas.kernels.contraction.kernel import block
from evnas.kernels.depthwise_conv.kernel import activated
from evnas.kernels.dispatch import interpreting

from .op import empty_output
from .reference import EPS

OUT, PIXELS, DEPTH = 128, 64, 32  # of a tile of the result, and of what is summed at a time
WARPS = 8


@triton.jit
def _statistics(x_at, in_t, C, eps, channel_stride, BK: tl.constexpr, BL: tl.constexpr):
    """Mean and 1 / sqrt(var + eps) of BL pixels, each (BL,).

    Blocks of channels are merged by mean and sum of squares around it (Chan et al., 1979): one
    read, and no digits lost where the mean is large.
    """
    mean, squares = tl.zeros((BL,), tl.float32), tl.zeros((BL,), tl.float32)
    for start in range(0, C, BK):
        c = start + tl.arange(0, BK)
        inside = (c < C)[:, None] & in_t[None, :]
        at = x_at + c.to(tl.int64)[:, None] * channel_stride
        x = tl.load(at, inside, 0.0).to(tl.float32)
        count = tl.minimum(C - start, BK).to(tl.float32)
        mean_here = tl.sum(x, 0) / count
        centred = tl.where(inside, x - mean_here[None, :], 0.0)
        apart, share = mean_here - mean, count / (start + count)
        squares += tl.sum(centred * centred, 0) + apart * apart * (start * share)
        mean += apart * share
    return mean, 1.0 / tl.sqrt(squares / C + eps)


@triton.jit
def _pixel_linear(
    x_ptr, weight_ptr, bias_ptr, total_ptr, y_ptr, C, OC, L, eps,
    x_image, x_channel, x_pixel, total_image, total_channel, total_pixel,
    y_image, y_channel, y_pixel,
    NORM: tl.constexpr, TOTAL: tl.constexpr, ACT: tl.constexpr, BO: tl.constexpr,
    BK: tl.constexpr, BL: tl.constexpr, WIDE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(L, BL)
    image = (tl.program_id(0) // blocks).to(tl.int64)  # int64: offsets overflow int32
    t = tl.program_id(0) % blocks * BL + tl.arange(0, BL)
    o = tl.program_id(1) * BO + tl.arange(0, BO)
    in_t, in_o = t < L, o < OC
    pixel = t.to(tl.int64)[None, :]
    x_at = x_ptr + image * x_image + pixel * x_pixel
    if NORM:
        mean, rstd = _statistics(x_at, in_t, C, eps, x_channel, BK, BL)
    sums = tl.zeros((BO, BL), tl.float32)
    for start in range(0, C, BK):
        c = start + tl.arange(0, BK)
        in_c = c < C
        at = x_at + c.to(tl.int64)[:, None] * x_channel
        x = tl.load(at, in_c[:, None] & in_t[None, :], 0.0)
        if NORM:
            x = (x.to(tl.float32) - mean[None, :]) * rstd[None, :]
            x = x.to(weight_ptr.dtype.element_ty)
        weight_at = weight_ptr + o[:, None] * C + c[None, :]
        weight = tl.load(weight_at, in_o[:, None] & in_c[None, :], 0.0)
        if WIDE:
            x, weight = x.to(tl.float32), weight.to(tl.float32)
        sums += tl.dot(weight, x, input_precision=PRECISION)
    sums += tl.load(bias_ptr + o, in_o, 0.0).to(tl.float32)[:, None]
    y = activated(sums, ACT)
    kept = in_o[:, None] & in_t[None, :]
    channel = o.to(tl.int64)[:, None]
    if TOTAL:
        total_at = total_ptr + image * total_image + channel * total_channel + pixel * total_pixel
        y += tl.load(total_at, kept, 0.0).to(tl.float32)
    y_at = y_ptr + image * y_image + channel * y_channel + pixel * y_pixel
    tl.store(y_at, y.to(y_ptr.dtype.element_ty), kept)


def pixel_linear_triton(
    x: Tensor, weight: Tensor, bias: Tensor, total: Tensor | None, *, norm: bool, act: str
) -> Tensor:
    """Shapes as in `evnas.kernels.pixel_linear.pixel_linear`."""
    (B, C), OC, L = x.shape[:2], weight.shape[0], x.shape[2] * x.shape[3]
    y = empty_output(x, weight, total)
    x = _rows_in_line(x)
    total = y if total is None else _rows_in_line(total)
    BO, BL = block(OC, OUT), block(L, PIXELS)
    # the interpreter multiplies bfloat16 as the integers that it keeps it in
    wide = weight.dtype == torch.bfloat16 and interpreting()
    _pixel_linear[(B * triton.cdiv(L, BL), triton.cdiv(OC, BO))](
        x, weight.contiguous(), bias.contiguous(), total, y, C, OC, L, EPS,
        *_strides(x), *_strides(total), *_strides(y),
        NORM=norm, TOTAL=total is not y, ACT=act, BO=BO, BK=block(C, DEPTH), BL=BL,
        WIDE=wide, PRECISION="tf32x3" if weight.dtype == torch.float32 else "tf32",
        num_warps=WARPS,
    )  # fmt: skip
    return y


def _rows_in_line(x: Tensor) -> Tensor:
    """The map, copied unless its pixels lie at one distance from each other."""
    in_line = 1 in x.shape[2:] or x.stride(2) == x.shape[3] * x.stride(3)
    return x if in_line else x.contiguous()


def _strides(x: Tensor) -> tuple[int, int, int]:
    """Of images, channels and pixels."""
    return x.stride(0), x.stride(1), x.stride(3) if x.shape[3] > 1 else x.stride(2)
