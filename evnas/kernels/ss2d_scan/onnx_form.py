"""SS2D and ES2D in an ONNX graph: every route's pixels in its order, one recurrence for all.

Pixels become rows of channels, in one transposition. Their order along each route is found on
their numbers, and the rows follow in one Gather: few nodes, and what they copy are whole rows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.onnx_form.recurrence import recurrence, steps_at_once
from evnas.kernels.onnx_form.step_size import softplus_form
from evnas.kernels.operator_inputs import MapInputs
from evnas.kernels.precision import accumulation_dtype

from .cpu import planes
from .routes import route_count


def ss2d_scan_onnx_form(given: MapInputs, *, scan: str, step: int) -> Tensor:
    """Shapes as in `evnas.kernels.ss2d_scan.ss2d_scan`; the result has accumulation dtype."""
    u, delta, A, B, C, D, delta_bias = given
    acc, (H, W) = accumulation_dtype(u, delta, A, B, C), u.shape[2:]
    u, delta, B, C = (_padded(maps.to(acc), step) for maps in (u, delta, B, C))
    A, D, bias = (t.to(acc) for t in (A, D, delta_bias))
    states = int(A.shape[2])  # a tracer's sizes are tensors
    routes = _Routes(scan, step, u, side_by_side=states == 1)
    x, dt = routes.of_one(u), softplus_form(routes.of_each(delta) + bias)
    B, C = torch.split(routes.of_each(torch.cat([B, C], 2)), [states, states], 3)
    chunks_of = u.shape[0] if routes.side_by_side else None
    y = recurrence(x, dt, A, B, C, chunks_of=chunks_of, at_once=steps_at_once(x, A))
    return routes.merged(y + D * x)[..., :H, :W]


class _Routes:
    """The pixels of maps in the order of every route, and back.

    A route walks T steps of S sequences: T is all pixels and S is 1, unless lines start afresh, or
    a route is cut in chunks that are walked side by side, as many and as long as the map's rows.

    Args:
        like: (Bt, R, H, W), whose batch and sides are those of all maps.
        side_by_side: whether routes that do not start afresh are cut so.
    """

    def __init__(self, scan: str, step: int, like: Tensor, *, side_by_side: bool) -> None:
        self.planes, self.K, self.step = planes(scan, step), route_count(scan, step), step
        self.like = like
        self.side_by_side = side_by_side and not self.planes[0].walks[0].fresh
        self.image = torch.arange(like.shape[0]).view(-1, 1)
        self.read = self._pixels()

    def of_each(self, maps: Tensor) -> Tensor:
        """(Bt, K, R, H, W), a map a route -> (T, S * Bt, K, R)."""
        rows = maps.flatten(3).permute(3, 0, 1, 2).flatten(0, 2)  # (L * Bt * K, R)
        at = self.read * self.like.shape[0] + self.image  # (T, S, Bt, K)
        return rows[at * self.K + torch.arange(self.K)].flatten(1, 2)

    def of_one(self, map_: Tensor) -> Tensor:
        """(Bt, R, H, W), one map for all routes -> (T, S * Bt, K, R)."""
        rows = map_.flatten(2).permute(2, 0, 1).flatten(0, 1)  # (L * Bt, R)
        return rows[self.read * self.like.shape[0] + self.image].flatten(1, 2)

    def merged(self, y: Tensor) -> Tensor:
        """(T, S * Bt, K, R) -> the sum of the routes at each pixel, (Bt, R, H, W)."""
        rows = y.flatten(0, 2)  # (T * S * Bt * K, R)
        places = self._places(self.like.shape[0] * self.K).unsqueeze(1)  # (L, 1, K or 1)
        pixels = rows[places + self.image * self.K].sum(2)  # (L, Bt, R)
        return pixels.permute(1, 2, 0).view(self.like.shape)

    def _pixels(self) -> Tensor:
        """(T, S, 1, K): the number of the pixel that each route reads at a step."""
        H, W = self.like.shape[2:]
        grid, found = torch.arange(H * W).view(H, W), {}
        for plane in self.planes:
            row, column = plane.phase
            pixels = grid[row :: self.step, column :: self.step] if self.step > 1 else grid
            lines = pixels.t() if plane.by_column else pixels  # (M, T)
            steps = lines.t() if plane.walks[0].fresh else lines.reshape(-1, 1)
            for k, walk, mirrored in plane.routes:
                order = steps.flip(0) if walk.reverse or mirrored else steps
                found[k] = order.view(pixels.shape).t() if self.side_by_side else order
        return torch.stack([found[k] for k in range(self.K)], 2).unsqueeze(2)

    def _places(self, stride: int) -> Tensor:
        """(L, K), or (L, 1) where each pixel is of one route: stride * (t * S + s) + k of the
        results that belong to each pixel. What a mirrored route computes at step t belongs to the
        t-th pixel."""
        H, W = (side // self.step if self.step > 1 else side for side in self.like.shape[2:])
        numbers, found = torch.arange(H * W), {}
        if self.side_by_side:  # the t-th step of the s-th chunk has the number t * S + s
            numbers = numbers.view(W, H).t().flatten()
        numbers = numbers * stride
        for plane in self.planes:
            M, T = (W, H) if plane.by_column else (H, W)
            for k, walk, _ in plane.routes:
                place = (numbers.flip(0) if walk.reverse else numbers) + k
                lines = place.view(T, M).t() if walk.fresh else place.view(M, T)
                found[k] = lines.t() if plane.by_column else lines
        maps = [found[k] for k in range(self.K)]  # (H, W) each
        if self.step == 1:
            return torch.stack(maps, 2).flatten(0, 1)
        p = self.step
        columns = [torch.stack(maps[c * p : (c + 1) * p], 1) for c in range(p)]  # (H, p, W)
        return torch.stack(columns, 3).view(-1, 1)  # of (H, p, W, p)


def _padded(maps: Tensor, step: int) -> Tensor:
    """Zero-padded at the bottom and right to multiples of `step`."""
    H, W = maps.shape[-2:]
    return F.pad(maps, (0, -W % step, 0, -H % step)) if step > 1 else maps
