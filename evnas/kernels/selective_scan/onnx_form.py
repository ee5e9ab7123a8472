"""The selective scan in an ONNX graph: steps come first, channels last."""

from torch import Tensor

from evnas.kernels.onnx_form.recurrence import recurrence, steps_at_once
from evnas.kernels.onnx_form.step_size import softplus_form
from evnas.kernels.operator_inputs import SequenceInputs
from evnas.kernels.precision import accumulation_dtype


def selective_scan_onnx_form(given: SequenceInputs, *, delta_softplus: bool) -> Tensor:
    """Shapes as in `evnas.kernels.selective_scan.selective_scan`; in accumulation dtype."""
    x, delta, A, B, C, D, delta_bias = given
    acc, L = accumulation_dtype(x, delta, A, B, C), x.shape[2]
    K, Dm, N = _whole(B.shape[1], x.shape[1] // B.shape[1], B.shape[2])

    def first(sequences: Tensor, width: int) -> Tensor:
        """(Bt, K * width, L) -> (L, Bt, K, width)."""
        return sequences.to(acc).reshape(-1, K, width, L).permute(3, 0, 1, 2)

    value, dt = first(x, Dm), first(delta, Dm)
    if delta_bias is not None:
        dt = dt + delta_bias.to(acc).view(K, Dm)
    if delta_softplus:
        dt = softplus_form(dt)
    matrices = (m.to(acc).permute(3, 0, 1, 2) for m in (B, C))
    A = A.to(acc).view(K, Dm, N)
    y = recurrence(value, dt, A, *matrices, at_once=steps_at_once(value, A))
    if D is not None:
        y = y + D.to(acc).view(K, Dm) * value
    return y.permute(1, 2, 3, 0).flatten(1, 2)


def _whole(*sizes: int) -> tuple[int, ...]:
    """Sizes that parameters fix, as numbers: a tracer's are tensors."""
    return tuple(int(size) for size in sizes)
