"""The selective scan on a CPU by the loops that numba compiles: a sequence is a map of one row."""

from torch import Tensor

from evnas.kernels.numba_scan.scan import Maps, scan_backward, scan_forward
from evnas.kernels.operator_inputs import SequenceInputs


def selective_scan_compiled(given: SequenceInputs, *, delta_softplus: bool) -> Tensor:
    """Shapes as in `evnas.kernels.selective_scan.selective_scan`; runs below autograd."""
    return scan_forward(_maps(given, delta_softplus)).view(given[0].shape)


def selective_scan_compiled_backward(
    gy: Tensor, given: SequenceInputs, *, delta_softplus: bool
) -> list[Tensor]:
    """Gradients of x, delta, A, B, C, then of D and delta_bias where they are given."""
    maps = _maps(given, delta_softplus)
    grads = scan_backward(maps, gy.reshape(maps.u.shape))
    return [
        g.reshape(t.shape).to(t.dtype) for g, t in zip(grads, given, strict=True) if t is not None
    ]


def _maps(given: SequenceInputs, softplus: bool) -> Maps:
    """Each group of an image as an image of its own, (Bt * K, Dm, 1, L), with its parameters."""
    x, delta, A, B, C, D, bias = given
    (Bt, KD, L), (K, N) = x.shape, B.shape[1:3]
    Dm = KD // K
    zeros = A.new_zeros(KD)
    return Maps(
        x.reshape(Bt * K, Dm, 1, L),
        delta.reshape(Bt * K, 1, Dm, 1, L),
        A.reshape(K, Dm, N),
        B.reshape(Bt * K, 1, N, 1, L),
        C.reshape(Bt * K, 1, N, 1, L),
        (zeros if D is None else D).reshape(K, Dm),
        (zeros if bias is None else bias).reshape(K, Dm),
        (0,) * K,
        softplus,
    )
