"""The selective scan in Triton: a sequence is a map of one route, by row.

It shares the kernels of `evnas.kernels.ss2d_scan.kernel`: steps are laid out in lines of
LINE places, and a strip of lines is a contiguous run of the sequence.
"""

import triton
from torch import Tensor

from evnas.kernels.operator_inputs import SequenceInputs
from evnas.kernels.ss2d_scan.backward.kernel import TILE_ELEMENTS as BACKWARD_TILE
from evnas.kernels.ss2d_scan.backward.kernel import scan_backward
from evnas.kernels.ss2d_scan.kernel import TILE_ELEMENTS, scan_forward
from evnas.kernels.ss2d_scan.launch import Launch, plan

LINE = 64  # steps of a line


def _plan(x: Tensor, A: Tensor, B: Tensor, *, tile: int) -> Launch:
    Bt, KD, L = x.shape
    W = min(LINE, triton.next_power_of_2(L))
    return plan(
        Bt * B.shape[1], KD // B.shape[1], A.shape[1], -(-L // W), W,
        scan="sequence", step=1, L=L, tile=tile,
    )  # fmt: skip


def selective_scan_triton(given: SequenceInputs, *, delta_softplus: bool) -> Tensor:
    """Shapes as in `evnas.kernels.selective_scan.selective_scan`."""
    x, _, A, B, *_ = given
    launch = _plan(x, A, B, tile=TILE_ELEMENTS)
    return scan_forward(given, launch, groups=B.shape[1], softplus_delta=delta_softplus)


def selective_scan_triton_backward(
    gy: Tensor, given: SequenceInputs, *, delta_softplus: bool
) -> list[Tensor]:
    """Gradients of x, delta, A, B, C, then of D and delta_bias where they are given."""
    x, _, A, B, *_ = given
    launch = _plan(x, A, B, tile=BACKWARD_TILE)
    return scan_backward(gy, given, launch, groups=B.shape[1], softplus_delta=delta_softplus)
