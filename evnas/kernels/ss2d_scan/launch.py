"""Tiles, strips and flags for a launch of the Triton scans: arithmetic only, no Triton."""

from dataclasses import dataclass

from .cpu import planes

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


def power_of_two(size: int) -> int:
    """The least power of two that is no less than `size`."""
    return 1 << (size - 1).bit_length()
