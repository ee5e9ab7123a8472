"""SS2D and ES2D in plain torch: routes that read a map along the same axis share one copy of it.

Routes by row lie as lines (K, W, Bt, Dm, H), those by column as (K, H, Bt, Dm, W): step t along
the line before the rest, so that `evnas.kernels.recurrence` advances all lines together. Work
goes through in chunks of the batch and the channels that stay in the cache, which also bounds
the memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.precision import accumulation_dtype
from evnas.kernels.recurrence import Walk
from evnas.kernels.route_cpu import Routes, RoutesGradient, routes_backward, routes_forward
from evnas.kernels.softplus import LOG2_E

CHUNK_ELEMENTS = 800_000  # of one array (K, T, Bt, Dm, M); a handful of them live at once


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


def ss2d_scan_cpu(
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
    """Shapes as in `evnas.kernels.ss2d_scan.ss2d_scan`; runs below autograd."""
    H, W = u.shape[2:]
    inputs = _Inputs.of(u, delta, A, B, C, D, delta_bias, step)
    y = torch.empty(inputs.u.shape, dtype=inputs.acc, device=u.device)
    for i, plane in enumerate(planes(scan, step)):
        for part in _chunks(u, len(plane.routes)):
            routes, spare, y_lines = inputs.routes(plane, part)
            routes_forward(routes, spare, y_lines)
            to = plane.lines(y[part])
            if step > 1 or i == 0:
                to.copy_(y_lines)
            else:
                to.add_(y_lines)
    return y[:, :, :H, :W].to(u.dtype).contiguous()


def ss2d_scan_cpu_backward(
    gy: Tensor,
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
) -> list[Tensor]:
    """Gradients of u, delta, A, B, C, D and delta_bias, each of its own shape and dtype."""
    H, W = u.shape[2:]
    inputs = _Inputs.of(u, delta, A, B, C, D, delta_bias, step)
    grads = inputs.accumulators()
    g_map = _pad(gy, step)
    for plane in planes(scan, step):
        for part in _chunks(u, len(plane.routes)):
            g = gather(plane.lines(g_map[part]), inputs.acc)
            grads.take(plane, part, routes_backward(inputs.routes(plane, part)[0], g))
    wanted = (u, delta, A, B, C, D, delta_bias)
    cropped = (
        g[..., :H, :W] if w.ndim > 3 else g for g, w in zip(grads.tensors(), wanted, strict=True)
    )
    return [g.to(w.dtype).contiguous() for g, w in zip(cropped, wanted, strict=True)]


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
    def of(
        cls,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        bias: Tensor,
        step: int,
    ) -> "_Inputs":
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

    def routes(self, plane: Plane, part: Part) -> tuple[Routes, Tensor, Tensor]:
        """A plane's routes on one chunk, its maps gathered into lines; scratch like z and x[0].

        All of it is one block of memory, which the allocator is more likely to hold ready.
        """
        rows, channels = part
        ks, K, mirrored = plane.ks, len(plane.routes), plane.mirrored
        delta = plane.lines(self.delta[rows, ks, channels]).movedim(2, 0)  # (K, T, Bt, Dm, M)
        block = delta.new_empty((3 * K + 1, *delta.shape[1:]), dtype=self.acc)
        z, spare, x, y = torch.split(block, [K, K, K, 1])
        bias = self.bias[ks, channels] * LOG2_E
        torch.add(bias[:, None, None, :, None], delta, alpha=LOG2_E, out=z)
        if not mirrored:
            x = x[:1]
        x.copy_(plane.lines(self.u[part]))
        B, C = (
            gather(plane.lines(t[rows, ks]).permute(3, 2, 0, 1, 4), self.acc)[:, :, :, :, None]
            for t in (self.B, self.C)
        )
        for k in mirrored:
            for lines in (x[k], z[k], *B[:, k], *C[:, k]):
                lines.copy_(lines.flip(0))
        routes = Routes(
            x=x,
            z=z,
            A=self.A[ks, channels],
            B=B,
            C=C,
            D=self.D[ks, channels],
            walks=plane.walks,
        )
        return routes, spare, y[0]

    def take(self, plane: Plane, part: Part, g: RoutesGradient) -> None:
        """Add the gradients of a plane's routes to these accumulators."""
        rows, channels = part
        ks = plane.ks
        self.bias[ks, channels] += g.z.sum((1, 2, 4))
        self.A[ks, channels] += g.A
        if g.D is not None:
            self.D[ks, channels] += g.D
        gB, gC = g.B.squeeze(4), g.C.squeeze(4)  # (N, K, T, Bt, M)
        for k in plane.mirrored:
            for lines in (g.x[k], g.z[k], *gB[:, k], *gC[:, k]):
                lines.copy_(lines.flip(0))
        gx = g.x[0]
        for other in g.x[1:]:
            gx += other
        plane.lines(self.u[part]).add_(gx)
        plane.lines(self.delta[rows, ks, channels]).movedim(2, 0).copy_(g.z)
        plane.lines(self.B[rows, ks]).permute(3, 2, 0, 1, 4).add_(gB)
        plane.lines(self.C[rows, ks]).permute(3, 2, 0, 1, 4).add_(gC)


def gather(view: Tensor, dtype: torch.dtype) -> Tensor:
    """A contiguous copy of a permuted view, converted on the way."""
    return torch.empty(view.shape, dtype=dtype, device=view.device).copy_(view)


def _pad(maps: Tensor, step: int) -> Tensor:
    """Zero-pad the bottom and right of (..., H, W) to multiples of step."""
    H, W = maps.shape[-2:]
    return F.pad(maps, (0, -W % step, 0, -H % step)) if H % step or W % step else maps


def _chunks(u: Tensor, routes: int) -> Iterator[Part]:
    """Slices of the batch and the channels for arrays of about CHUNK_ELEMENTS, if possible."""
    Bt, Dm, H, W = u.shape
    pixels = routes * H * W
    channels = min(Dm, max(1, CHUNK_ELEMENTS // pixels))
    images = max(1, CHUNK_ELEMENTS // (channels * pixels))
    for b in range(0, Bt, images):
        for d in range(0, Dm, channels):
            yield slice(b, b + images), slice(d, d + channels)
