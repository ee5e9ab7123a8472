"""A convolution with its bias and activation, which follow it in one pass, for inference."""

from collections.abc import Sequence

from torch import Tensor

from evnas.kernels.depthwise_conv import ACTS, Act
from evnas.kernels.dispatch import Impl, choose_for_inference

from .op import dense_conv_op
from .reference import Window, dense_conv_plain, dense_conv_reference


def dense_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    groups: int = 1,
    act: Act = "none",
    impl: Impl = "auto",
) -> Tensor:
    """Convolve, add a bias, activate.

    On CUDA torch adds the bias in a pass of its own, and activates in another. By "triton" torch
    convolves without a bias, and one pass does the rest. cuDNN has a convolution with both, but
    its ReLU does not propagate NaN unless told to, which torch does not tell it. "auto" is torch's
    own unless the kernel was measured to be faster, and always where a gradient is asked for or
    within autocast.

    Args:
        x: (B, C, H, W).
        weight: (C', C / groups, kh, kw), dtype of x.
        bias: (C',), or None for none.
        stride, padding: by row and by column.
        act: "gelu" is the exact one.
        impl: "auto", "reference", "cpu" (torch's own, on any device) or "triton".

    Returns:
        (B, C', H', W'), dtype of x.

    Raises:
        ValueError: an unknown activation, a bias or dtype that does not fit.
        RuntimeError: torch's, of a convolution that cannot be.
        KernelUnavailable: `impl` is "triton" and it cannot run on these tensors, or a gradient is
            asked for: it has none.
    """
    if act not in ACTS:
        raise ValueError(f"act must be one of {ACTS}, got {act!r}")
    if weight.dtype != x.dtype:
        raise ValueError(f"weight must be of {x.dtype}, got {weight.dtype}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias must be ({weight.shape[0]},), got {tuple(bias.shape)}")
    chosen = choose_for_inference("dense_conv", impl, (x, weight, bias))
    window = Window(list(stride), list(padding), groups)
    if chosen == "reference":
        return dense_conv_reference(x, weight, bias, window, act)
    if chosen == "triton":
        y: Tensor = dense_conv_op(x, weight, bias, *window, act)
        return y
    return dense_conv_plain(x, weight, bias, window, act)
