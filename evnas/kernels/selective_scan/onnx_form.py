"""The selective scan in an ONNX graph: steps come first, channels last."""

from torch import Tensor

from evnas.kernels.onnx_form.recurrence import recurrence
from evnas.kernels.operator_inputs import SequenceInputs
from evnas.kernels.precision import accumulation_dtype


def selective_scan_onnx_form(given: SequenceInputs, *, delta_softplus: bool) -> Tensor:
    """Shapes as in `evnas.kernels.selective_scan.selective_scan`; in accumulation dtype."""
    x, delta, A, B, C, D, delta_bias = given
    acc, L = accumulation_dtype(x, delta, A, B, C), x.shape[2]
    K, Dm, N = _whole(B.shape[1], x.shape[1] // B.shape[1], B.shape[2])

    def first(sequences: Tensor, width: int) -> Tensor:
        """(Bt, K * width, L) -> (L, K, Bt, width)."""
        return sequences.to(acc).reshape(-1, K, width, L).permute(3, 1, 0, 2)

    def of_routes(vectors: Tensor | None) -> Tensor | None:
        return None if vectors is None else vectors.to(acc).view(K, Dm)

    y = recurrence(
        first(x, Dm),
        first(delta, Dm),
        A.to(acc).view(K, Dm, N),
        *(m.to(acc).permute(3, 1, 0, 2) for m in (B, C)),
        dt_weight=None,
        bias=of_routes(delta_bias),
        skip=of_routes(D),
        softplus=delta_softplus,
    )
    return y.permute(2, 1, 3, 0).flatten(1, 2)


def _whole(*sizes: int) -> tuple[int, ...]:
    """Sizes that parameters fix, as numbers: a tracer's are tensors."""
    return tuple(int(size) for size in sizes)
