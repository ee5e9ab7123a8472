"""The tensors of an operator as its implementations hand them on: one tuple, in the order of the
operator's arguments, which costs a call no more than the arguments themselves."""

from torch import Tensor

SequenceInputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]
"""x, delta, A, B, C, D and delta_bias of `evnas.kernels.selective_scan.selective_scan`."""
MapInputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""u, delta, A, B, C, D and delta_bias of `evnas.kernels.ss2d_scan.ss2d_scan`."""
LowRankMapInputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""u, low, dt_weight, A, B, C, D and delta_bias of `evnas.kernels.ss2d_scan_low_rank`."""
HsmSsdInputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor]
"""u, dt, B, C, A, Q, O and D of `evnas.kernels.hsm_ssd.hsm_ssd`."""
NcSsdInputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""v, delta, A_log, B, C and D of `evnas.kernels.nc_ssd.nc_ssd`."""
