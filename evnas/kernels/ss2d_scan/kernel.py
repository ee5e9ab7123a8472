"""The selective scan over routes of a map in Triton: device functions, forward kernel, launcher.

A program owns BD channels of one image. It takes the map, or a strip of it, as a tile
(BD, BR, BC) in pixel order, and scans it along rows or columns for each route in turn, so every
access is by index into the one map, in its own order, and routes merge in registers. Tile entries
past the edge are identities (dt = 0). Maps larger than a tile go strip by strip with the state
carried over, and their routes merge through a float32 buffer that only this program touches.

Where a scan has one state and its whole map fits, `.patches` does the same with far fewer
instructions, and this kernel is not used.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from evnas.kernels.operator_inputs import MapInputs, SequenceInputs

from .launch import Launch, by_route, patches, plan, rank_of, step_rows
from .patches.kernel import scan_patches
from .recurrence.kernel import softplus2

TILE_ELEMENTS = 4096  # of one (BD, BR, BC) tile; 8 registers a thread and array at 16 warps


@triton.jit
def _chain(a_first, b_first, a_then, b_then):
    return a_first * a_then, a_then * b_first + b_then


@triton.jit
def softplus(z):
    """log(1 + exp(z)), to a relative 2e-6."""
    return softplus2(z * 1.4426950408889634, True) * 0.6931471805599453


@triton.jit
def linear_scan(a, b, AXIS: tl.constexpr, REVERSE: tl.constexpr):
    """h = a h' + b over the rows (AXIS 1) or columns (0) of (BD, BR, BC); and running decays."""
    BD: tl.constexpr = a.shape[0]
    BR: tl.constexpr = a.shape[1]
    BC: tl.constexpr = a.shape[2]
    if AXIS == 0:
        a = tl.permute(a, (0, 2, 1))
        b = tl.permute(b, (0, 2, 1))
    a = tl.reshape(a, (BD, BR * BC))
    b = tl.reshape(b, (BD, BR * BC))
    a, b = tl.associative_scan((a, b), 1, _chain, reverse=REVERSE)
    if AXIS == 0:
        a = tl.permute(tl.reshape(a, (BD, BC, BR)), (0, 2, 1))
        b = tl.permute(tl.reshape(b, (BD, BC, BR)), (0, 2, 1))
    else:
        a = tl.reshape(a, (BD, BR, BC))
        b = tl.reshape(b, (BD, BR, BC))
    return a, b


@triton.jit
def tile_place(strip, AXIS: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr):
    """Rows (1, BR, 1) and columns (1, 1, BC) of a strip of lines along AXIS."""
    rows = tl.arange(0, BR)[None, :, None]
    cols = tl.arange(0, BC)[None, None, :]
    if AXIS == 1:
        rows += strip * BR
    else:
        cols += strip * BC
    return rows, cols


@triton.jit
def counted(rows, cols, Hs, Ws, L, SEQUENCE: tl.constexpr):
    """Which places of a tile the sub-map holds, or the sequence, which may end within a line."""
    if SEQUENCE:
        return (cols < Ws) & (rows * Ws + cols < L)
    return (rows < Hs) & (cols < Ws)


@triton.jit
def pixel(
    rows, cols, H, W, row0, col0, AXIS: tl.constexpr, MIRROR: tl.constexpr, STEP: tl.constexpr
):
    """The flat pixel of a place on the route's sub-map, and whether the map holds it."""
    if MIRROR:
        if AXIS == 1:
            cols = W - 1 - cols
        else:
            rows = H - 1 - rows
    row = row0 + rows * STEP
    col = col0 + cols * STEP
    return row * W + col, (row >= 0) & (row < H) & (col >= 0) & (col < W)


@triton.jit
def line_start(rows, cols, Hs, Ws, AXIS: tl.constexpr, REVERSE: tl.constexpr):
    """Where a line begins in the order of the walk."""
    if AXIS == 1:
        return (cols == (Ws - 1 if REVERSE else 0)) & (rows >= 0)
    return (rows == (Hs - 1 if REVERSE else 0)) & (cols >= 0)


@triton.jit
def last_of(h, rows, cols, strip, AXIS: tl.constexpr, REVERSE: tl.constexpr):
    """(BD,): the entry of a tile where the walk leaves it; identities pad it to the edge."""
    BR: tl.constexpr = h.shape[1]
    BC: tl.constexpr = h.shape[2]
    row_end = strip * BR if AXIS == 1 else 0
    col_end = 0 if AXIS == 1 else strip * BC
    if not REVERSE:
        row_end += BR - 1
        col_end += BC - 1
    here = (rows == row_end) & (cols == col_end)
    return tl.sum(tl.sum(tl.where(here, h, 0.0), 2), 1)


@triton.jit
def step_input(
    delta_ptr, weight_ptr, route, low_maps, d, params, plane, read, real, held, Dm,
    RANK: tl.constexpr,
):  # fmt: skip
    """delta at the places of a tile, 0 where there is none: as it is stored, or where RANK is not
    0 the product of `weight` (K, Dm, RANK) with the RANK rows that are stored instead."""
    if RANK == 0:
        at = delta_ptr + ((route * Dm + d) * plane)[:, None, None] + read
        z = tl.load(at, real & held[:, None, None], 0.0).to(tl.float32)
    else:
        z = tl.zeros((d.shape[0], read.shape[1], read.shape[2]), tl.float32)
        for r in range(RANK):
            weight = tl.load(weight_ptr + params * RANK + r, held, 0.0).to(tl.float32)
            low = tl.load(delta_ptr + (route * low_maps + r) * plane + read, real, 0.0)
            z += weight[:, None, None] * low.to(tl.float32)
    return z


@triton.jit
def store_merged(map_ptr, tile, image, d, Dm, W, Hs, Ws, L, plane, SEQUENCE: tl.constexpr):
    """Write the whole map of some channels, (BD, BR, BC), to which all routes have added."""
    rows, cols = tile_place(0, 1, tile.shape[1], tile.shape[2])
    kept = counted(rows, cols, Hs, Ws, L, SEQUENCE) & (d < Dm)[:, None, None]
    at = map_ptr + ((image * Dm + d) * plane)[:, None, None] + rows * W + cols
    tl.store(at, tile.to(map_ptr.dtype.element_ty), kept)


@triton.jit
def _forward_route(
    y, x_ptr, delta_ptr, weight_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr, y_ptr,
    image, group, low_maps, B_maps, C_maps, d, Dm, N, H, W, Hs, Ws, L, plane,
    SEQUENCE: tl.constexpr, STRIPS, RANK: tl.constexpr, k: tl.constexpr, K: tl.constexpr,
    AXIS: tl.constexpr, REVERSE: tl.constexpr, MIRROR: tl.constexpr, FRESH: tl.constexpr,
    STEP: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr, MERGE: tl.constexpr, FIRST: tl.constexpr,
    BD: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Add route k of one image to `y`, or to `y_ptr` where routes do not share a tile."""
    params = (group * K + k) * Dm + d  # (BD,)
    held = d < Dm
    channel = held[:, None, None]
    x_at = x_ptr + ((image * Dm + d) * plane)[:, None, None]
    B_at = B_ptr + (image * K + k) * B_maps * plane
    C_at = C_ptr + (image * K + k) * C_maps * plane
    bias = tl.zeros((BD,), tl.float32)
    if HAS_BIAS:
        bias += tl.load(bias_ptr + params, held, 0.0).to(tl.float32)
    carry = tl.zeros((BD, BN), tl.float32)
    for turn in range(STRIPS):
        strip = STRIPS - 1 - turn if REVERSE else turn
        rows, cols = tile_place(strip, AXIS, BR, BC)
        inside = counted(rows, cols, Hs, Ws, L, SEQUENCE)
        read, real = pixel(rows, cols, H, W, k % STEP, k // STEP * (STEP > 1), AXIS, MIRROR, STEP)
        real = real & inside
        x = tl.load(x_at + read, real & channel, 0.0).to(tl.float32)
        dt = step_input(
            delta_ptr, weight_ptr, image * K + k, low_maps, d, params, plane, read, real, held, Dm,
            RANK,
        )  # fmt: skip
        dt += bias[:, None, None]
        if SOFTPLUS:
            dt = softplus(dt)
        dt = tl.where(inside & channel, dt, 0.0)
        out = tl.zeros((BD, BR, BC), tl.float32)
        for n in range(N):
            A = tl.load(A_ptr + params * N + n, held, 0.0).to(tl.float32)[:, None, None]
            B = tl.load(B_at + n * plane + read, real, 0.0).to(tl.float32)
            C = tl.load(C_at + n * plane + read, real, 0.0).to(tl.float32)
            a = tl.exp(dt * A)
            if FRESH:
                a = tl.where(line_start(rows, cols, Hs, Ws, AXIS, REVERSE), 0.0, a)
            a, h = linear_scan(a, dt * x * B, AXIS, REVERSE)
            if STRIPS > 1:
                this = tl.arange(0, BN)[None, :] == n
                h += a * tl.sum(tl.where(this, carry, 0.0), 1)[:, None, None]
                end = last_of(h, rows, cols, strip, AXIS, REVERSE)
                carry = tl.where(this, end[:, None], carry)
            out += C * h
        if HAS_D:
            out += tl.load(D_ptr + params, held, 0.0).to(tl.float32)[:, None, None] * x
        if MERGE:
            y += out
        else:
            to, kept = pixel(rows, cols, H, W, k % STEP, k // STEP * (STEP > 1), AXIS, False, STEP)
            kept = kept & inside & channel
            y_at = y_ptr + ((image * Dm + d) * plane)[:, None, None] + to
            if not FIRST:
                out += tl.load(y_at, kept, 0.0).to(tl.float32)
            tl.store(y_at, out.to(y_ptr.dtype.element_ty), kept)
    return y


@triton.jit(do_not_specialize=["low_maps", "B_maps", "C_maps", "L"])
def _scan_fwd(
    x_ptr, delta_ptr, weight_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr, y_ptr,
    low_maps, B_maps, C_maps, Dm, N, L, ROW_STRIPS, COL_STRIPS, RANK: tl.constexpr,
    H: tl.constexpr, W: tl.constexpr, Hs: tl.constexpr, Ws: tl.constexpr, SEQUENCE: tl.constexpr,
    GROUPS: tl.constexpr, K: tl.constexpr, AXES: tl.constexpr, REVERSES: tl.constexpr,
    MIRRORS: tl.constexpr, FRESH: tl.constexpr, STEP: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr, MERGE: tl.constexpr,
    BD: tl.constexpr, ROW_BR: tl.constexpr, ROW_BC: tl.constexpr, COL_BR: tl.constexpr,
    COL_BC: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    plane = L if SEQUENCE else H * W
    blocks = tl.cdiv(Dm, BD)
    image = (tl.program_id(0) // blocks).to(tl.int64)  # int64: offsets overflow int32
    d = (tl.program_id(0) % blocks).to(tl.int64) * BD + tl.arange(0, BD)
    y = tl.zeros((BD, ROW_BR, ROW_BC), tl.float32)
    for k in tl.static_range(K):
        y = _forward_route(
            y, x_ptr, delta_ptr, weight_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr, y_ptr,
            image, image % GROUPS, low_maps, B_maps, C_maps, d, Dm, N, H, W, Hs, Ws, L, plane,
            SEQUENCE, ROW_STRIPS if (AXES >> k) & 1 else COL_STRIPS, RANK, k, K,
            (AXES >> k) & 1, (REVERSES >> k) & 1, (MIRRORS >> k) & 1, FRESH, STEP, SOFTPLUS,
            HAS_D, HAS_BIAS, MERGE, k == 0 or STEP > 1, BD,
            ROW_BR if (AXES >> k) & 1 else COL_BR, ROW_BC if (AXES >> k) & 1 else COL_BC, BN,
        )  # fmt: skip
        if not MERGE:
            tl.debug_barrier()  # the next route reads what other threads of this program wrote
    if MERGE:
        store_merged(y_ptr, y, image, d, Dm, W, Hs, Ws, L, plane, SEQUENCE)


def ss2d_scan_triton(given: MapInputs, *, scan: str, step: int) -> Tensor:
    """Shapes as in `evnas.kernels.ss2d_scan.ss2d_scan`."""
    return ss2d_scan_low_rank_triton(given, None, scan=scan, step=step)


def ss2d_scan_low_rank_triton(
    given: MapInputs, dt_weight: Tensor | None, *, scan: str, step: int
) -> Tensor:
    """The same, but with `dt_weight` (K, Dm, R) its factor (Bt, K, R, H, W) stands for delta."""
    u, delta, A, B, C, *_ = given
    Bt, Dm, H, W = u.shape
    itemsize = max(t.element_size() for t in (u, delta, B, C))
    whole = patches(Bt, Dm, A.shape[2], H, W, scan=scan, itemsize=itemsize)
    if whole is not None:
        return scan_patches(given, whole, dt_weight=dt_weight)
    launch = plan(Bt, Dm, A.shape[2], H, W, scan=scan, step=step, L=H * W, tile=TILE_ELEMENTS)
    return scan_forward(given, launch, groups=1, softplus_delta=True, dt_weight=dt_weight)


def scan_forward(
    given: SequenceInputs,
    launch: Launch,
    *,
    groups: int,
    softplus_delta: bool,
    dt_weight: Tensor | None = None,
) -> Tensor:
    """Launch the forward kernel; the result has the shape of x and is float32. `dt_weight`: as in
    `ss2d_scan_low_rank_triton`."""
    x, delta, A, B, C, D, delta_bias = given
    merge = launch.one_tile and launch.constants["STEP"] == 1
    y = torch.empty(x.shape, dtype=torch.float32, device=x.device)
    x, A = x.contiguous(), A.contiguous()
    delta, low_maps = step_rows(delta, dt_weight)
    (B, B_maps), (C, C_maps) = by_route(B), by_route(C)
    _scan_fwd[launch.grid](
        x, delta, x if dt_weight is None else dt_weight.contiguous(), A, B, C,
        x if D is None else D.contiguous(), x if delta_bias is None else delta_bias.contiguous(),
        y, low_maps, B_maps, C_maps,
        **launch.sizes,
        **launch.constants,
        RANK=rank_of(dt_weight), GROUPS=groups, SOFTPLUS=softplus_delta, HAS_D=D is not None,
        HAS_BIAS=delta_bias is not None, MERGE=merge, num_warps=launch.num_warps,
    )  # fmt: skip
    return y
