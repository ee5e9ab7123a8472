"""SS2D and ES2D in an ONNX graph: every route's pixels in its order, one recurrence for all."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.onnx_form.recurrence import recurrence
from evnas.kernels.onnx_form.step_size import softplus_form
from evnas.kernels.precision import accumulation_dtype

from .cpu import Plane, planes

TO_LINES = {False: (3, 4, 0, 1, 2), True: (4, 3, 0, 1, 2)}
"""(Bt, r, R, H, W) -> (H, W, Bt, r, R), or (W, H, Bt, r, R) by column. By `permute` alone: torch's
exporter (2.14) writes other axes for a `movedim` of the last ones."""


def ss2d_scan_onnx_form(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    *,
    scan: str,
    step: int,
) -> Tensor:
    """Shapes as in `evnas.kernels.ss2d_scan.ss2d_scan`; the result has accumulation dtype."""
    acc = accumulation_dtype(u, delta, A, B, C)
    walks, (H, W) = _Walks(planes(scan, step), step), u.shape[2:]
    u, delta, B, C = (_padded(maps.to(acc), step) for maps in (u, delta, B, C))
    A, D, bias = (t.to(acc)[walks.order] for t in (A, D, delta_bias))
    x = walks.of_one(u)
    dt = softplus_form(walks.of_each(delta) + bias)
    B, C = walks.of_each(torch.cat([B, C], 2)).chunk(2, 3)
    y = recurrence(x, dt, A, B, C)
    return walks.merged(y + D * x, u)[..., :H, :W]


@dataclass(frozen=True, slots=True)
class _Walks:
    """The pixels of a map in the order of every route, and back; routes plane by plane."""

    planes: tuple[Plane, ...]
    step: int

    @property
    def order(self) -> list[int]:
        """The routes k in the order of the planes."""
        return [k for plane in self.planes for k, _, _ in plane.routes]

    def of_each(self, maps: Tensor) -> Tensor:
        """(Bt, K, R, H, W), a map a route -> (L, Bt, K, R)."""
        walked = []
        for plane in self.planes:
            own = self._walked(plane, maps[:, plane.ks] if len(self.planes) > 1 else maps)
            ahead = _ahead(plane)
            if ahead == len(plane.routes):
                walked.append(own)
            else:
                first, others = torch.split(own, [ahead, len(plane.routes) - ahead], 2)
                walked += [first, others.flip(0)]
        return torch.cat(walked, 2)

    def of_one(self, maps: Tensor) -> Tensor:
        """(Bt, R, H, W), one map for all routes -> (L, Bt, K, R)."""
        walked = []
        for plane in self.planes:
            own, ahead = self._walked(plane, maps.unsqueeze(1)), _ahead(plane)
            walked += [own] * ahead
            if ahead < len(plane.routes):
                walked += [own.flip(0)] * (len(plane.routes) - ahead)
        return torch.cat(walked, 2)

    def merged(self, y: Tensor, like: Tensor) -> Tensor:
        """(L, Bt, K, R) -> the sum of the routes at each pixel of a map like `like`."""
        routes = iter(y.unbind(2))
        own = [[next(routes) for _ in plane.routes] for plane in self.planes]
        maps = [self._joined(*pair, like) for pair in zip(self.planes, own, strict=True)]
        if self.step == 1:
            return _sum(maps)
        p = self.step
        columns = [torch.stack(maps[c * p : (c + 1) * p], 3) for c in range(p)]
        return torch.stack(columns, 5).reshape(like.shape)  # of (Bt, R, h, p, w, p)

    def _walked(self, plane: Plane, maps: Tensor) -> Tensor:
        """(Bt, r, R, H, W) -> (L, Bt, r, R), or (T, M * Bt, r, R) where lines start afresh."""
        if self.step > 1:
            row, column = plane.phase
            maps = maps[..., row :: self.step, column :: self.step]
        if _fresh(plane):
            return maps.permute(TO_LINES[not plane.by_column]).flatten(1, 2)
        return maps.permute(TO_LINES[plane.by_column]).flatten(0, 1)

    def _joined(self, plane: Plane, routes: list[Tensor], like: Tensor) -> Tensor:
        """The sum of a plane's routes as a map of its phase."""
        # what a mirrored route computes at step t belongs to the t-th pixel
        turned = zip(routes, plane.walks, strict=True)
        y = _sum([y.flip(0) if walk.reverse else y for y, walk in turned])
        Bt, R, H, W = like.shape
        if self.step > 1:
            H, W = H // self.step, W // self.step
        by_column = plane.by_column != _fresh(plane)  # steps first, or lines first
        y = y.view(W, H, Bt, R) if by_column else y.view(H, W, Bt, R)
        return y.permute(2, 3, 1, 0) if by_column else y.permute(2, 3, 0, 1)


def _ahead(plane: Plane) -> int:
    """How many of its routes walk its lines as they are; the others follow, from their ends."""
    return sum(not walk.reverse and not mirrored for _, walk, mirrored in plane.routes)


def _fresh(plane: Plane) -> bool:
    return plane.walks[0].fresh


def _sum(tensors: list[Tensor]) -> Tensor:
    return sum(tensors[1:], tensors[0])


def _padded(maps: Tensor, step: int) -> Tensor:
    """Zero-padded at the bottom and right to multiples of `step`."""
    H, W = maps.shape[-2:]
    return F.pad(maps, (0, -W % step, 0, -H % step)) if step > 1 else maps
