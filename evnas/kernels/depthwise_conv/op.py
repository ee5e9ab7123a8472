"""The depthwise convolution as one operator that counters see whole: `evnas::depthwise_conv`."""

from typing import Any

from torch import Tensor

from evnas.kernels.operator import fake, operator


@operator("depthwise_conv")
def depthwise_conv_op(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, act: str
) -> Tensor:
    """The activated map, in the dtype and memory format of x, by Triton."""
    from .kernel import depthwise_conv_triton  # triton is optional

    return depthwise_conv_triton(x, weight, bias, stride, act)


@fake(depthwise_conv_op)
def _(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, *_: Any) -> Tensor:
    return empty_output(x, stride)


def empty_output(x: Tensor, stride: int) -> Tensor:
    """A map for the result: channels last where those of x lie next to each other."""
    B, C, H, W = x.shape
    H, W = -(-H // stride), -(-W // stride)
    if x.stride(1) == 1 and C > 1:
        return x.new_empty((B, H, W, C)).permute(0, 3, 1, 2)
    return x.new_empty((B, C, H, W))
