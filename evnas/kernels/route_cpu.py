"""Routes of a selective scan and their adjoint, on lines (R, X, T, Bt, Dm, M), in plain torch.

Shared by `selective_scan` and `ss2d_scan`. R routes walk each of X inputs, and all of them go
through each pass together. The states of one n at a time are formed, never all N of them, and
nothing but the inputs is kept between forward and backward.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .recurrence import Walk, alike, block_sums, scan_, starts
from .softplus import LOG2_E, softplus, softplus_slope


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """The inputs of R * X routes; lines are (R, X, T, Bt, Dm, M) in the accumulation dtype."""

    x: Tensor  # like z, or (1, X, T, Bt, Dm, M) where the R routes read the same
    z: Tensor  # LOG2_E * (step before softplus, bias added), or the step
    A: Tensor  # (R, X, Dm, N)
    B: Tensor  # (N, R, X, T, Bt, 1, M)
    C: Tensor  # (N, R, X, T, Bt, 1, M)
    D: Tensor | None  # (R, X, Dm)
    walks: tuple[Walk, ...]  # of each of the R
    softplus: bool = True

    def rate(self, n: int) -> Tensor:
        """A of state n against an array of lines, (R, X, 1, 1, Dm, 1)."""
        return self.A[:, :, None, None, :, n, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesGradient:
    """Gradients of the fields of Routes, of the same shapes; of x, a share per route."""

    x: Tensor
    z: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None


def routes_forward(routes: Routes, spare: Tensor, y: Tensor) -> None:
    """The sum over R of the routes' results into `y`, (X, T, Bt, Dm, M).

    Overwrites `spare`, of the shape of z, and z itself: fresh memory costs as much as a pass.
    """
    dt, decay, N = spare, routes.z, routes.A.shape[3]
    if routes.softplus:
        softplus(routes.z, spare)
    else:
        dt, decay = routes.z, spare
    _skipped(routes, y)
    sums = block_sums(dt)
    drive, states = (dt, dt) if N == 1 else dt.new_empty((2, *dt.shape)).unbind(0)
    for n in range(N):
        rate = routes.rate(n) * LOG2_E
        torch.mul(dt, rate, out=decay).exp2_()
        if n == 0:
            torch.mul(dt, routes.x, out=drive)  # a single state's takes the place of dt
        torch.mul(drive, routes.B[n], out=states)
        product = (sums * rate).exp2_()
        for part, walk in alike(routes.walks):
            scan_(walk.steps(decay[part]), walk.steps(states[part]), product[part], walk)
        for h, C in zip(states, routes.C[n], strict=True):
            y.addcmul_(h, C)


def _skipped(routes: Routes, y: Tensor) -> None:
    """The sum of D x over R into y, (X, T, Bt, Dm, M)."""
    if routes.D is None:
        y.zero_()
    elif len(routes.x) == 1:
        torch.mul(routes.x[0], _per_channel(routes.D.sum(0)), out=y)
    else:
        torch.sum(routes.x * _per_channel(routes.D), 0, out=y)


def _per_channel(D: Tensor) -> Tensor:
    """(..., Dm) against lines: (..., 1, 1, Dm, 1)."""
    return D[..., None, None, :, None]


def routes_backward(routes: Routes, gy: Tensor) -> RoutesGradient:
    """Gradients of the routes for `gy`, (X, T, Bt, Dm, M)."""
    shape = routes.z.shape
    drive, g_drive, g_dt, decay, states, costate, step = routes.z.new_empty((7, *shape)).unbind(0)
    dt = softplus(routes.z, step) if routes.softplus else routes.z
    torch.mul(dt, routes.x, out=drive)
    gA, gB, gC = (torch.empty_like(p) for p in (routes.A, routes.B, routes.C))
    sums, edge = block_sums(dt), _next_block_first(dt, routes.walks)
    for n in range(routes.A.shape[3]):
        A = routes.rate(n)
        rate = A * LOG2_E
        torch.mul(dt, rate, out=decay).exp2_()
        torch.mul(gy, routes.C[n], out=costate)
        _scan_costates(decay, costate, sums, edge, rate, dt, routes.walks)
        torch.mul(drive, routes.B[n], out=states)
        carried = _scan_states(decay, states, (sums * rate).exp2_(), routes.walks)
        torch.sum(states.mul_(gy), 4, keepdim=True, out=gC[n])
        g_log_decay = carried.mul_(costate)
        _accumulate(g_dt, g_log_decay, A, first=n == 0)
        gA[..., n] = g_log_decay.mul_(dt).sum((2, 3, 5))
        _accumulate(g_drive, costate, routes.B[n], first=n == 0)
        torch.sum(costate.mul_(drive), 4, keepdim=True, out=gB[n])
    g_dt.addcmul_(g_drive, routes.x)
    gx, gD = g_drive.mul_(dt), None
    if routes.D is not None:
        gx.addcmul_(gy, _per_channel(routes.D))
        gD = torch.mul(gy, routes.x, out=states[: len(routes.x)]).sum((2, 3, 5))
        gD = gD.expand_as(routes.D)
    if routes.softplus:
        g_dt.mul_(softplus_slope(routes.z, states))
    return RoutesGradient(x=gx, z=g_dt, A=gA, B=gB, C=gC, D=gD)


def _accumulate(total: Tensor, a: Tensor, b: Tensor, *, first: bool) -> None:
    """total += a * b, where the first product finds no total yet."""
    if first:
        torch.mul(a, b, out=total)
    else:
        total.addcmul_(a, b)


def _scan_states(
    decay: Tensor, states: Tensor, product: Tensor, walks: tuple[Walk, ...]
) -> Tensor:
    """`scan_` on whole arrays; turns `decay` into decay * previous state, and returns it."""
    for part, walk in alike(walks):
        a_steps, b_steps = walk.steps(decay[part]), walk.steps(states[part])
        state = starts(a_steps, b_steps, product[part], walk)
        for a, b in zip(a_steps, b_steps, strict=True):
            a.mul_(state)
            state = b.add_(a)
    return decay


def _scan_costates(
    decay: Tensor,
    costate: Tensor,
    sums: Tensor,
    edge: Tensor,
    rate: Tensor,
    dt: Tensor,
    walks: tuple[Walk, ...],
) -> None:
    """lambda[t] = g[t] + decay[t+1] lambda[t+1], in place of g: the walk turned, decays shifted.

    The decay that enters a block is that of the first step of the block after it, whose dt is
    `edge`; the block's own first step drops out.
    """
    entering = (edge * rate).exp2_()
    for part, walk in alike(walks):
        first_dt = walk.steps(dt[part])[0]
        product = ((sums[part] - first_dt + edge[part]) * rate[part]).exp2_()
        back = walk.turned()
        shifted = (entering[part], *back.steps(decay[part])[:-1])
        scan_(shifted, back.steps(costate[part]), product, back)


def _next_block_first(dt: Tensor, walks: tuple[Walk, ...]) -> Tensor:
    """(R, X, J, ..., M): dt of the first step of the block that follows each; 0 after the last."""
    following = block_sums(dt).zero_()
    for part, walk in alike(walks):
        first, to = walk.steps(dt[part])[0], following[part]  # (r, X, J, ..., M)
        if walk.reverse:
            to[:, :, 1:] = first[:, :, :-1]
            to[:, :, 0, ..., 1:] = first[:, :, -1, ..., :-1]
        else:
            to[:, :, :-1] = first[:, :, 1:]
            to[:, :, -1, ..., :-1] = first[:, :, 0, ..., 1:]
    return following
