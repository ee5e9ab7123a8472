"""A linear map at each pixel with what stands around it: norm, activation, sum; for inference."""

import torch
from torch import Tensor

from evnas.errors import KernelUnavailable
from evnas.kernels.autotune_table import CallShape
from evnas.kernels.depthwise_conv import ACTS, Act
from evnas.kernels.dispatch import NO_BACKWARD, Impl, choose, implementation_in_use
from evnas.kernels.onnx_form.exporting import exporting

from .op import pixel_linear_op
from .reference import pixel_linear_plain, pixel_linear_reference


def pixel_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    total: Tensor | None = None,
    *,
    norm: bool = False,
    act: Act = "none",
    impl: Impl = "auto",
) -> Tensor:
    """total + act(weight n(x) + bias) at each pixel, n a layer norm without weights, or nothing.

    A layer norm's own weight and bias belong into `weight` and `bias`. In Triton that is one read
    of x and `total` and one write: each program normalises the pixels that it multiplies, whose
    channels come from a cache the second time. The normalised channels are rounded to the dtype
    of `weight`, as a layer norm before would have rounded them; sums are float32 and rounded once,
    at the end. "auto" is torch's own operators unless the kernel was measured to be faster.

    Args:
        x: (B, C, H, W), of any dtype where it is normalised, else of that of `weight`.
        weight: (C', C).
        bias: (C',).
        total: (B, C', H, W), dtype of `weight`, or None for nothing to be added to.
        norm: whether x is normalised over C, eps 1e-5.
        act: "gelu" is the exact one.
        impl: "auto", "reference", "cpu" (torch's own, on any device) or "triton".

    Returns:
        (B, C', H, W), dtype of `weight`; from Triton channels last where `total`, or without it x,
        is, else contiguous.

    Raises:
        ValueError: shapes or dtypes that do not fit one another, an unknown activation.
        KernelUnavailable: `impl` is "triton" and it cannot run on these tensors, or a gradient is
            asked for: it has none.
    """
    _check(x, weight, bias, total, norm, act)
    if impl == "triton" and _differentiated(x, weight, bias, total):
        raise KernelUnavailable(NO_BACKWARD)
    if impl == "auto":
        impl = "triton" if kernel_is_fastest(x, weight, bias, total) else "cpu"
    impl = choose("pixel_linear", impl, (x, weight, bias, total))
    if impl == "reference":
        return pixel_linear_reference(x, weight, bias, total, norm, act)
    if impl == "triton":
        y: Tensor = pixel_linear_op(x, weight, bias, total, norm, act)
        return y
    return pixel_linear_plain(x, weight, bias, total, norm, act)


def kernel_is_fastest(x: Tensor, weight: Tensor, bias: Tensor, total: Tensor | None) -> bool:
    """Whether "auto" is the kernel: where it was measured to be the fastest, in eager mode, with
    no gradient asked for and no autocast, which has dtypes of its own for products."""
    if not x.is_cuda or torch.compiler.is_compiling() or exporting():
        return False
    if _differentiated(x, weight, bias, total) or torch.is_autocast_enabled(x.device.type):
        return False
    work = CallShape(x.numel(), 1, training=False)
    return implementation_in_use("pixel_linear", x.device, weight.dtype, work=work) == "triton"


def _differentiated(*given: Tensor | None) -> bool:
    asked = any(t is not None and t.requires_grad for t in given)
    return (asked and torch.is_grad_enabled()) or torch._C._are_functorch_transforms_active()


def _check(
    x: Tensor, weight: Tensor, bias: Tensor, total: Tensor | None, norm: bool, act: str
) -> None:
    if act not in ACTS:
        raise ValueError(f"act must be one of {ACTS}, got {act!r}")
    if x.ndim != 4 or min(x.shape[1:]) == 0:
        raise ValueError(f"x must be (B, C, H, W) of pixels, got {tuple(x.shape)}")
    if weight.ndim != 2 or weight.shape[1] != x.shape[1] or bias.shape != weight.shape[:1]:
        raise ValueError(
            f"weight must be (C', {x.shape[1]}) and bias (C',), "
            f"got {tuple(weight.shape)} and {tuple(bias.shape)}"
        )
    if not norm and x.dtype != weight.dtype:
        raise ValueError(f"x must be {weight.dtype}, as the weight is, got {x.dtype}")
    shape = (x.shape[0], weight.shape[0], *x.shape[2:])
    if total is not None and (total.shape != shape or total.dtype != weight.dtype):
        raise ValueError(
            f"total must be {shape} of {weight.dtype}, got {tuple(total.shape)} of {total.dtype}"
        )
