"""LayerNorm over channels and its adjoint in plain torch, in as few passes as it offers."""

from torch import Tensor

from evnas.kernels.precision import accumulation_dtype


def channel_layer_norm_cpu(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """The normalised map, in the dtype and layout of x."""
    out, rstd = _centre(x, eps)
    out.mul_(rstd)
    if weight is not None:
        out.mul_(_column(weight, out))
    if bias is not None:
        out.add_(_column(bias, out))
    return out.to(x.dtype)


def channel_layer_norm_cpu_backward(
    gy: Tensor, x: Tensor, weight: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, in its dtype and layout, and of weight and bias in accumulation dtype."""
    normal, rstd = _centre(x, eps)
    normal.mul_(rstd)
    g = gy.to(normal.dtype)
    others = [axis for axis in range(x.ndim) if axis != 1]
    product = g * normal
    g_bias, g_weight = g.sum(others), product.sum(others)
    g_normal = g if weight is None else g * _column(weight, normal)
    if weight is not None:
        product.mul_(_column(weight, normal))
    projection = product.mean(1, keepdim=True)
    gx = normal.mul_(projection).neg_().add_(g_normal).sub_(g_normal.mean(1, keepdim=True))
    return gx.mul_(rstd).to(x.dtype), g_weight, g_bias


def _centre(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x - mean in accumulation dtype and the layout of x, and 1 / sqrt(var + eps)."""
    value = x.to(accumulation_dtype(x))
    centred = value - value.mean(1, keepdim=True)
    # not vector_norm, and not var: both are ten times slower over a strided axis
    return centred, centred.square().mean(1, keepdim=True).add_(eps).rsqrt_()


def _column(vector: Tensor, like: Tensor) -> Tensor:
    return vector.to(like.dtype).view(1, -1, *([1] * (like.ndim - 2)))
