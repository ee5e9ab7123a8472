"""In which order each route of an SS2D or ES2D scan walks the pixels of a map."""

from typing import Literal, get_args

import torch
from torch import Tensor

Scan = Literal["unidi", "bidi", "cross", "rows", "cols", "atrous"]
SCANS: tuple[str, ...] = get_args(Scan)


def route_count(scan: str, step: int = 1) -> int:
    """K, the number of routes: 4, 2 for "rows" and "cols", step * step for "atrous"."""
    if scan == "atrous":
        return step * step
    return 2 if scan in ("rows", "cols") else 4


def scan_orders(
    scan: str, H: int, W: int, *, step: int = 1, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """The pixels that each route reads, and those that its results belong to.

    Returns:
        read: (K, S, T) int64, flat pixel h * W + w at step t of sequence s of route k; -1 is a
            pixel of zero padding, which takes part in the recursion with a zero input.
        write: same shape, the pixel that receives the result; it differs from `read` in route 1
            of "rows" and "cols" only, which is not flipped back.

    Source: VMamba, arXiv 2401.10166, Fig. 12 and Table 10 for unidi, bidi, cascade ("rows" then
    "cols") and cross; EfficientVMamba, arXiv 2403.09977, Sec. 4.1 for "atrous", of which only
    step 2 is published.
    """
    grid = torch.arange(H * W, device=device).view(H, W)
    if scan == "atrous":
        read = _atrous_orders(grid, step)
        return read, read
    if scan in ("rows", "cols"):
        lines = grid if scan == "rows" else grid.T  # (S, T)
        return torch.stack([lines, lines.flip(1)]), torch.stack([lines, lines])
    row, col = grid.flatten(), grid.T.flatten()
    routes = {
        "unidi": [row, row, row, row],
        "bidi": [row, row, row.flip(0), row.flip(0)],
        "cross": [row, col, row.flip(0), col.flip(0)],
    }[scan]
    read = torch.stack(routes)[:, None]  # (4, 1, L)
    return read, read


def _atrous_orders(grid: Tensor, step: int) -> Tensor:
    """Phase k holds pixels (k % step + i*step, k // step + j*step); odd phases go by column."""
    H, W = grid.shape
    rows, cols = -(-H // step), -(-W // step)
    padded = grid.new_full((rows * step, cols * step), -1)
    padded[:H, :W] = grid
    routes = []
    for k in range(step * step):
        phase = padded[k % step :: step, k // step :: step]
        routes.append((phase.T if k % 2 else phase).flatten())
    return torch.stack(routes)[:, None]
