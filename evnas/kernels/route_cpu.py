"""One route of a selective scan and its adjoint, on lines (T, Bt, Dm, M), in plain torch.

Shared by `selective_scan` and `ss2d_scan`. The states of one n at a time are formed, never all
N of them, and nothing but the inputs is kept between forward and backward.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .recurrence import Walk, block_sums, scan_, starts
from .softplus import LOG2_E, softplus


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The inputs of one route; lines are (T, Bt, Dm, M) in the accumulation dtype."""

    x: Tensor  # (T, Bt, Dm, M)
    z: Tensor  # step before softplus, bias added, (T, Bt, Dm, M)
    A: Tensor  # (Dm, N)
    B: Tensor  # (N, T, Bt, 1, M)
    C: Tensor  # (N, T, Bt, 1, M)
    D: Tensor | None  # (Dm,)
    walk: Walk
    softplus: bool = True

    def dt(self) -> Tensor:
        """The step size, (T, Bt, Dm, M)."""
        return softplus(self.z, torch.empty_like(self.z)) if self.softplus else self.z


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteGradient:
    """Gradients of the fields of a Route, of the same shapes."""

    z: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None


def route_forward(route: Route, y: Tensor) -> None:
    """Add the route's result to `y`, (T, Bt, Dm, M)."""
    dt = route.dt()
    drive = dt * route.x
    total, decay, states = block_sums(dt), torch.empty_like(dt), torch.empty_like(dt)
    for n in range(route.A.shape[1]):
        rate = route.A[:, n, None] * LOG2_E  # (Dm, 1)
        torch.mul(dt, rate, out=decay).exp2_()
        torch.mul(drive, route.B[n], out=states)
        steps = route.walk.steps
        scan_(steps(decay), steps(states), (total * rate).exp2_(), route.walk)
        y.addcmul_(states, route.C[n])
    if route.D is not None:
        y.addcmul_(route.x, route.D[:, None])


def route_backward(route: Route, gy: Tensor, gx: Tensor) -> RouteGradient:
    """Gradients of one route for `gy`, (T, Bt, Dm, M); its share of x's is added to `gx`."""
    dt = route.dt()
    drive, g_drive, g_dt = dt * route.x, torch.zeros_like(dt), torch.zeros_like(dt)
    gA, gB, gC = (torch.empty_like(p) for p in (route.A, route.B, route.C))
    sums, edge = block_sums(dt), _next_block_first(dt, route.walk)
    decay, states, costate = (torch.empty_like(dt) for _ in range(3))
    for n in range(route.A.shape[1]):
        A = route.A[:, n, None]  # (Dm, 1)
        rate = A * LOG2_E
        torch.mul(dt, rate, out=decay).exp2_()
        torch.mul(gy, route.C[n], out=costate)
        _scan_costates(decay, costate, sums, edge, rate, dt, route.walk)
        torch.mul(drive, route.B[n], out=states)
        carried = _scan_states(decay, states, (sums * rate).exp2_(), route.walk)
        gC[n] = states.mul_(gy).sum(2, keepdim=True)
        g_log_decay = carried.mul_(costate)
        g_dt.addcmul_(g_log_decay, A)
        gA[:, n] = g_log_decay.mul_(dt).sum((0, 1, 3))
        g_drive.addcmul_(costate, route.B[n])
        gB[n] = costate.mul_(drive).sum(2, keepdim=True)
    g_dt.addcmul_(g_drive, route.x)
    gx.addcmul_(g_drive, dt)
    gD = None
    if route.D is not None:
        gx.addcmul_(gy, route.D[:, None])
        gD = (gy * route.x).sum((0, 1, 3))
    gz = g_dt.mul_(torch.sigmoid(route.z)) if route.softplus else g_dt
    return RouteGradient(z=gz, A=gA, B=gB, C=gC, D=gD)


def _scan_states(decay: Tensor, states: Tensor, product: Tensor, walk: Walk) -> Tensor:
    """`scan_` on whole arrays; turns `decay` into decay * previous state, and returns it."""
    a_steps, b_steps = walk.steps(decay), walk.steps(states)
    state = starts(a_steps, b_steps, product, walk)
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
    walk: Walk,
) -> None:
    """lambda[t] = g[t] + decay[t+1] lambda[t+1], in place of g: the walk turned, decays shifted.

    The decay that enters a block is that of the first step of the block after it, whose dt is
    `edge`; the block's own first step drops out.
    """
    first_dt = walk.steps(dt)[0]
    product = ((sums - first_dt + edge) * rate).exp2_()
    entering = (edge * rate).exp2_()
    back = walk.turned()
    shifted = (entering, *back.steps(decay)[:-1])
    scan_(shifted, back.steps(costate), product, back)


def _next_block_first(dt: Tensor, walk: Walk) -> Tensor:
    """(J, ..., M): dt of the first step of the block that follows each block; 0 after the last."""
    first = walk.steps(dt)[0]  # (J, ..., M)
    following = torch.zeros_like(first)
    if walk.reverse:
        following[1:] = first[:-1]
        following[0, ..., 1:] = first[-1, ..., :-1]
    else:
        following[:-1] = first[1:]
        following[-1, ..., :-1] = first[0, ..., 1:]
    return following
