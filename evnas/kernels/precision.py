"""In which dtype the operators keep their states and sums."""

import torch
from torch import Tensor


def accumulation_dtype(*tensors: Tensor) -> torch.dtype:
    """float64 where any input is float64, else float32: no state lives in half precision."""
    for t in tensors:
        if t.dtype == torch.float64:
            return torch.float64
    return torch.float32
