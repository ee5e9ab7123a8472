"""softplus as ONNX runtimes can have it exact: a few products, and one exponential."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.onnx_form.exporting import exporting

ATANH = (1.9999996802662272, 0.6667584866935254, 0.39593185675472586, 0.342036193656746)
"""2 atanh(s) / s in powers of s^2, interpolated at Chebyshev points of s^2 in [0, 1/9]; relative
error 1.7e-7."""


def softplus(z: Tensor) -> Tensor:
    """log(1 + exp(z)), to a relative 1e-6 in every runtime; torch's own unless exported.

    ONNX has a Softplus, but OpenVINO's (2026.4) is off by 2e-6 where a step is smaller than that,
    and ONNX Runtime's (1.31) takes as long as fifteen other passes over the data.
    """
    return softplus_form(z) if exporting() else F.softplus(z)


def softplus_form(z: Tensor) -> Tensor:
    """max(z, 0) + log(1 + w) with w = exp(-|z|), and log(1 + w) = 2 atanh(w / (2 + w))."""
    w = torch.exp(-z.abs())
    s = w / (w + 2.0)
    q = s * s
    series = (ATANH[3] * q + ATANH[2]) * q + ATANH[1]
    return torch.relu(z) + s * (series * q + ATANH[0])
