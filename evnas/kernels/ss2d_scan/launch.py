"""Tiles, strips and flags for a launch of the Triton scans: arithmetic only, no Triton."""

import math
from dataclasses import dataclass

from torch import Tensor

from .cpu import planes

PATCH_ROWS = 7  # of a thread's patch, at most; with 8 columns it takes 215 registers

ENDLESS = 2**24
"""Rows of a sequence, as its kernels know them: it ends at step L, for which none is compiled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Constants of a launch, for the forward and the backward kernel alike."""

    sizes: dict[str, int]
    constants: dict[str, int | bool]
    grid: tuple[int]
    one_tile: bool
    mirrored: bool
    num_warps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """Constants of a launch that holds whole maps in registers, a patch a thread."""

    constants: dict[str, int]
    grid: tuple[int]
    num_warps: int


def patches(
    images: int, Dm: int, N: int, H: int, W: int, *, scan: str, itemsize: int
) -> Patches | None:
    """Patches for a scan over maps (Dm, H, W) whose widest entries take `itemsize` bytes.

    None where the scan has several states, or walks less or more than each pixel once per route,
    or a map takes more threads than 256: with 512 registers spill, and warps wait for warps.
    """
    V = math.gcd(W, 16 // itemsize)  # neighbours that one load brings
    C, G = power_of_two(W // V), power_of_two(-(-H // PATCH_ROWS))
    threads = G * C
    if N > 1 or scan not in ("unidi", "bidi", "cross") or C > 32 or threads > 256:
        return None
    G1 = min(G, 32 // C)
    BD = max(1, min(power_of_two(Dm), 128 // threads))
    routes = [(p.by_column, *route) for p in planes(scan, 1) for route in p.routes]
    return Patches(
        constants=dict(
            H=H,
            W=W,
            K=len(routes),
            AXES=sum((not by_column) << k for by_column, k, _, _ in routes),
            REVERSES=sum(walk.reverse << k for _, k, walk, _ in routes),
            BD=BD,
            G2=G // G1,
            G1=G1,
            C=C,
            R=-(-H // G),
            V=V,
        ),
        grid=(images * -(-Dm // BD),),
        num_warps=max(1, BD * threads // 32),
    )


def adjoint_patches(images: int, Dm: int, N: int, H: int, W: int, *, scan: str) -> Patches | None:
    """Patches for the backward, where there are some; `grid` is of the forward.

    They have 4 columns at most in any dtype, as those of a forward in float32: what two passes
    keep of a patch has to fit registers.
    """
    return patches(images, Dm, N, H, W, scan=scan, itemsize=4)


def plan(
    images: int, Dm: int, N: int, H: int, W: int, *, scan: str, step: int, L: int, tile: int
) -> Launch:
    """Tiles and flags for a scan over `images` maps (Dm, H, W) of which L pixels count."""
    Hs, Ws = -(-H // step), -(-W // step)
    rows, cols = power_of_two(Hs), power_of_two(Ws)
    one_tile = rows * cols <= tile
    strip_rows = rows if one_tile else max(1, min(rows, tile // 2 // cols))
    strip_cols = cols if one_tile else max(1, min(cols, tile // 2 // rows))
    BD = max(1, min(power_of_two(Dm), tile // 4 // (rows * cols)))
    axes = reverses = mirrors = 0
    fresh = False
    walked = planes("atrous" if scan == "sequence" else scan, step)  # a sequence: one route
    routes = [(p.by_column, *route) for p in walked for route in p.routes]
    for by_column, k, walk, mirrored in routes:
        axes |= (not by_column) << k
        reverses |= walk.reverse << k
        mirrors |= mirrored << k
        fresh = walk.fresh
    elements = BD * max(strip_rows * cols, rows * strip_cols)
    return Launch(
        sizes=dict(
            Dm=Dm,
            N=N,
            L=L,
            ROW_STRIPS=-(-Hs // strip_rows),
            COL_STRIPS=-(-Ws // strip_cols),
        ),
        constants=dict(
            H=ENDLESS if scan == "sequence" else H,
            W=W,
            Hs=ENDLESS if scan == "sequence" else Hs,
            Ws=Ws,
            SEQUENCE=scan == "sequence",
            K=len(routes),
            AXES=axes,
            REVERSES=reverses,
            MIRRORS=mirrors,
            FRESH=fresh,
            STEP=step,
            BD=BD,
            ROW_BR=strip_rows,
            ROW_BC=cols,
            COL_BR=rows,
            COL_BC=strip_cols,
            BN=power_of_two(N),
        ),
        grid=(images * -(-Dm // BD),),
        one_tile=one_tile,
        mirrored=mirrors != 0,
        num_warps=max(4, min(16, elements // 256)),
    )


def by_route(maps: Tensor) -> tuple[Tensor, int]:
    """Maps of routes, (Bt, K, rows, ...), as they lie, and how many lie between the first of one
    route and the first of the next: `rows`, or more in a slice of a larger tensor. Copied only
    where a route's maps do not lie one after the other, or routes not at one distance."""
    plane = maps[0, 0, 0].numel()
    routes = maps.flatten(0, 1)  # copies where images do not follow one another as routes do
    if not routes[0].is_contiguous() or routes.stride(0) % plane:
        routes = routes.contiguous()
    return routes, routes.stride(0) // plane


def step_rows(delta: Tensor, dt_weight: Tensor | None) -> tuple[Tensor, int]:
    """delta, or with `dt_weight` its factor as it lies and the maps from one route to the next."""
    return (delta.contiguous(), 0) if dt_weight is None else by_route(delta)


def rank_of(dt_weight: Tensor | None) -> int:
    """R of a step's weight (K, Dm, R), as kernels want it: 0 where delta comes as it is."""
    return 0 if dt_weight is None else dt_weight.shape[2]


def power_of_two(size: int) -> int:
    """The least power of two that is no less than `size`."""
    return 1 << (size - 1).bit_length()
