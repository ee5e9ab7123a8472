"""LayerNorm over the channel axis as its definition reads, in plain torch."""

from torch import Tensor

from evnas.kernels.precision import accumulation_dtype


def channel_layer_norm_reference(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """(x - mean) / sqrt(var + eps) over axis 1, biased variance, then weight and bias."""
    acc = accumulation_dtype(x)
    value = x.to(acc)
    centred = value - value.mean(1, keepdim=True)
    normal = centred / (centred.square().mean(1, keepdim=True) + eps).sqrt()
    axis = (1, -1, *([1] * (x.ndim - 2)))
    if weight is not None:
        normal = normal * weight.to(acc).view(axis)
    if bias is not None:
        normal = normal + bias.to(acc).view(axis)
    return normal.to(x.dtype)
