"""SS2D and ES2D in an ONNX graph: every route's pixels in its order, one recurrence for all.

Pixels become rows of channels, in one transposition. Their order along each route is found on
their numbers, and the rows follow in one Gather: few nodes, and what they copy are whole rows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.onnx_form.recurrence import recurrence, wants_chunks
from evnas.kernels.operator_inputs import MapInputs
from evnas.kernels.precision import accumulation_dtype

from .cpu import planes
from .routes import route_count


def ss2d_scan_onnx_form(
    given: MapInputs, *, scan: str, step: int, dt_weight: Tensor | None = None
) -> Tensor:
    """Shapes as in `evnas.kernels.ss2d_scan.ss2d_scan`; the result has accumulation dtype.

    With `dt_weight` (K, Dm, R) the step sizes are its product with (Bt, K, R, H, W), which stands
    in delta's place: what comes into the routes' order is then that much smaller.
    """
    u, delta, A, B, C, D, delta_bias = given
    acc, (H, W) = accumulation_dtype(u, delta, A, B, C), u.shape[2:]
    u, delta, B, C = (_padded(maps.to(acc), step) for maps in (u, delta, B, C))
    A, D, bias = (t.to(acc) for t in (A, D, delta_bias))
    states = int(A.shape[2])  # a tracer's sizes are tensors
    routes = _Routes(scan, step, u, side_by_side=wants_chunks(u.shape[0], A))
    B, C = torch.split(routes.of_each(torch.cat([B, C], 2)), [states, states], 3)
    y = recurrence(
        routes.of_one(u),
        routes.of_each(delta),
        A,
        B,
        C,
        dt_weight=None if dt_weight is None else dt_weight.to(acc),
        bias=bias,
        skip=D,
        softplus=True,
        chunks_of=u.shape[0] if routes.side_by_side else None,
    )
    return routes.merged(y)[..., :H, :W]


def es2d_scan_onnx_form(
    u: Tensor,
    x_proj: Tensor,
    dt_weight: Tensor,
    A: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    *,
    step: int,
) -> Tensor:
    """ES2D with its projections. Its routes have each pixel once: rows come into their order first
    and then are projected, and no map is taken to pieces.

    Args:
        u: (Bt, Dm, H, W), of sides that `step` divides.
        x_proj: (K, R + 2 N, Dm), to the step's factor, B and C.
        dt_weight: (K, Dm, R).
        A: (K, Dm, N).
        D, delta_bias: (K, Dm).
    """
    acc = accumulation_dtype(u, A)
    u, x_proj, dt_weight, A, D, bias = (
        t.to(acc) for t in (u, x_proj, dt_weight, A, D, delta_bias)
    )
    states, rank = int(A.shape[2]), int(dt_weight.shape[2])  # a tracer's sizes are tensors
    routes = _Routes("atrous", step, u, side_by_side=wants_chunks(u.shape[0], A))
    x = routes.of_one(u)
    low, B, C = torch.split(x @ x_proj.transpose(1, 2), [rank, states, states], 3)
    y = recurrence(
        x,
        low,
        A,
        B,
        C,
        dt_weight=dt_weight,
        bias=bias,
        skip=D,
        softplus=True,
        chunks_of=u.shape[0] if routes.side_by_side else None,
    )
    return routes.merged(y)


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
        self.image = torch.arange(like.shape[0])
        self.read = self._pixels()

    def of_each(self, maps: Tensor) -> Tensor:
        """(Bt, K, R, H, W), a map a route -> (T, K, S * Bt, R)."""
        rows = maps.flatten(3).permute(3, 0, 1, 2).flatten(0, 2)  # (L * Bt * K, R)
        at = self.read * self.like.shape[0] + self.image  # (T, K, S, Bt)
        return rows[at * self.K + torch.arange(self.K).view(-1, 1, 1)].flatten(2, 3)

    def of_one(self, map_: Tensor) -> Tensor:
        """(Bt, R, H, W), one map for all routes -> (T, K, S * Bt, R)."""
        rows = map_.flatten(2).permute(2, 0, 1).flatten(0, 1)  # (L * Bt, R)
        return rows[self.read * self.like.shape[0] + self.image].flatten(2, 3)

    def merged(self, y: Tensor) -> Tensor:
        """(T, K, S * Bt, R) -> the sum of the routes at each pixel, (Bt, R, H, W)."""
        rows, images = y.flatten(0, 2), self.like.shape[0]  # (T * K * S * Bt, R)
        places = self._places().unsqueeze(1)  # (L, 1, K or 1)
        pixels = rows[places * images + self.image.view(-1, 1)].sum(2)  # (L, Bt, R)
        return pixels.permute(1, 2, 0).view(self.like.shape)

    def _pixels(self) -> Tensor:
        """(T, K, S, 1): the number of the pixel that each route reads at a step."""
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
        return torch.stack([found[k] for k in range(self.K)], 1).unsqueeze(3)

    def _places(self) -> Tensor:
        """(L, K), or (L, 1) where each pixel is of one route: (t * K + k) * S + s of the result
        that belongs to each pixel. What a mirrored route computes at step t belongs to the t-th
        pixel."""
        H, W = (side // self.step if self.step > 1 else side for side in self.like.shape[2:])
        numbers, found = torch.arange(H * W), {}  # t * S + s
        if self.side_by_side:
            numbers = numbers.view(W, H).t().flatten()
        S = self.read.shape[2]
        numbers = numbers // S * (self.K * S) + numbers % S
        for plane in self.planes:
            M, T = (W, H) if plane.by_column else (H, W)
            for k, walk, _ in plane.routes:
                place = (numbers.flip(0) if walk.reverse else numbers) + k * S
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
