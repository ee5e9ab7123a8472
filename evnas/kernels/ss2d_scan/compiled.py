"""SS2D and ES2D on a CPU by the loops that numba compiles: maps stay in pixel order."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.numba_scan.layout import BY_COLUMN, FRESH, MIRRORED, REVERSE
from evnas.kernels.numba_scan.scan import Maps, scan_backward, scan_forward
from evnas.kernels.operator_inputs import MapInputs

# Results of route 1 of "rows" and "cols" are not flipped back: step t goes to the t-th pixel.
TURNED = FRESH | REVERSE | MIRRORED
WALKS = {
    "unidi": (0, 0, 0, 0),
    "bidi": (0, 0, REVERSE, REVERSE),
    "cross": (0, BY_COLUMN, REVERSE, BY_COLUMN | REVERSE),
    "rows": (FRESH, TURNED),
    "cols": (BY_COLUMN | FRESH, BY_COLUMN | TURNED),
}


def ss2d_scan_compiled(given: MapInputs, *, scan: str, step: int) -> Tensor:
    """Shapes as in `evnas.kernels.ss2d_scan.ss2d_scan`; runs below autograd."""
    if scan != "atrous":
        return scan_forward(Maps(*given, WALKS[scan]))
    y = scan_forward(_phases(given, step))
    return _joined(y, given[0], step).contiguous()


def ss2d_scan_compiled_backward(
    gy: Tensor, given: MapInputs, *, scan: str, step: int
) -> list[Tensor]:
    """Gradients of u, delta, A, B, C, D and delta_bias, each of its own shape and dtype."""
    if scan != "atrous":
        grads = scan_backward(Maps(*given, WALKS[scan]), gy)
    else:
        grads = scan_backward(_phases(given, step), _split(gy, step).flatten(0, 1))
        grads[0] = _joined(grads[0], given[0], step)
        for i in (1, 3, 4):
            grads[i] = _spread(grads[i], given[i], step)
    return [g.to(t.dtype).contiguous() for g, t in zip(grads, given, strict=True)]


def _phases(given: MapInputs, step: int) -> Maps:
    """Each phase of an atrous scan as an image of its own, (Bt * step^2, R, H/step, W/step)."""
    u, delta, A, B, C, D, bias = given
    walks = tuple(BY_COLUMN if k % 2 else 0 for k in range(step * step))
    maps = _split(u, step).flatten(0, 1)
    delta, B, C = (_own(t, step).flatten(0, 1)[:, None] for t in (delta, B, C))
    return Maps(maps, delta, A, B, C, D, bias, walks)


def _split(maps: Tensor, step: int) -> Tensor:
    """(Bt, R, H, W) -> (Bt, step^2, R, H/step, W/step), zero-padded: the phases of `routes`."""
    phases = F.pixel_unshuffle(_padded(maps, step), step)  # (Bt, R * row * col, H', W')
    Bt, R = maps.shape[:2]
    parted = phases.view(Bt, R, step, step, *phases.shape[2:])
    return parted.permute(0, 3, 2, 1, 4, 5).flatten(1, 2)  # k = col * step + row


def _own(maps: Tensor, step: int) -> Tensor:
    """(Bt, step^2, R, H, W) -> (Bt, step^2, R, H/step, W/step): each route at its own phase."""
    padded = _padded(maps, step)
    return torch.stack(
        [padded[:, k, :, k % step :: step, k // step :: step] for k in range(step * step)], 1
    )


def _joined(phases: Tensor, like: Tensor, step: int) -> Tensor:
    """The adjoint of `_split`: (Bt * step^2, R, H/step, W/step) -> (Bt, R, H, W)."""
    Bt, R, H, W = like.shape
    parted = phases.view(Bt, step, step, R, *phases.shape[2:]).permute(0, 3, 2, 1, 4, 5)
    return F.pixel_shuffle(parted.flatten(1, 3), step)[..., :H, :W]


def _spread(own: Tensor, like: Tensor, step: int) -> Tensor:
    """The adjoint of `_own`: zero in the pixels of other phases."""
    maps = own.new_zeros(_padded(like, step).shape)
    parts = own.view(like.shape[0], step * step, *own.shape[2:])
    for k in range(step * step):
        maps[:, k, :, k % step :: step, k // step :: step] = parts[:, k]
    return maps[..., : like.shape[-2], : like.shape[-1]]


def _padded(maps: Tensor, step: int) -> Tensor:
    H, W = maps.shape[-2:]
    return F.pad(maps, (0, -W % step, 0, -H % step)) if H % step or W % step else maps
