"""softplus for a CPU. torch's own takes ten times as long there: its log1p is slow."""

import math

import numpy as np
import torch
from torch import Tensor

LOG2_E = math.log2(
    math.e
)  # exp(x) = exp2(x LOG2_E): torch's exp2 is four times as fast as its exp

LINEAR_ABOVE = 20.0  # where softplus(z) = z to rounding, as torch has it
FINITE_BELOW = 80.0  # where exp(z) stays well within float32


def softplus(bits: Tensor, out: Tensor) -> Tensor:
    """log(1 + exp(z)) into `out`, which is not `bits`; `bits` is z * LOG2_E.

    In float32 to a relative 2e-6 for |z| <= 30, small results too.
    """
    if _numpy_is_fast(bits) and bits.amax().item() <= FINITE_BELOW * LOG2_E:
        w = torch.exp2(bits, out=out).numpy()
        np.log1p(w, out=w)
        return out
    return _softplus_by_log(bits, out)


def _numpy_is_fast(x: Tensor) -> bool:
    """Whether numpy's log1p is vectorised: with AVX-512, where one thread beats two of torch's."""
    return x.device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _softplus_by_log(bits: Tensor, out: Tensor) -> Tensor:
    """With torch's log, and with no bound on z.

    With w = exp(z) and v = 1 + w as rounded, log(1 + w) = log(v) + (w - (v - 1)) / v: the second
    term restores what the rounding of v lost.
    """
    w = torch.clamp(bits, max=LINEAR_ABOVE * LOG2_E).exp2_()
    v = w + 1.0
    torch.sub(v, 1.0, out=out)
    w.sub_(out)
    torch.log(v, out=out)
    out.addcdiv_(w, v)
    return torch.maximum(out, torch.mul(bits, 1 / LOG2_E, out=v), out=out)


def softplus_slope(bits: Tensor, out: Tensor) -> Tensor:
    """The derivative of softplus at z, 1 / (1 + exp(-z)), into `out`; `bits` is z * LOG2_E."""
    return torch.mul(bits, 1 / LOG2_E, out=out).sigmoid_()
