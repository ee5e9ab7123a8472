"""SS2D and ES2D in plain torch: routes that read a map along the same axis share one copy of it.

A route by row lies as lines (W, Bt, Dm, H), one by column as (H, Bt, Dm, W): step t along the
line first, so that `evnas.kernels.recurrence` advances all lines together, of all routes whose
lines are equally long. Work goes through in chunks of the batch and the channels, which bounds
the memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.operator_inputs import MapInputs
from evnas.kernels.precision import accumulation_dtype
from evnas.kernels.recurrence import Walk
from evnas.kernels.route_cpu import Routes, RoutesGradient, routes_backward, routes_forward
from evnas.kernels.softplus import LOG2_E

CHUNK_ELEMENTS = 1_600_000  # of one array (R, X, T, Bt, Dm, M); three of them live at once
CACHED_ELEMENTS = 800_000  # where each of several states comes back to the same arrays
GPU_CHUNK_ELEMENTS = 2**25
"""The same on a GPU, where a chunk costs launches: small ones took half a million a forward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Pixels that some routes walk along the same axis, seen as lines (T, ..., M)."""

    by_column: bool
    phase: tuple[int, int] = (0, 0)  # first row and column, at a stride of `step`
    step: int = 1
    routes: tuple[tuple[int, Walk, bool], ...]  # k, walk, and whether lines are read mirrored

    @property
    def ks(self) -> slice:
        """Its routes, which are evenly spaced, within an axis of all K."""
        first, last = self.routes[0][0], self.routes[-1][0]
        return slice(first, last + 1, max(1, (last - first) // max(1, len(self.routes) - 1)))

    @property
    def walks(self) -> tuple[Walk, ...]:
        """Of each route."""
        return tuple(walk for _, walk, _ in self.routes)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Places, among its routes, of those that read the lines mirrored."""
        return tuple(i for i, (_, _, mirrored) in enumerate(self.routes) if mirrored)

    def lines(self, maps: Tensor) -> Tensor:
        """(..., Hp, Wp) -> a view (T, ..., M) of this plane's pixels; Hp, Wp multiples of step."""
        row, col = self.phase
        pixels = maps[..., row :: self.step, col :: self.step]
        if not self.by_column:
            pixels = pixels.transpose(-1, -2)
        return pixels.movedim(-2, 0)


def planes(scan: str, step: int) -> tuple[Plane, ...]:
    """The planes of a scan, with the routes of each."""
    ahead, back, fresh = Walk(), Walk(reverse=True), Walk(fresh=True)
    if scan == "atrous":
        return tuple(
            Plane(
                by_column=k % 2 == 1,
                phase=(k % step, k // step),
                step=step,
                routes=((k, ahead, False),),
            )
            for k in range(step * step)
        )
    if scan in ("rows", "cols"):
        both = ((0, fresh, False), (1, fresh, True))
        return (Plane(by_column=scan == "cols", routes=both),)
    if scan == "cross":
        by_row = Plane(by_column=False, routes=((0, ahead, False), (2, back, False)))
        return by_row, Plane(by_column=True, routes=((1, ahead, False), (3, back, False)))
    late = back if scan == "bidi" else ahead
    walks = (ahead, ahead, late, late)
    return (Plane(by_column=False, routes=tuple((k, w, False) for k, w in enumerate(walks))),)


def alike(walked: tuple[Plane, ...], H: int, W: int) -> list[list[Plane]]:
    """The planes of an (H, W) map in groups whose lines have one shape and walk alike."""
    groups: dict[object, list[Plane]] = {}
    for plane in walked:
        shape = (H, W) if plane.by_column else (W, H)
        groups.setdefault((shape, plane.walks, plane.mirrored), []).append(plane)
    return list(groups.values())


def ss2d_scan_cpu(given: MapInputs, *, scan: str, step: int) -> Tensor:
    """Shapes as in `evnas.kernels.ss2d_scan.ss2d_scan`; runs below autograd."""
    u, A = given[0], given[2]
    H, W = u.shape[2:]
    inputs = _Inputs.of(given, step)
    y, walked = torch.empty_like(inputs.u, dtype=inputs.acc), planes(scan, step)
    for group in alike(walked, *inputs.u.shape[2:]):
        for part in _chunks(u, sum(len(p.routes) for p in group), A.shape[2]):
            routes, spare, y_lines = inputs.routes(group, part)
            routes_forward(routes, spare, y_lines)
            for plane, lines in zip(group, y_lines, strict=True):
                to = plane.lines(y[part])
                if step > 1 or plane == walked[0]:  # the first to come to these pixels
                    to.copy_(lines)
                else:
                    to.add_(lines)
    return y[:, :, :H, :W].contiguous()


def ss2d_scan_cpu_backward(gy: Tensor, given: MapInputs, *, scan: str, step: int) -> list[Tensor]:
    """Gradients of u, delta, A, B, C, D and delta_bias, each of its own shape and dtype."""
    u, A = given[0], given[2]
    H, W = u.shape[2:]
    inputs = _Inputs.of(given, step)
    grads = inputs.accumulators()
    g_map = _pad(gy, step)
    for plane in planes(scan, step):
        for part in _chunks(u, 2 * len(plane.routes), A.shape[2]):
            g = gather(plane.lines(g_map[part]), inputs.acc)[None]
            grads.take(plane, part, routes_backward(inputs.routes([plane], part)[0], g))
    cropped = (
        g[..., :H, :W] if w.ndim > 3 else g for g, w in zip(grads.tensors(), given, strict=True)
    )
    return [g.to(w.dtype).contiguous() for g, w in zip(cropped, given, strict=True)]


Part = tuple[slice, slice]  # of the batch and of the channels


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The arguments, padded; or accumulators of the same shapes for their gradients."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    bias: Tensor
    acc: torch.dtype

    @classmethod
    def of(cls, given: MapInputs, step: int) -> "_Inputs":
        u, delta, A, B, C, D, bias = given
        acc = accumulation_dtype(u, delta, A, B, C)
        u, delta, B, C = (_pad(t, step) for t in (u, delta, B, C))
        return cls(u, delta, A.to(acc), B, C, D.to(acc), bias.to(acc), acc)

    def accumulators(self) -> "_Inputs":
        """Zeros of the same shapes; delta's are written once and keep its dtype."""
        sums = (torch.zeros_like(t, dtype=self.acc) for t in self.tensors())
        u, _, A, B, C, D, bias = sums
        return _Inputs(u, torch.zeros_like(self.delta), A, B, C, D, bias, self.acc)

    def tensors(self) -> tuple[Tensor, ...]:
        return self.u, self.delta, self.A, self.B, self.C, self.D, self.bias

    def routes(self, group: list[Plane], part: Part) -> tuple[Routes, Tensor, Tensor]:
        """The routes of planes on one chunk, gathered into lines; scratch like z and like y.

        The large arrays are one block of memory: allocators hold that ready sooner than several.
        """
        rows, channels = part
        R, X, mirrored = len(group[0].routes), len(group), group[0].mirrored
        first = group[0].lines(self.u[part])  # (T, Bt, Dm, M)
        block = first.new_empty((3 * R + 1, X, *first.shape), dtype=self.acc)
        z, spare, x, y = torch.split(block, [R, R, R, 1])
        x = x if mirrored else x[:1]
        B, C = (
            t.new_empty((self.A.shape[2], R, X, first.shape[0], first.shape[1], 1, first.shape[3]))
            for t in (self.A, self.A)
        )
        for i, plane in enumerate(group):
            bias = self.bias[plane.ks, channels] * LOG2_E
            delta = plane.lines(self.delta[rows, plane.ks, channels]).movedim(2, 0)
            torch.add(bias[:, None, None, :, None], delta, alpha=LOG2_E, out=z[:, i])
            x[:, i].copy_(plane.lines(self.u[part]))
            for to, maps in ((B, self.B), (C, self.C)):
                lines = plane.lines(maps[rows, plane.ks])  # (T, Bt, R, N, M)
                to[:, :, i, :, :, 0].copy_(lines.permute(3, 2, 0, 1, 4))
        for r in mirrored:
            for lines in (*x[r], *z[r], *B[:, r].flatten(0, 1), *C[:, r].flatten(0, 1)):
                lines.copy_(lines.flip(0))
        A, D = (
            torch.stack([t[plane.ks, channels] for plane in group], 1) for t in (self.A, self.D)
        )
        routes = Routes(x=x, z=z, A=A, B=B, C=C, D=D, walks=group[0].walks)
        return routes, spare, y[0]

    def take(self, plane: Plane, part: Part, g: RoutesGradient) -> None:
        """Add the gradients of a plane's routes to these accumulators."""
        rows, channels = part
        ks = plane.ks
        self.bias[ks, channels] += g.z.sum((1, 2, 3, 5))
        self.A[ks, channels] += g.A[:, 0]
        if g.D is not None:
            self.D[ks, channels] += g.D[:, 0]
        gx, gz = g.x[:, 0], g.z[:, 0]  # (R, T, Bt, Dm, M)
        gB, gC = (t[:, :, 0].squeeze(4) for t in (g.B, g.C))  # (N, R, T, Bt, M)
        for r in plane.mirrored:
            for lines in (gx[r], gz[r], *gB[:, r], *gC[:, r]):
                lines.copy_(lines.flip(0))
        for other in gx[1:]:
            gx[0] += other
        plane.lines(self.u[part]).add_(gx[0])
        plane.lines(self.delta[rows, ks, channels]).movedim(2, 0).copy_(gz)
        plane.lines(self.B[rows, ks]).permute(3, 2, 0, 1, 4).add_(gB)
        plane.lines(self.C[rows, ks]).permute(3, 2, 0, 1, 4).add_(gC)


def gather(view: Tensor, dtype: torch.dtype) -> Tensor:
    """A contiguous copy of a permuted view, converted on the way."""
    return torch.empty(view.shape, dtype=dtype, device=view.device).copy_(view)


def _pad(maps: Tensor, step: int) -> Tensor:
    """Zero-pad the bottom and right of (..., H, W) to multiples of step."""
    H, W = maps.shape[-2:]
    return F.pad(maps, (0, -W % step, 0, -H % step)) if H % step or W % step else maps


def _chunks(u: Tensor, routes: int, states: int) -> Iterator[Part]:
    """Slices of the batch and the channels for arrays of a bounded size, if possible."""
    Bt, Dm, H, W = u.shape
    pixels = routes * H * W
    elements = CHUNK_ELEMENTS if states == 1 else CACHED_ELEMENTS
    if u.is_cuda:
        elements = GPU_CHUNK_ELEMENTS
    parts = -(-Dm * pixels // elements)
    channels = -(-Dm // min(Dm, parts))
    images = max(1, elements // (channels * pixels))
    for b in range(0, Bt, images):
        for d in range(0, Dm, channels):
            yield slice(b, b + images), slice(d, d + channels)
