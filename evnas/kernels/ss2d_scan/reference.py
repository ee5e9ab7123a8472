"""SS2D as its definition reads: gather each route, scan it in a loop, put it back. Truth only."""

import torch
from torch import Tensor

from evnas.kernels.operator_inputs import MapInputs
from evnas.kernels.precision import accumulation_dtype
from evnas.kernels.selective_scan.reference import selective_scan_reference

from .routes import scan_orders


def ss2d_scan_reference(given: MapInputs, *, scan: str, step: int = 1) -> Tensor:
    """Shapes as in `evnas.kernels.ss2d_scan.ss2d_scan`; the result has accumulation dtype."""
    u, delta, A, B, C, D, delta_bias = given
    Bt, Dm, H, W = u.shape
    acc = accumulation_dtype(u, delta, A, B, C)
    read, write = scan_orders(scan, H, W, step=step, device=u.device)
    K, S, T = read.shape

    def sequences(maps: Tensor) -> Tensor:
        """(Bt, K, R, H, W) -> (Bt*S, K, R, T), zero at padded pixels."""
        flat = maps.to(acc).flatten(3)
        per_route = [flat[:, k, :, read[k].clamp(min=0)] * (read[k] >= 0) for k in range(K)]
        rows = [r.permute(0, 2, 1, 3).flatten(0, 1) for r in per_route]  # (Bt*S, R, T)
        return torch.stack(rows, dim=1)

    x = sequences(u[:, None].expand(Bt, K, Dm, H, W)).flatten(1, 2)
    step_sizes, skip, bias = sequences(delta).flatten(1, 2), D.flatten(), delta_bias.flatten()
    found = selective_scan_reference(
        (x, step_sizes, A.flatten(0, 1), sequences(B), sequences(C), skip, bias),
        delta_softplus=True,
    )
    y = found.view(Bt, S, K, Dm, T)
    # results of padding go to a pixel of their own: to leave them out, the host would have to know
    # their number, for which a captured graph cannot wait
    merged = u.new_zeros((Bt, Dm, H * W + 1), dtype=acc)
    for k in range(K):
        values = y[:, :, k].permute(0, 2, 1, 3).flatten(2)  # (Bt, Dm, S*T)
        merged = merged.index_add(2, write[k].flatten() % (H * W + 1), values)
    return merged[..., :-1].contiguous().view(Bt, Dm, H, W)
