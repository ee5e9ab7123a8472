"""Depthwise 3x3 convolution with its bias and activation, for inference."""

from typing import Literal, get_args

from torch import Tensor

from evnas.kernels.dispatch import Impl, choose_for_inference

from .op import depthwise_conv_op
from .reference import depthwise_conv_plain, depthwise_conv_reference

Act = Literal["none", "relu", "silu", "gelu"]
ACTS: tuple[str, ...] = get_args(Act)


def depthwise_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    act: Act = "none",
    impl: Impl = "auto",
) -> Tensor:
    """Convolve each channel with a 3x3 of its own, padded by 1, add its bias, activate.

    In Triton that is one read and one write of the map, in its own memory format; sums are
    float32 and rounded once, after the activation. "auto" is torch's convolution and activation
    unless the kernel was measured to be faster, and always where a gradient is asked for or
    within autocast, which has a dtype of its own for convolutions.

    Args:
        x: (B, C, H, W).
        weight: (C, 1, 3, 3), dtype of x.
        bias: (C,), or None for none.
        stride: 1 or 2.
        act: "gelu" is the exact one.
        impl: "auto", "reference", "cpu" (torch's own, on any device) or "triton".

    Returns:
        (B, C, ceil(H / stride), ceil(W / stride)), dtype of x.

    Raises:
        ValueError: shapes that do not fit one another, an unknown stride or activation.
        KernelUnavailable: `impl` is "triton" and it cannot run on these tensors, or a gradient is
            asked for: it has none.
    """
    _check(x, weight, bias, stride, act)
    chosen = choose_for_inference("depthwise_conv", impl, (x, weight, bias))
    if chosen == "reference":
        return depthwise_conv_reference(x, weight, bias, stride, act)
    if chosen == "triton":
        y: Tensor = depthwise_conv_op(x, weight, bias, stride, act)
        return y
    return depthwise_conv_plain(x, weight, bias, stride, act)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, act: str) -> None:
    if act not in ACTS:
        raise ValueError(f"act must be one of {ACTS}, got {act!r}")
    if stride not in (1, 2):
        raise ValueError(f"stride must be 1 or 2, got {stride}")
    if x.ndim != 4 or min(x.shape[1:]) == 0:
        raise ValueError(f"x must be (B, C, H, W) of pixels, got {tuple(x.shape)}")
    C = x.shape[1]
    if weight.shape != (C, 1, 3, 3) or weight.dtype != x.dtype:
        raise ValueError(
            f"weight must be ({C}, 1, 3, 3) of {x.dtype}, got {tuple(weight.shape)} of "
            f"{weight.dtype}"
        )
    if bias is not None and bias.shape != (C,):
        raise ValueError(f"bias must be ({C},), got {tuple(bias.shape)}")
