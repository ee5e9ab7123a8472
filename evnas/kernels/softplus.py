"""softplus for a CPU: torch's own is not vectorised there (its log1p is not), and far slower."""

import torch
from torch import Tensor

LINEAR_ABOVE = 20.0  # where softplus(z) = z to rounding, as torch has it


def softplus(z: Tensor, out: Tensor) -> Tensor:
    """log(1 + exp(z)) into `out`, to a few units in the last place for any z, small ones too.

    With w = exp(z) and v = 1 + w as rounded, log(1 + w) = log(v) + (w - (v - 1)) / v: the second
    term restores what the rounding of v lost.
    """
    w = torch.clamp(z, max=LINEAR_ABOVE).exp_()
    v = w + 1.0
    torch.sub(v, 1.0, out=out)
    w.sub_(out)
    torch.log(v, out=out)
    out.addcdiv_(w, v)
    return torch.maximum(out, z, out=out)
