"""LayerNorm over the channel axis of (Bt, C, ...) without moving that axis."""

from torch import Tensor

from evnas.kernels.dispatch import Impl, choose

from .op import channel_layer_norm_op
from .reference import channel_layer_norm_reference


def channel_layer_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    impl: Impl = "auto",
) -> Tensor:
    """Normalise axis 1 at every position, with the biased variance.

    Statistics are float32 (float64 for float64 x); weight and bias may be of another dtype than
    x, so autocast has nothing to cast here.

    Args:
        x: (Bt, C, *spatial), any number of spatial axes.
        weight: (C,), or None for none.
        bias: (C,), or None for none.
        eps: added to the variance.
        impl: "auto", or an implementation by name, which runs or raises.

    Returns:
        Same shape, dtype and layout as x.

    Raises:
        ValueError: shapes that do not fit one another.
        KernelUnavailable: `impl` names a kernel that cannot run on these tensors.

    Source: Layer Normalization, arXiv 1607.06450, eq. 4, over channels as in the four families.
    """
    if x.ndim < 2:
        raise ValueError(f"x must be (Bt, C, *spatial), got {tuple(x.shape)}")
    for name, vector in (("weight", weight), ("bias", bias)):
        if vector is not None and vector.shape != (x.shape[1],):
            raise ValueError(f"{name} must be ({x.shape[1]},), got {tuple(vector.shape)}")
    impl = choose("channel_layer_norm", impl, (x, weight, bias))
    if impl == "reference":
        return channel_layer_norm_reference(x, weight, bias, eps)
    y: Tensor = channel_layer_norm_op(x, weight, bias, eps, impl)
    return y
