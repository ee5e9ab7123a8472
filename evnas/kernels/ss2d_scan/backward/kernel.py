"""The adjoint of the selective scan over routes of a map in Triton: kernel and launcher.

States are recomputed from the inputs; only where a map takes several strips are the states at
strip starts kept, in scratch. With lambda[t] = C g[t] + a[t+1] lambda[t+1], walked backwards, and
h the states: dB = lambda dt x, dC = h g, d(log a) = lambda (h - dt B x). Gradients of B and C sum
over channels: a program takes its blocks of channels one after the other and adds each to a part
of its own, and the parts are summed afterwards. Nothing is added by atomics, so bits repeat.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from evnas.kernels.operator_inputs import MapInputs, SequenceInputs

from ..kernel import (
    counted,
    last_of,
    line_start,
    linear_scan,
    pixel,
    softplus,
    step_input,
    store_merged,
    tile_place,
)
from ..launch import Launch, by_route, plan, rank_of, step_rows

TILE_ELEMENTS = 2048  # of one (BD, BR, BC) tile; about ten are live, and at 4096 they spill
PROGRAMS = 1024
"""As many as keep a large GPU evenly busy, where there are channels for that: each is a part."""
PART_ELEMENTS = 2**26
"""Of all parts of gB, or of gC, in float32: 256 MiB each at most, however small the batch."""


@triton.jit
def _next_place(rows, cols, Hs, Ws, AXIS: tl.constexpr, REVERSE: tl.constexpr):
    """The place one step on in the order of the walk; past the end it leaves the map."""
    by: tl.constexpr = -1 if REVERSE else 1
    if AXIS == 1:
        cols = cols + by + 0 * rows
        turn = (cols >= Ws) | (cols < 0)
        rows = rows + tl.where(turn, by, 0)
        cols = tl.where(turn, Ws - 1 if REVERSE else 0, cols)
    else:
        rows = rows + by + 0 * cols
        turn = (rows >= Hs) | (rows < 0)
        cols = cols + tl.where(turn, by, 0)
        rows = tl.where(turn, Hs - 1 if REVERSE else 0, rows)
    return rows, cols


@triton.jit
def _step_size(
    delta_ptr, weight_ptr, route, low_maps, d, params, Dm, plane, rows, cols, bias,
    H, W, Hs, Ws, L, SEQUENCE: tl.constexpr, RANK: tl.constexpr,
    row0, col0, AXIS: tl.constexpr, MIRROR: tl.constexpr, STEP: tl.constexpr,
    SOFTPLUS: tl.constexpr,
):  # fmt: skip
    """dt and the sum it is the softplus of, at places of the sub-map; dt = 0 outside it."""
    inside = (rows >= 0) & (cols >= 0) & counted(rows, cols, Hs, Ws, L, SEQUENCE)
    read, real = pixel(rows, cols, H, W, row0, col0, AXIS, MIRROR, STEP)
    held = d < Dm
    z = step_input(
        delta_ptr, weight_ptr, route, low_maps, d, params, plane, read, real & inside, held, Dm,
        RANK,
    )  # fmt: skip
    z += bias[:, None, None]
    dt = z
    if SOFTPLUS:
        dt = softplus(z)
    return tl.where(inside & held[:, None, None], dt, 0.0), z


@triton.jit
def _strip_starts(
    starts_at, x_at, delta_ptr, weight_ptr, A_at, B_at, bias, route, low_maps, d, params, Dm,
    N, H, W, Hs, Ws, L, plane, SEQUENCE: tl.constexpr, STRIPS, RANK: tl.constexpr, row0, col0,
    AXIS: tl.constexpr, REVERSE: tl.constexpr, MIRROR: tl.constexpr, FRESH: tl.constexpr,
    STEP: tl.constexpr, SOFTPLUS: tl.constexpr,
    BD: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Walk the route forward and keep the state (BD, N) that each strip starts from."""
    held = d < Dm
    channel = held[:, None, None]
    states = tl.arange(0, BN)[None, :]
    carry = tl.zeros((BD, BN), tl.float32)
    for turn in range(STRIPS):
        strip = STRIPS - 1 - turn if REVERSE else turn
        tl.store(starts_at[:, None] + strip * N + states, carry, held[:, None] & (states < N))
        rows, cols = tile_place(strip, AXIS, BR, BC)
        inside = counted(rows, cols, Hs, Ws, L, SEQUENCE)
        read, real = pixel(rows, cols, H, W, row0, col0, AXIS, MIRROR, STEP)
        real = real & inside
        x = tl.load(x_at + read, real & channel, 0.0).to(tl.float32)
        dt, _ = _step_size(
            delta_ptr, weight_ptr, route, low_maps, d, params, Dm, plane, rows, cols, bias,
            H, W, Hs, Ws, L, SEQUENCE, RANK, row0, col0, AXIS, MIRROR, STEP, SOFTPLUS,
        )  # fmt: skip
        for n in range(N):
            A = tl.load(A_at + n, held, 0.0).to(tl.float32)[:, None, None]
            B = tl.load(B_at + n * plane + read, real, 0.0).to(tl.float32)
            a = tl.exp(dt * A)
            if FRESH:
                a = tl.where(line_start(rows, cols, Hs, Ws, AXIS, REVERSE), 0.0, a)
            a, h = linear_scan(a, dt * x * B, AXIS, REVERSE)
            h += a * tl.sum(tl.where(states == n, carry, 0.0), 1)[:, None, None]
            end = last_of(h, rows, cols, strip, AXIS, REVERSE)
            carry = tl.where(states == n, end[:, None], carry)


@triton.jit
def _state_and_costate(
    A, B, C, x, g, dt, next_dt, starts_at, costates, this, rows, cols, next_rows, next_cols,
    inside, held, strip, STRIPS, n, N, Hs, Ws,
    AXIS: tl.constexpr, REVERSE: tl.constexpr, FRESH: tl.constexpr,
):  # fmt: skip
    """State n in a strip: its drive, h and lambda, and the costates (BD, BN) that the next strip
    takes over, of which `this` is the state's."""
    a = tl.exp(dt * A)
    next_a = tl.exp(tl.where(inside, next_dt, 0.0) * A)
    if FRESH:
        a = tl.where(line_start(rows, cols, Hs, Ws, AXIS, REVERSE), 0.0, a)
        cut = line_start(next_rows, next_cols, Hs, Ws, AXIS, REVERSE) & inside
        next_a = tl.where(cut, 0.0, next_a)
    drive = dt * x * B
    a, h = linear_scan(a, drive, AXIS, REVERSE)
    if STRIPS > 1:
        start = tl.load(starts_at + strip * N + n, held, 0.0)
        h += a * start[:, None, None]
    next_a, lam = linear_scan(next_a, C * g, AXIS, not REVERSE)
    if STRIPS > 1:
        lam += next_a * tl.sum(tl.where(this, costates, 0.0), 1)[:, None, None]
        end = last_of(lam, rows, cols, strip, AXIS, not REVERSE)
        costates = tl.where(this, end[:, None], costates)
    return drive, h, lam, costates


@triton.jit
def _backward_route(
    gx_sum, gy_ptr, x_ptr, delta_ptr, weight_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr,
    gx_ptr, gdelta_ptr, gA_ptr, gB_ptr, gC_ptr, gD_ptr, gbias_ptr, starts_ptr,
    image, group, low_maps, B_maps, C_maps, d, Dm, N, H, W, Hs, Ws, L, plane,
    SEQUENCE: tl.constexpr, STRIPS, RANK: tl.constexpr, k: tl.constexpr, K: tl.constexpr,
    AXIS: tl.constexpr, REVERSE: tl.constexpr, MIRROR: tl.constexpr, FRESH: tl.constexpr,
    STEP: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr, MERGE: tl.constexpr, FIRST: tl.constexpr,
    BD: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Gradients along route k; x's go to `gx_sum`, or to `gx_ptr` where tiles differ."""
    row0: tl.constexpr = k % STEP
    col0: tl.constexpr = k // STEP * (STEP > 1)
    params = (group * K + k) * Dm + d  # (BD,)
    sums = (image * K + k) * Dm + d  # (BD,), one row per image
    held = d < Dm
    channel = held[:, None, None]
    map_at = ((image * Dm + d) * plane)[:, None, None]
    route_at = (((image * K + k) * Dm + d) * plane)[:, None, None]
    B_at = B_ptr + (image * K + k) * B_maps * plane
    C_at = C_ptr + (image * K + k) * C_maps * plane
    matrix_at = (image * K + k) * N * plane  # of gB and gC
    states = tl.arange(0, BN)[None, :]
    bias, D = tl.zeros((BD,), tl.float32), tl.zeros((BD,), tl.float32)
    if HAS_BIAS:
        bias += tl.load(bias_ptr + params, held, 0.0).to(tl.float32)
    if HAS_D:
        D += tl.load(D_ptr + params, held, 0.0).to(tl.float32)
    starts_at = starts_ptr + sums * STRIPS * N
    if STRIPS > 1:
        _strip_starts(
            starts_at, x_ptr + map_at, delta_ptr, weight_ptr, A_ptr + params * N,
            B_at, bias, image * K + k, low_maps, d, params, Dm,
            N, H, W, Hs, Ws, L, plane, SEQUENCE, STRIPS, RANK, row0, col0,
            AXIS, REVERSE, MIRROR, FRESH, STEP, SOFTPLUS, BD, BR, BC, BN,
        )  # fmt: skip
        tl.debug_barrier()
    costates, gA = tl.zeros((BD, BN), tl.float32), tl.zeros((BD, BN), tl.float32)
    gD, gbias = tl.zeros((BD,), tl.float32), tl.zeros((BD,), tl.float32)
    for turn in range(STRIPS):
        strip = turn if REVERSE else STRIPS - 1 - turn
        rows, cols = tile_place(strip, AXIS, BR, BC)
        inside = counted(rows, cols, Hs, Ws, L, SEQUENCE)
        read, real = pixel(rows, cols, H, W, row0, col0, AXIS, MIRROR, STEP)
        real = real & inside
        to, kept = pixel(rows, cols, H, W, row0, col0, AXIS, False, STEP)
        x = tl.load(x_ptr + map_at + read, real & channel, 0.0).to(tl.float32)
        g = tl.load(gy_ptr + map_at + to, kept & inside & channel, 0.0).to(tl.float32)
        dt, z = _step_size(
            delta_ptr, weight_ptr, image * K + k, low_maps, d, params, Dm, plane, rows, cols, bias,
            H, W, Hs, Ws, L, SEQUENCE, RANK, row0, col0, AXIS, MIRROR, STEP, SOFTPLUS,
        )  # fmt: skip
        next_rows, next_cols = _next_place(rows, cols, Hs, Ws, AXIS, REVERSE)
        next_dt, _ = _step_size(
            delta_ptr, weight_ptr, image * K + k, low_maps, d, params, Dm, plane, next_rows,
            next_cols, bias, H, W, Hs, Ws, L, SEQUENCE, RANK, row0, col0, AXIS, MIRROR, STEP,
            SOFTPLUS,
        )  # fmt: skip
        g_drive = tl.zeros((BD, BR, BC), tl.float32)
        g_dt = tl.zeros((BD, BR, BC), tl.float32)
        for n in range(N):
            this = states == n
            A = tl.load(A_ptr + params * N + n, held, 0.0).to(tl.float32)[:, None, None]
            B = tl.load(B_at + n * plane + read, real, 0.0).to(tl.float32)
            C = tl.load(C_at + n * plane + read, real, 0.0).to(tl.float32)
            drive, h, lam, costates = _state_and_costate(
                A, B, C, x, g, dt, next_dt, starts_at, costates, this, rows, cols, next_rows,
                next_cols, inside, held, strip, STRIPS, n, N, Hs, Ws, AXIS, REVERSE, FRESH,
            )  # fmt: skip
            g_log = tl.where(inside, lam * (h - drive), 0.0)
            g_dt += g_log * A
            g_drive += lam * B
            gA += tl.where(this, tl.sum(tl.sum(g_log * dt, 2), 1)[:, None], 0.0)
            at = matrix_at + n * plane + read
            gB = tl.load(gB_ptr + at, real, 0.0) + tl.sum(lam * dt * x, 0)[None]
            gC = tl.load(gC_ptr + at, real, 0.0) + tl.sum(h * g, 0)[None]
            tl.store(gB_ptr + at, gB, real)
            tl.store(gC_ptr + at, gC, real)
        g_dt += g_drive * x
        if SOFTPLUS:
            g_dt = g_dt / (1.0 + tl.exp(-z))
        g_dt = tl.where(inside, g_dt, 0.0)
        gD += tl.sum(tl.sum(g * x, 2), 1)
        gbias += tl.sum(tl.sum(g_dt, 2), 1)
        g_dt = g_dt.to(gdelta_ptr.dtype.element_ty)
        tl.store(gdelta_ptr + route_at + read, g_dt, real & channel)
        gx = g_drive * dt + D[:, None, None] * g
        if MERGE:
            gx_sum += gx
        else:
            if not FIRST:
                gx += tl.load(gx_ptr + map_at + read, real & channel, 0.0).to(tl.float32)
            tl.store(gx_ptr + map_at + read, gx.to(gx_ptr.dtype.element_ty), real & channel)
    tl.store(gA_ptr + (sums * N)[:, None] + states, gA, held[:, None] & (states < N))
    if HAS_D:
        tl.store(gD_ptr + sums, gD, held)
    if HAS_BIAS:
        tl.store(gbias_ptr + sums, gbias, held)
    return gx_sum


@triton.jit(do_not_specialize=["low_maps", "B_maps", "C_maps", "L", "PARTS", "part_elements"])
def _scan_bwd(
    gy_ptr, x_ptr, delta_ptr, weight_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr,
    gx_ptr, gdelta_ptr, gA_ptr, gB_ptr, gC_ptr, gD_ptr, gbias_ptr, starts_ptr,
    PARTS, part_elements, low_maps, B_maps, C_maps, Dm, N, L, ROW_STRIPS, COL_STRIPS,
    RANK: tl.constexpr, H: tl.constexpr, W: tl.constexpr, Hs: tl.constexpr, Ws: tl.constexpr,
    SEQUENCE: tl.constexpr,
    GROUPS: tl.constexpr, K: tl.constexpr, AXES: tl.constexpr, REVERSES: tl.constexpr,
    MIRRORS: tl.constexpr, FRESH: tl.constexpr, STEP: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr, MERGE: tl.constexpr,
    BD: tl.constexpr, ROW_BR: tl.constexpr, ROW_BC: tl.constexpr, COL_BR: tl.constexpr,
    COL_BC: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    plane = L if SEQUENCE else H * W
    image = (tl.program_id(0) // PARTS).to(tl.int64)  # int64: offsets overflow int32
    part = (tl.program_id(0) % PARTS).to(tl.int64)
    gB_ptr += part * part_elements
    gC_ptr += part * part_elements
    for block in range(part, tl.cdiv(Dm, BD), PARTS):
        d = block * BD + tl.arange(0, BD)
        gx = tl.zeros((BD, ROW_BR, ROW_BC), tl.float32)
        for k in tl.static_range(K):
            gx = _backward_route(
                gx, gy_ptr, x_ptr, delta_ptr, weight_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr,
                gx_ptr, gdelta_ptr, gA_ptr, gB_ptr, gC_ptr, gD_ptr, gbias_ptr, starts_ptr,
                image, image % GROUPS, low_maps, B_maps, C_maps, d, Dm, N, H, W, Hs, Ws, L,
                plane, SEQUENCE, ROW_STRIPS if (AXES >> k) & 1 else COL_STRIPS, RANK, k, K,
                (AXES >> k) & 1, (REVERSES >> k) & 1, (MIRRORS >> k) & 1, FRESH, STEP, SOFTPLUS,
                HAS_D, HAS_BIAS, MERGE, k == 0 or STEP > 1, BD,
                ROW_BR if (AXES >> k) & 1 else COL_BR, ROW_BC if (AXES >> k) & 1 else COL_BC, BN,
            )  # fmt: skip
            if not MERGE:
                tl.debug_barrier()  # the next route reads what other threads of this one wrote
        if MERGE:
            store_merged(gx_ptr, gx, image, d, Dm, W, Hs, Ws, L, plane, SEQUENCE)
        tl.debug_barrier()  # the next channels add to what other threads may have written


def ss2d_scan_triton_backward(
    gy: Tensor, given: MapInputs, *, scan: str, step: int
) -> list[Tensor]:
    """Gradients of u, delta, A, B, C, D and delta_bias."""
    return ss2d_scan_low_rank_triton_backward(gy, given, None, scan=scan, step=step)


def ss2d_scan_low_rank_triton_backward(
    gy: Tensor, given: MapInputs, dt_weight: Tensor | None, *, scan: str, step: int
) -> list[Tensor]:
    """The same; with `dt_weight` its factor stands for delta in `given`, as in the forward."""
    (Bt, Dm, H, W), N = given[0].shape, given[2].shape[2]
    launch = plan(Bt, Dm, N, H, W, scan=scan, step=step, L=H * W, tile=TILE_ELEMENTS)
    return scan_backward(gy, given, launch, groups=1, softplus_delta=True, dt_weight=dt_weight)


def scan_backward(
    gy: Tensor,
    given: SequenceInputs,
    launch: Launch,
    *,
    groups: int,
    softplus_delta: bool,
    dt_weight: Tensor | None = None,
) -> list[Tensor]:
    """Launch the backward kernel: gradients of x, delta, A, B, C, D, delta_bias where given.

    With `dt_weight` delta is its factor, of whose dtype the gradient of their product is.
    """
    x, delta, A, B, C, D, delta_bias = given
    K, STEP, N = launch.constants["K"], launch.constants["STEP"], launch.sizes["N"]
    images, Dm = B.shape[0] * (B.shape[1] // K), launch.sizes["Dm"]
    merge = launch.one_tile and STEP == 1 and not launch.mirrored
    wide = dict(dtype=torch.float32, device=x.device)
    gx = torch.empty(x.shape, **(dict(wide, dtype=x.dtype) if merge or STEP > 1 else wide))
    of_delta = delta.shape if dt_weight is None else (*B.shape[:2], Dm, *B.shape[3:])
    gdelta = delta.new_zeros(of_delta) if STEP > 1 else delta.new_empty(of_delta)
    gA = torch.empty((images // groups, groups * K * Dm, N), **wide)
    gD, gbias = (torch.empty((images // groups, groups * K * Dm), **wide) for _ in range(2))
    parts = _parts(images, launch.grid[0] // images, B.numel())
    gB, gC = (torch.zeros((parts, *B.shape), **wide) for _ in range(2))
    strips = max(launch.sizes["ROW_STRIPS"], launch.sizes["COL_STRIPS"])
    starts = torch.empty(images * K * Dm * N * (strips if strips > 1 else 0), **wide)
    gy, x, A = gy.contiguous(), x.contiguous(), A.contiguous()
    delta, low_maps = step_rows(delta, dt_weight)
    (B, B_maps), (C, C_maps) = by_route(B), by_route(C)
    _scan_bwd[(images * parts,)](
        gy, x, delta, x if dt_weight is None else dt_weight.contiguous(), A, B, C,
        x if D is None else D.contiguous(), x if delta_bias is None else delta_bias.contiguous(),
        gx, gdelta, gA, gB, gC, gD, gbias, starts if strips > 1 else gA,
        parts, B.numel(), low_maps, B_maps, C_maps,
        **launch.sizes,
        **launch.constants,
        RANK=rank_of(dt_weight), GROUPS=groups, SOFTPLUS=softplus_delta, HAS_D=D is not None,
        HAS_BIAS=delta_bias is not None, MERGE=merge, num_warps=min(16, 2 * launch.num_warps),
    )  # fmt: skip
    grads = (gx, gdelta, gA.sum(0), _sum(gB), _sum(gC), gD.sum(0), gbias.sum(0))
    pairs = zip(grads, (x, gdelta, *given[2:]), strict=True)
    return [g.view(t.shape).to(t.dtype) for g, t in pairs if t is not None]


def _parts(images: int, blocks: int, elements: int) -> int:
    """Programs of an image, each with a part of gB and gC, which have so many elements."""
    return max(1, min(blocks, -(-PROGRAMS // images), PART_ELEMENTS // max(1, elements)))


def _sum(parts: Tensor) -> Tensor:
    return parts[0] if len(parts) == 1 else parts.sum(0)
