"""SS2D and ES2D in plain torch: routes that read a map along the same axis share one copy of it.

A route by row lies as lines (W, Bt, Dm, H), one by column as (H, Bt, Dm, W): step t along the
line first, so that `evnas.kernels.recurrence` advances all lines together. Work goes through in
chunks of the batch and the channels that stay in the cache, which also bounds the memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.precision import accumulation_dtype
from evnas.kernels.recurrence import Walk
from evnas.kernels.route_cpu import Route, RouteGradient, route_backward, route_forward

CHUNK_ELEMENTS = 400_000  # of one array (T, Bt, Dm, M); a handful of them live at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Pixels that some routes walk along the same axis, seen as lines (T, Bt, Dm, M)."""

    by_column: bool
    phase: tuple[int, int] = (0, 0)  # first row and column, at a stride of `step`
    step: int = 1
    routes: tuple[tuple[int, Walk, bool], ...]  # k, walk, and whether lines are read mirrored

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
    y = torch.zeros_like(inputs.u, dtype=inputs.acc)
    for plane in planes(scan, step):
        for part in _chunks(u):
            x = gather(plane.lines(inputs.u[part]), y.dtype)
            y_lines = torch.zeros_like(x)
            for k, walk, mirrored in plane.routes:
                route_forward(inputs.route(plane, part, k, walk, mirrored, x), y_lines)
            plane.lines(y[part]).add_(y_lines)
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
        for part in _chunks(u):
            x = gather(plane.lines(inputs.u[part]), inputs.acc)
            g, gx = gather(plane.lines(g_map[part]), inputs.acc), torch.zeros_like(x)
            for k, walk, mirrored in plane.routes:
                route = inputs.route(plane, part, k, walk, mirrored, x)
                gx_route = torch.zeros_like(gx) if mirrored else gx
                grads.take(plane, part, k, mirrored, route_backward(route, g, gx_route))
                if mirrored:
                    gx += gx_route.flip(0)
            plane.lines(grads.u[part]).add_(gx)
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

    def route(
        self, plane: Plane, part: Part, k: int, walk: Walk, mirrored: bool, x: Tensor
    ) -> Route:
        """Route k on one chunk, its maps gathered into lines."""
        rows, channels = part
        z = plane.lines(self.delta[rows, k, channels])
        B, C = (
            gather(plane.lines(t[rows, k]).permute(2, 0, 1, 3), self.acc)[:, :, :, None]
            for t in (self.B, self.C)
        )
        if mirrored:
            x, z, B, C = x.flip(0), z.flip(0), B.flip(1), C.flip(1)
        return Route(
            x=x,
            z=torch.add(z, self.bias[k, channels, None], out=torch.empty_like(x)),
            A=self.A[k, channels],
            B=B,
            C=C,
            D=self.D[k, channels],
            walk=walk,
        )

    def take(self, plane: Plane, part: Part, k: int, mirrored: bool, g: RouteGradient) -> None:
        """Add a route's gradients to these accumulators."""
        rows, channels = part
        gz, gB, gC = g.z, g.B.squeeze(3), g.C.squeeze(3)
        self.bias[k, channels] += gz.sum((0, 1, 3))
        self.A[k, channels] += g.A
        if g.D is not None:
            self.D[k, channels] += g.D
        if mirrored:
            gz, gB, gC = gz.flip(0), gB.flip(1), gC.flip(1)
        plane.lines(self.delta[rows, k, channels]).copy_(gz)
        plane.lines(self.B[rows, k]).add_(gB.permute(1, 2, 0, 3))
        plane.lines(self.C[rows, k]).add_(gC.permute(1, 2, 0, 3))


def gather(view: Tensor, dtype: torch.dtype) -> Tensor:
    """A contiguous copy of a permuted view, converted on the way."""
    return torch.empty(view.shape, dtype=dtype, device=view.device).copy_(view)


def _pad(maps: Tensor, step: int) -> Tensor:
    """Zero-pad the bottom and right of (..., H, W) to multiples of step."""
    H, W = maps.shape[-2:]
    return F.pad(maps, (0, -W % step, 0, -H % step)) if H % step or W % step else maps


def _chunks(u: Tensor) -> Iterator[Part]:
    """Slices of the batch and the channels of at most CHUNK_ELEMENTS elements, if possible."""
    Bt, Dm, H, W = u.shape
    channels = min(Dm, max(1, CHUNK_ELEMENTS // (H * W)))
    images = max(1, CHUNK_ELEMENTS // (channels * H * W))
    for b in range(0, Bt, images):
        for d in range(0, Dm, channels):
            yield slice(b, b + images), slice(d, d + channels)
