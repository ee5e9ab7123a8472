"""Products of matrices on whichever CPU library multiplies faster."""

import torch
from torch import Tensor

LEAST_FOR_ONEDNN = 2**20
"""Multiply-adds of an image's product: for less, what a call costs is more than what it saves."""


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, contiguous; (Bt, M, K) by (Bt, K, N), of one dtype.

    Large ones in float32 on a CPU with AVX-512 by oneDNN, image by image: where the BLAS library
    stays at AVX2 (on AMD's processors) oneDNN takes half of its time. Without AVX-512 oneDNN is
    the slower one, by up to 30 times for small matrices. Called within operators alone, where
    neither autograd nor a compiler looks.
    """
    work = a.shape[1] * a.shape[2] * b.shape[2]
    if work < LEAST_FOR_ONEDNN or not _onednn(a, b):
        return a @ b
    if len(a) == 1:
        return _one(a[0], b[0])[None]
    out = a.new_empty((len(a), a.shape[1], b.shape[2]))
    for image, rows, columns in zip(out, a, b, strict=True):
        image.copy_(_one(rows, columns))
    return out


def linear(rows: Tensor, weight: Tensor) -> Tensor:
    """rows @ weight.T, contiguous; (M, K) by (N, K), of one dtype; in float32 with AVX-512
    by oneDNN, which there has two to nine times BLAS's speed for the few rows of hidden states."""
    if not _onednn(rows, weight):
        return rows @ weight.T
    found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, None, "none", [], "")
    return found


def _one(rows: Tensor, columns: Tensor) -> Tensor:
    return linear(rows, columns.T)


def _onednn(a: Tensor, b: Tensor) -> bool:
    return (
        a.device.type == "cpu"
        and a.dtype == b.dtype == torch.float32
        and min(*a.shape, *b.shape) > 0
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and torch._C._has_mkldnn
        and bool(torch.backends.mkldnn.enabled)
    )
