"""The scan of one state over a whole map held in registers, in Triton: kernel and launcher.

A program takes BD channels of one image, a thread per patch of R rows by V columns of it: row
g * R + j, column c * V + v. R is unrolled, so any number of rows; the rest are axes of tiles
(BD, G2, G1, C, V), g = (G2, G1). Each route walks its patch from a state of zero, keeps what a
state at the start of the patch would add, chains the patches by shuffles, and adds that. The four
routes merge in registers.

Everything is in base 2: with s = log2(1 + 2^(z log2 e)), dt = s ln 2 and exp(dt A) = 2^(s A); the
factor ln 2 that is missing from the states is applied to the merged map.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from evnas.kernels.operator_inputs import MapInputs

from ..launch import Patches, by_route, rank_of, step_rows
from ..recurrence.kernel import (
    across_warps,
    along_line,
    at_end,
    before,
    inclusive,
    line_states,
    put,
    softplus2,
    take,
)

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
UNROLLED_RANK = tl.constexpr(8)
"""Of a step's factor: of a larger one a row of pixels is a loop, which keeps the kernel short."""


@triton.jit
def _step_input(delta_at, weight_at, plane: tl.constexpr, RANK: tl.constexpr):
    """delta as it is stored, or the product of the channels' weights with RANK factor maps."""
    if RANK == 0:
        z = tl.load(delta_at)
    else:
        z = tl.load(weight_at).to(tl.float32) * tl.load(delta_at).to(tl.float32)
        if RANK <= UNROLLED_RANK:
            for r in tl.static_range(1, RANK):
                low = tl.load(delta_at + r * plane).to(tl.float32)
                z += tl.load(weight_at + r).to(tl.float32) * low
        else:
            for r in range(1, RANK):
                low = tl.load(delta_at + r * plane).to(tl.float32)
                z += tl.load(weight_at + r).to(tl.float32) * low
    return z


@triton.jit
def _load(read, row, H: tl.constexpr, W: tl.constexpr, RANK: tl.constexpr):
    """u, delta, B and C at one row of each patch; past the map its last row."""
    u_at, delta_at, weight_at, B_at, C_at = read
    at = tl.minimum(row, H - 1) * W
    z = _step_input(delta_at + at, weight_at, H * W, RANK)
    return tl.load(u_at + at), z, tl.load(B_at + at), tl.load(C_at + at)


@triton.jit
def _step(loaded, A, bias, PRECISE: tl.constexpr):
    """Decay, drive, C and u."""
    s = softplus2(loaded[1].to(tl.float32) * LOG2_E + bias, PRECISE)
    u = loaded[0].to(tl.float32)
    return tl.exp2(s * A), s * u * loaded[2].to(tl.float32), loaded[3].to(tl.float32), u


@triton.jit
def _read_out(y, C, P, h, Dm):
    """y + C h, and what a state before adds to it: C P a unit.

    Dm is never 0. The branch keeps LLVM, which pairs floats from the final stores upwards, from
    sinking these products of all rows to the stores, where C, P and h of all would be alive.
    """
    weight = P
    if Dm > 0:
        y = y + C * h
        weight = C * P
    return y, weight


@triton.jit
def held_places(g, c, j, H: tl.constexpr, W: tl.constexpr, R: tl.constexpr, V: tl.constexpr):
    """(1, G2, G1, C): whether row j of a patch, V columns of it, is part of the map."""
    g = tl.reshape(g, (1, g.shape[1], g.shape[2], 1))
    c = tl.reshape(c, (1, 1, 1, c.shape[3]))
    return (g * R + j < H) & (c < W // V)


@triton.jit
def in_order(tiles, R: tl.constexpr, REVERSE: tl.constexpr):
    """Tiles in the order of the walk, from the first row to the last."""
    turned = ()
    for j in tl.static_range(R):
        turned += (tiles[R - 1 - j if REVERSE else j],)
    return turned


@triton.jit
def _correct(out, weight, state, Dm):
    """What the patch adds to y now that the state before it is known; here, as above."""
    if Dm > 0:
        out = out + weight * state
    return out


@triton.jit
def _by_row(
    y, read, A, bias, D, g, c, Dm, H: tl.constexpr, W: tl.constexpr, RANK: tl.constexpr,
    R: tl.constexpr, V: tl.constexpr, REVERSE: tl.constexpr, FIRST: tl.constexpr,
    PRECISE: tl.constexpr,
):  # fmt: skip
    """Add a route that walks row after row to the R tiles of y, or begin them with D u."""
    ahead = _load(read, g * R + (R - 1 if REVERSE else 0), H, W, RANK)
    outs, weights, P_runs, h_runs, P_rows, h_rows = (), (), (), (), (), ()
    for j in tl.static_range(R - 1 if REVERSE else 0, -1 if REVERSE else R, -1 if REVERSE else 1):
        loaded = ahead
        if j != (0 if REVERSE else R - 1):
            ahead = _load(read, g * R + (j - 1 if REVERSE else j + 1), H, W, RANK)
        a, b, C, u = _step(loaded, A, bias, PRECISE)
        P, h, P_run, h_run = along_line(a, b, REVERSE)
        held = held_places(g, c, j, H, W, R, V)
        P_run, h_run = tl.where(held, P_run, 1.0), tl.where(held, h_run, 0.0)
        P_run, h_run = inclusive(P_run, h_run, 3, REVERSE)
        out, weight = _read_out(D * u if FIRST else y[j], C, P, h, Dm)
        outs += (out,)
        weights += (weight,)
        P_runs += (P_run,)
        h_runs += (h_run,)
        P_row, h_row = at_end(P_run, 3, REVERSE), at_end(h_run, 3, REVERSE)
        if len(P_rows) > 0:
            h_row += P_row * h_rows[len(P_rows) - 1]
            P_row *= P_rows[len(P_rows) - 1]
        P_rows += (P_row,)
        h_rows += (h_row,)
    P, h = inclusive(P_rows[R - 1], h_rows[R - 1], 2, REVERSE)
    _, start, _, _ = across_warps(at_end(P, 2, REVERSE), at_end(h, 2, REVERSE), REVERSE)
    start = before(P * start + h, start, 2, REVERSE)
    merged = ()
    for n in tl.static_range(R):
        state = start
        if n > 0:
            state = P_rows[n - 1] * start + h_rows[n - 1]
        state = before(P_runs[n] * state + h_runs[n], state, 3, REVERSE)
        merged += (_correct(outs[n], weights[n], tl.expand_dims(state, 4), Dm),)
    return in_order(merged, R, REVERSE)


@triton.jit
def _by_column(
    y, read, A, bias, D, g, c, Dm, H: tl.constexpr, W: tl.constexpr, RANK: tl.constexpr,
    R: tl.constexpr, V: tl.constexpr, REVERSE: tl.constexpr, FIRST: tl.constexpr,
    PRECISE: tl.constexpr,
):  # fmt: skip
    """Add a route that walks column after column to the R tiles of y, or begin them with D u."""
    ahead = _load(read, g * R + (R - 1 if REVERSE else 0), H, W, RANK)
    outs, weights = (), ()
    P, h = 1.0, 0.0
    for j in tl.static_range(R - 1 if REVERSE else 0, -1 if REVERSE else R, -1 if REVERSE else 1):
        loaded = ahead
        if j != (0 if REVERSE else R - 1):
            ahead = _load(read, g * R + (j - 1 if REVERSE else j + 1), H, W, RANK)
        a, b, C, u = _step(loaded, A, bias, PRECISE)
        if g.shape[1] * g.shape[2] * R != H:
            a, b = tl.where(g * R + j < H, a, 1.0), tl.where(g * R + j < H, b, 0.0)
        h = a * h + b
        P = a * P
        out, weight = _read_out(D * u if FIRST else y[j], C, P, h, Dm)
        outs += (out,)
        weights += (weight,)
    P_ups, h_ups = (), ()
    for v in tl.static_range(V):
        P_up, h_up = inclusive(take(P, v), take(h, v), 2, REVERSE)
        P, h = put(P, at_end(P_up, 2, REVERSE), v), put(h, at_end(h_up, 2, REVERSE), v)
        P_ups += (P_up,)
        h_ups += (h_up,)
    P_before, h_before, P, h = across_warps(P, h, REVERSE)  # P, h: of whole columns
    _, _, P_run, h_run = along_line(P, h, REVERSE)
    held = held_places(g, c, -R * g.shape[1] * g.shape[2], H, W, R, V)
    P_run, h_run = tl.where(held, P_run, 1.0), tl.where(held, h_run, 0.0)
    P_run, h_run = inclusive(P_run, h_run, 3, REVERSE)
    state = before(h_run, tl.zeros(h_run.shape, tl.float32), 3, REVERSE)
    states = P_before * line_states(P, h, state, REVERSE) + h_before
    for v in tl.static_range(V):
        state = take(states, v)
        states = put(states, before(P_ups[v] * state + h_ups[v], state, 2, REVERSE), v)
    merged = ()
    for n in tl.static_range(R):
        merged += (_correct(outs[n], weights[n], states, Dm),)
    return in_order(merged, R, REVERSE)


@triton.jit(do_not_specialize=["low_maps", "B_maps", "C_maps"])
def _patches_fwd(
    u_ptr, delta_ptr, weight_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr, y_ptr,
    low_maps, B_maps, C_maps, Dm, RANK: tl.constexpr, H: tl.constexpr, W: tl.constexpr,
    K: tl.constexpr, AXES: tl.constexpr, REVERSES: tl.constexpr, BD: tl.constexpr,
    G2: tl.constexpr, G1: tl.constexpr, C: tl.constexpr, R: tl.constexpr, V: tl.constexpr,
    PRECISE: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(Dm, BD)
    image = (tl.program_id(0) // blocks).to(tl.int64)  # int64: offsets overflow int32
    first = tl.program_id(0) % blocks * BD
    channel = tl.arange(0, BD)[:, None, None, None, None]
    held = first + channel < Dm
    d = tl.minimum(first + channel, Dm - 1)
    g2 = tl.arange(0, G2)[None, :, None, None, None]
    g = g2 * G1 + tl.arange(0, G1)[None, None, :, None, None]
    c = tl.arange(0, C)[None, None, None, :, None]
    v = tl.arange(0, V)[None, None, None, None, :]
    # Full shapes for all pointers: a load shared by channels would get a layout of its own.
    here = tl.zeros((BD, G2, G1, C, V), tl.int32) + tl.minimum(c, W // V - 1) * V + v
    u_at = u_ptr + image * Dm * (H * W) + (d * (H * W) + here)
    D = tl.zeros((BD, 1, 1, 1, 1), tl.float32)
    for k in tl.static_range(K):
        D += tl.load(D_ptr + k * Dm + d).to(tl.float32)
    D = D / LN_2
    y = ()
    for k in tl.static_range(K):
        A = tl.load(A_ptr + k * Dm + d).to(tl.float32)
        bias = tl.load(bias_ptr + k * Dm + d).to(tl.float32) * LOG2_E
        if RANK == 0:
            delta_at = delta_ptr + (image * K + k) * Dm * (H * W) + (d * (H * W) + here)
        else:
            delta_at = delta_ptr + (image * K + k) * low_maps * (H * W) + here
        weight_at = weight_ptr + (k * Dm + d) * RANK
        B_at = B_ptr + (image * K + k) * B_maps * (H * W) + here
        C_at = C_ptr + (image * K + k) * C_maps * (H * W) + here
        read = (u_at, delta_at, weight_at, B_at, C_at)
        if (AXES >> k) & 1:
            y = _by_row(
                y, read, A, bias, D, g, c, Dm, H, W, RANK, R, V, (REVERSES >> k) & 1, k == 0,
                PRECISE,
            )  # fmt: skip
        else:
            y = _by_column(
                y, read, A, bias, D, g, c, Dm, H, W, RANK, R, V, (REVERSES >> k) & 1, k == 0,
                PRECISE,
            )  # fmt: skip
        tl.debug_barrier()  # so that u is read again from the cache, not kept in registers
    y_at = y_ptr + image * Dm * (H * W) + (d * (H * W) + here)
    for j in tl.static_range(R):
        row = g * R + j
        kept = held & (row < H) & (c < W // V)
        tl.store(y_at + row * W, (y[j] * LN_2).to(y_ptr.dtype.element_ty), kept)


def scan_patches(given: MapInputs, launch: Patches, *, dt_weight: Tensor | None = None) -> Tensor:
    """Shapes as in `evnas.kernels.ss2d_scan.ss2d_scan`, d_state 1; y is float32. With `dt_weight`
    (K, Dm, R) its factor (Bt, K, R, H, W) stands for delta."""
    u, delta, A, B, C, D, delta_bias = given
    delta, low_maps = step_rows(delta, dt_weight)
    (B, B_maps), (C, C_maps) = by_route(B), by_route(C)
    u = u.contiguous()
    # One kernel for all forms: plain ones in half precision hold these few values in it, others in
    # float32, and a shape takes half a minute and more to compile.
    A, D, delta_bias = (t.float().contiguous() for t in (A, D, delta_bias))
    y = torch.empty_like(u, dtype=torch.float32)
    _patches_fwd[launch.grid](
        u, delta, u if dt_weight is None else dt_weight.contiguous(), A, B, C, D, delta_bias, y,
        low_maps, B_maps, C_maps, u.shape[1],
        RANK=rank_of(dt_weight),
        **launch.constants,
        PRECISE=delta.dtype == torch.float32, num_warps=launch.num_warps,
    )  # fmt: skip
    return y
