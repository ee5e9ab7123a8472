"""The adjoint of the scan of one state over a whole map held in registers, in Triton.

A program takes some channels of one image, BD at a time, in the patches of `..kernel`, route after
route. With g the gradient of y, walked backwards, mu[t] = a[t] (C[t] g[t] + mu[t+1]): what a step
hands to the one before it. So a segment of the walk is (P, h, m): it takes a state s to P s + h
and a mu that comes from behind it to P mu + m, with the same P, and m is the sum of C g times the
decays from the segment's start. One pass over a patch sums it up, one chain over the patches gives
each its state and its mu, and a second pass, from its last step to its first, gives all gradients:

    lambda[t] = C[t] g[t] + mu[t+1]      gB = lambda dt u      gC = h g      gu = lambda dt B
    d log a[t] = lambda[t] a[t] h[t-1]   gdt = lambda u B + A (d log a)      gA = sum dt (d log a)

Nothing is added by atomics. B and C are summed over a program's channels in its registers, over
programs by a sum afterwards; so bits repeat. In base 2 as in `..kernel`: states lack ln 2.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from evnas.kernels.operator_inputs import MapInputs

from ...backward.kernel import ss2d_scan_triton_backward
from ...launch import Patches, adjoint_patches, by_route
from ...recurrence.kernel import (
    along_line,
    at_end,
    before,
    inclusive,
    line_states,
    places,
    put,
    softplus2,
    take,
)
from ..kernel import LN_2, LOG2_E, held_places, in_order

CHANNELS = 8
"""Of a program, whose sums for B and C are one part. More are fewer parts to write, and more of
u, gu and the gradient of y between one route and the next, which a cache has to hold."""


@triton.jit
def _add3(a, b, c, d, e, f):
    return a + d, b + e, c + f


@triton.jit
def _both_ways(P, h, m, REVERSE: tl.constexpr):
    """Across warps: (P, h) before each place of G2, (P, m) behind it, (P, h, m) of them all."""
    G2: tl.constexpr = P.shape[1]
    at = places(P, 1)
    one, zero = tl.full(P.shape, 1.0, tl.float32), tl.zeros(P.shape, tl.float32)
    P_before, h_before, P_behind, m_behind = one, zero, one, zero
    P_all, h_all, m_all = P, h, m
    if G2 > 1:
        P_all, h_all, m_all = one, zero, zero
        Ps, ms = (), ()
        for n in tl.static_range(G2):
            here = at == (G2 - 1 - n if REVERSE else n)
            parts = (tl.where(here, P, 0.0), tl.where(here, h, 0.0), tl.where(here, m, 0.0))
            P_i, h_i, m_i = tl.reduce(parts, 1, _add3, keep_dims=True)
            P_before = tl.where(here, P_all, P_before)
            h_before = tl.where(here, h_all, h_before)
            P_all, h_all = P_i * P_all, P_i * h_all + h_i
            Ps += (P_i,)
            ms += (m_i,)
        P_back = one
        for n in tl.static_range(G2 - 1, -1, -1):
            here = at == (G2 - 1 - n if REVERSE else n)
            P_behind = tl.where(here, P_back, P_behind)
            m_behind = tl.where(here, m_all, m_behind)
            P_back, m_all = Ps[n] * P_back, Ps[n] * m_all + ms[n]
    return P_before, h_before, P_behind, m_behind, P_all, h_all, m_all


@triton.jit
def _load(read, row, H: tl.constexpr, W: tl.constexpr):
    """u, delta, B, C and g at one row of each patch; past the map its last row."""
    at = tl.minimum(row, H - 1) * W
    return (
        tl.load(read[0] + at),
        tl.load(read[1] + at),
        tl.load(read[2] + at),
        tl.load(read[3] + at),
        tl.load(read[4] + at),
    )


@triton.jit
def _step(loaded, A, bias, PRECISE: tl.constexpr):
    """Decay, drive, C g, the step size s and the slope of the softplus that made it."""
    z = loaded[1].to(tl.float32) * LOG2_E + bias
    s = softplus2(z, PRECISE)
    a = tl.exp2(s * A)
    b = s * loaded[0].to(tl.float32) * loaded[2].to(tl.float32)
    w = tl.exp2(-tl.abs(z))
    slope = tl.where(z >= 0.0, 1.0, w) / (1.0 + w)
    return a, b, loaded[3].to(tl.float32) * loaded[4].to(tl.float32), s, slope


@triton.jit
def _gradients(
    gBs, gCs, sums, loaded, step, h_before, lam, gB, gC, A, D, write, channel, g_patch, c,
    j: tl.constexpr, H: tl.constexpr, W: tl.constexpr, R: tl.constexpr, V: tl.constexpr,
    FIRST: tl.constexpr, LAST: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Write gdelta and gu at row j of each patch; gBs and gCs with that row's gB and gC, to which
    the route's shares are added, and the route's sums for A, bias and D.

    gu is in units of ln 2 until the last route writes it; gB and gC until they are parts.
    """
    row = g_patch * R + j
    kept = channel & (row < H) & (c < W // V)
    u, B, g = loaded[0].to(tl.float32), loaded[2].to(tl.float32), loaded[4].to(tl.float32)
    a, _, _, s, slope = step
    carried = a * h_before
    su, lam_B = s * u, lam * B
    g_B, g_C = lam * su, (carried + su * B) * g
    g_log = lam * carried
    g_z = (u * lam_B + g_log * (A * LN_2)) * slope
    gu = s * lam_B
    g_A, g_D = g_log * s, g * u
    if not WHOLE:  # places past the map, and channels past the last
        g_B, g_C = tl.where(kept, g_B, 0.0), tl.where(kept, g_C, 0.0)
        g_A, g_D = tl.where(kept, g_A, 0.0), tl.where(kept, g_D, 0.0)
        g_z = tl.where(kept, g_z, 0.0)
    at = tl.minimum(row, H - 1) * W
    if FIRST:
        gu += D * g
    else:
        gu += tl.load(write[0] + at)
    if LAST:
        tl.store(write[1] + at, (gu * LN_2).to(write[1].dtype.element_ty), kept)
    else:
        tl.store(write[0] + at, gu, kept)
    tl.store(write[2] + at, g_z.to(write[2].dtype.element_ty), kept)
    sum_D = sums[2]
    if FIRST:
        sum_D += g_D
    gBs += (gB[j] + g_B,)
    gCs += (gC[j] + g_C,)
    return gBs, gCs, (sums[0] + g_A, sums[1] + g_z, sum_D)


@triton.jit
def _by_row(
    gB, gC, read, write, A, bias, D, channel, g, c, H: tl.constexpr, W: tl.constexpr,
    R: tl.constexpr, V: tl.constexpr, REVERSE: tl.constexpr, FIRST: tl.constexpr,
    LAST: tl.constexpr, PRECISE: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """A route that walks row after row: gB and gC with its shares, and sums for A, bias and D."""
    ahead = _load(read, g * R + (R - 1 if REVERSE else 0), H, W)
    P_runs, h_runs, Q_runs, m_runs = (), (), (), ()
    P_rows, m_rows, P_upto, h_upto = (), (), (), ()
    for n in tl.static_range(R):
        loaded = ahead
        if n + 1 < R:
            ahead = _load(read, g * R + (R - 2 - n if REVERSE else n + 1), H, W)
        a, b, f, _, _ = _step(loaded, A, bias, PRECISE)
        P, _, P_run, h_run = along_line(a, b, REVERSE)
        m_run = tl.sum(P * f, 4)
        held = held_places(g, c, R - 1 - n if REVERSE else n, H, W, R, V)
        P_run, h_run = tl.where(held, P_run, 1.0), tl.where(held, h_run, 0.0)
        m_run = tl.where(held, m_run, 0.0)
        Q_run, m_run = inclusive(P_run, m_run, 3, not REVERSE)
        P_run, h_run = inclusive(P_run, h_run, 3, REVERSE)
        P_row, h_row = at_end(P_run, 3, REVERSE), at_end(h_run, 3, REVERSE)
        P_rows += (P_row,)
        m_rows += (at_end(m_run, 3, not REVERSE),)
        if n > 0:
            h_row += P_row * h_upto[n - 1]
            P_row *= P_upto[n - 1]
        P_upto += (P_row,)
        h_upto += (h_row,)
        P_runs += (P_run,)
        h_runs += (h_run,)
        Q_runs += (Q_run,)
        m_runs += (m_run,)
    m = m_rows[R - 1]
    for n in tl.static_range(R - 2, -1, -1):
        m = P_rows[n] * m + m_rows[n]
    Q, m = inclusive(P_upto[R - 1], m, 2, not REVERSE)
    P, h = inclusive(P_upto[R - 1], h_upto[R - 1], 2, REVERSE)
    _, start, _, mu, _, _, _ = _both_ways(
        at_end(P, 2, REVERSE), at_end(h, 2, REVERSE), at_end(m, 2, not REVERSE), REVERSE
    )
    start = before(P * start + h, start, 2, REVERSE)
    mu = before(Q * mu + m, mu, 2, not REVERSE)
    tl.debug_barrier()  # so that the second pass reads again, and nothing is kept in registers
    zero = tl.zeros(ahead[0].shape, tl.float32)
    sums = (zero, zero, zero)
    gBs, gCs = (), ()
    ahead = _load(read, g * R + (0 if REVERSE else R - 1), H, W)
    for n in tl.static_range(R - 1, -1, -1):
        loaded = ahead
        if n > 0:
            ahead = _load(read, g * R + (R - n if REVERSE else n - 1), H, W)
        step = _step(loaded, A, bias, PRECISE)
        state = start
        if n > 0:
            state = P_upto[n - 1] * start + h_upto[n - 1]
        state = before(P_runs[n] * state + h_runs[n], state, 3, REVERSE)
        mu_run = before(Q_runs[n] * mu + m_runs[n], mu, 3, not REVERSE)
        h_before = line_states(step[0], step[1], state, REVERSE)
        lam = step[2] + line_states(step[0], step[0] * step[2], mu_run, not REVERSE)
        gBs, gCs, sums = _gradients(
            gBs, gCs, sums, loaded, step, h_before, lam, gB, gC, A, D, write, channel, g, c,
            R - 1 - n if REVERSE else n, H, W, R, V, FIRST, LAST, WHOLE,
        )  # fmt: skip
        mu = P_rows[n] * mu + m_rows[n]
    return in_order(gBs, R, not REVERSE), in_order(gCs, R, not REVERSE), sums


@triton.jit
def _inside(step, row, H: tl.constexpr, EXACT: tl.constexpr):
    """A step's parts, which past the last row of the map leave states and mu as they are."""
    a, b, f, s, slope = step
    if not EXACT:
        a, b, f = tl.where(row < H, a, 1.0), tl.where(row < H, b, 0.0), tl.where(row < H, f, 0.0)
    return a, b, f, s, slope


@triton.jit
def _by_column(
    gB, gC, read, write, A, bias, D, channel, g, c, H: tl.constexpr, W: tl.constexpr,
    R: tl.constexpr, V: tl.constexpr, REVERSE: tl.constexpr, FIRST: tl.constexpr,
    LAST: tl.constexpr, PRECISE: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """As `_by_row`, column after column. States within the patch are kept: from zero, and what a
    state at its start adds to them."""
    EXACT: tl.constexpr = g.shape[1] * g.shape[2] * R == H
    ahead = _load(read, g * R + (R - 1 if REVERSE else 0), H, W)
    Ps, hs = (), ()
    zero = tl.zeros(ahead[0].shape, tl.float32)
    P, h, m = zero + 1.0, zero, zero
    for n in tl.static_range(R):
        row = g * R + (R - 1 - n if REVERSE else n)
        loaded = ahead
        if n + 1 < R:
            ahead = _load(read, g * R + (R - 2 - n if REVERSE else n + 1), H, W)
        a, b, f, _, _ = _inside(_step(loaded, A, bias, PRECISE), row, H, EXACT)
        h = a * h + b
        P = a * P
        m = m + P * f
        Ps += (P,)
        hs += (h,)
    P_ups, h_ups, Q_ups, m_ups = (), (), (), ()
    for v in tl.static_range(V):
        Q_up, m_up = inclusive(take(P, v), take(m, v), 2, not REVERSE)
        P_up, h_up = inclusive(take(P, v), take(h, v), 2, REVERSE)
        P, h = put(P, at_end(P_up, 2, REVERSE), v), put(h, at_end(h_up, 2, REVERSE), v)
        m = put(m, at_end(m_up, 2, not REVERSE), v)
        P_ups += (P_up,)
        h_ups += (h_up,)
        Q_ups += (Q_up,)
        m_ups += (m_up,)
    P_before, h_before, P_behind, m_behind, P, h, m = _both_ways(P, h, m, REVERSE)
    _, _, P_run, h_run = along_line(P, h, REVERSE)
    _, _, _, m_run = along_line(P, m, not REVERSE)
    held = held_places(g, c, -R * g.shape[1] * g.shape[2], H, W, R, V)
    P_run, h_run = tl.where(held, P_run, 1.0), tl.where(held, h_run, 0.0)
    m_run = tl.where(held, m_run, 0.0)
    _, m_run = inclusive(P_run, m_run, 3, not REVERSE)
    _, h_run = inclusive(P_run, h_run, 3, REVERSE)
    none = tl.zeros(h_run.shape, tl.float32)
    state = before(h_run, none, 3, REVERSE)
    mu = before(m_run, none, 3, not REVERSE)
    states = P_before * line_states(P, h, state, REVERSE) + h_before
    mus = P_behind * line_states(P, m, mu, not REVERSE) + m_behind
    for v in tl.static_range(V):
        state, mu = take(states, v), take(mus, v)
        states = put(states, before(P_ups[v] * state + h_ups[v], state, 2, REVERSE), v)
        mus = put(mus, before(Q_ups[v] * mu + m_ups[v], mu, 2, not REVERSE), v)
    tl.debug_barrier()  # as above
    sums = (zero, zero, zero)
    gBs, gCs = (), ()
    ahead = _load(read, g * R + (0 if REVERSE else R - 1), H, W)
    for n in tl.static_range(R - 1, -1, -1):
        loaded = ahead
        if n > 0:
            ahead = _load(read, g * R + (R - n if REVERSE else n - 1), H, W)
        row = g * R + (R - 1 - n if REVERSE else n)
        step = _inside(_step(loaded, A, bias, PRECISE), row, H, EXACT)
        state = states
        if n > 0:
            state = Ps[n - 1] * states + hs[n - 1]
        lam = step[2] + mus
        gBs, gCs, sums = _gradients(
            gBs, gCs, sums, loaded, step, state, lam, gB, gC, A, D, write, channel, g, c,
            R - 1 - n if REVERSE else n, H, W, R, V, FIRST, LAST, WHOLE,
        )  # fmt: skip
        mus = step[0] * lam
    return in_order(gBs, R, not REVERSE), in_order(gCs, R, not REVERSE), sums


@triton.jit
def _of_channels(x, columns):
    """(BD,): the sum of a tile over the columns that the map has."""
    x = tl.sum(tl.where(columns, x, 0.0), 4)
    BD: tl.constexpr = x.shape[0]
    return tl.sum(tl.reshape(x, (BD, x.shape[1] * x.shape[2] * x.shape[3])), 1)


@triton.jit(do_not_specialize=["B_maps", "C_maps", "PARTS", "TURNS"])
def _patches_bwd(
    gy_ptr, u_ptr, delta_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr,
    sum_ptr, gu_ptr, gdelta_ptr, gA_ptr, gB_ptr, gC_ptr, gD_ptr, gbias_ptr, B_maps, C_maps,
    Dm, PARTS, TURNS, H: tl.constexpr, W: tl.constexpr, K: tl.constexpr, AXES: tl.constexpr,
    REVERSES: tl.constexpr, BD: tl.constexpr, G2: tl.constexpr, G1: tl.constexpr, C: tl.constexpr,
    R: tl.constexpr, V: tl.constexpr, PRECISE: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    image = (tl.program_id(0) // PARTS).to(tl.int64)  # int64: offsets overflow int32
    part = tl.program_id(0) % PARTS
    images = tl.num_programs(0) // PARTS
    g2 = tl.arange(0, G2)[None, :, None, None, None]
    g = g2 * G1 + tl.arange(0, G1)[None, None, :, None, None]
    c = tl.arange(0, C)[None, None, None, :, None]
    v = tl.arange(0, V)[None, None, None, None, :]
    line = tl.minimum(c, W // V - 1) * V + v
    # Full shapes for all pointers: a load shared by channels would get a layout of its own.
    here = tl.zeros((BD, G2, G1, C, V), tl.int32) + line
    turns = tl.minimum(TURNS, tl.cdiv(Dm - part * (TURNS * BD), BD))
    for k in tl.static_range(K):
        gB, gC = (), ()
        for _ in tl.static_range(R):
            gB += (tl.zeros((BD, G2, G1, C, V), tl.float32),)
            gC += (tl.zeros((BD, G2, G1, C, V), tl.float32),)
        for turn in range(turns):
            first = (part * TURNS + turn) * BD
            channel = first + tl.arange(0, BD)[:, None, None, None, None]
            d = tl.minimum(channel, Dm - 1)
            A = tl.load(A_ptr + k * Dm + d).to(tl.float32)
            bias = tl.load(bias_ptr + k * Dm + d).to(tl.float32) * LOG2_E
            D = tl.zeros((BD, 1, 1, 1, 1), tl.float32)
            if k == 0:
                for i in tl.static_range(K):
                    D += tl.load(D_ptr + i * Dm + d).to(tl.float32)
                D = D / LN_2
            map_at = image * Dm * (H * W) + (d * (H * W) + here)
            route_at = (image * K + k) * Dm * (H * W) + (d * (H * W) + here)
            B_at = (image * K + k) * B_maps * (H * W) + here
            C_at = (image * K + k) * C_maps * (H * W) + here
            read = (
                u_ptr + map_at, delta_ptr + route_at, B_ptr + B_at, C_ptr + C_at, gy_ptr + map_at,
            )  # fmt: skip
            write = (sum_ptr + map_at, gu_ptr + map_at, gdelta_ptr + route_at)
            if (AXES >> k) & 1:
                gB, gC, sums = _by_row(
                    gB, gC, read, write, A, bias, D, channel < Dm, g, c, H, W, R, V,
                    (REVERSES >> k) & 1, k == 0, k == K - 1, PRECISE, WHOLE,
                )  # fmt: skip
            else:
                gB, gC, sums = _by_column(
                    gB, gC, read, write, A, bias, D, channel < Dm, g, c, H, W, R, V,
                    (REVERSES >> k) & 1, k == 0, k == K - 1, PRECISE, WHOLE,
                )  # fmt: skip
            ds = first + tl.arange(0, BD)
            sums_at = (image * K + k) * Dm + ds
            columns = c < W // V
            tl.store(gA_ptr + sums_at, _of_channels(sums[0], columns) * (LN_2 * LN_2), ds < Dm)
            tl.store(gbias_ptr + sums_at, _of_channels(sums[1], columns), ds < Dm)
            if k == 0:
                tl.store(gD_ptr + image * Dm + ds, _of_channels(sums[2], columns), ds < Dm)
        part_at = ((part.to(tl.int64) * images + image) * K + k) * (H * W)
        for j in tl.static_range(R):
            row = g * R + j
            # Pointers of one channel's shape: where BD is 1 they are those of the tiles.
            at = part_at + (tl.zeros((1, G2, G1, C, V), tl.int32) + line + row * W)
            kept = (row < H) & (c < W // V)
            tl.store(gB_ptr + at, tl.sum(gB[j], 0, keep_dims=True) * LN_2, kept)
            tl.store(gC_ptr + at, tl.sum(gC[j], 0, keep_dims=True) * LN_2, kept)
        tl.debug_barrier()  # the next route reads gu where other threads may have written it


def ss2d_scan_patches_backward(
    gy: Tensor, given: MapInputs, *, scan: str, step: int
) -> list[Tensor]:
    """Gradients of u, delta, A, B, C, D and delta_bias; by tiles where patches hold no map."""
    (Bt, Dm, H, W), N = given[0].shape, given[2].shape[2]
    launch = adjoint_patches(Bt, Dm, N, H, W, scan=scan)
    if launch is None:
        return ss2d_scan_triton_backward(gy, given, scan=scan, step=step)
    return _launch(gy, given, launch)


def _launch(gy: Tensor, given: MapInputs, launch: Patches) -> list[Tensor]:
    """As `ss2d_scan_patches_backward`; the grid of `launch` is the forward's."""
    u, delta, A, B, C, D, delta_bias = given
    (Bt, Dm), K, BD = u.shape[:2], B.shape[1], launch.constants["BD"]
    u, delta, A, D, delta_bias = (t.contiguous() for t in (u, delta, A, D, delta_bias))
    turns = max(1, CHANNELS // BD)
    parts = triton.cdiv(Dm, turns * BD)
    wide = dict(dtype=torch.float32, device=u.device)
    gu, gdelta = torch.empty_like(u), torch.empty_like(delta)
    gu_sum = gu if gu.dtype == torch.float32 else torch.empty(u.shape, **wide)
    gA, gbias = (torch.empty((Bt, K, Dm), **wide) for _ in range(2))
    gD = torch.empty((Bt, Dm), **wide)
    gB, gC = (torch.empty((parts, *B.shape), **wide) for _ in range(2))
    (B, B_maps), (C, C_maps) = by_route(B), by_route(C)
    exact = launch.constants["G2"] * launch.constants["G1"] * launch.constants["R"] == u.shape[2]
    _patches_bwd[(Bt * parts,)](
        gy.contiguous(), u, delta, A, B, C, D, delta_bias,
        gu_sum, gu, gdelta, gA, gB, gC, gD, gbias,
        B_maps, C_maps, Dm, parts, turns,
        **launch.constants,
        PRECISE=delta.dtype == torch.float32, WHOLE=exact and Dm % BD == 0,
        num_warps=launch.num_warps,
    )  # fmt: skip
    skips = gD.sum(0).expand(K, Dm)  # every route adds D u at every pixel
    sums = (gA.sum(0).view(A.shape), gB.sum(0), gC.sum(0), skips, gbias.sum(0))
    of_dtype = (g.to(t.dtype) for g, t in zip(sums, given[2:], strict=True))
    return [gu, gdelta, *(g.contiguous() for g in of_dtype)]
