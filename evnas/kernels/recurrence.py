"""A diagonal linear recurrence in plain torch: blocks side by side, no loop over the sequence.

A sequence of T * M steps lies in an array (R, X, T, ..., M) of R * X routes, with step
t = m * T + i of a route at [r, x, i, ..., m]: M lines of T steps. Each line is cut into blocks of
`block_length(T)` steps. All blocks of all rows advance together, so that the loop runs over the
few steps of one block on large contiguous slices; block ends are then chained, and a second sweep
starts each block from its true state. Only products of decays in [0, 1] are formed, so nothing
overflows however strong the decay is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

MIN_BLOCK = 8  # steps of a block, at least, where T has such a divisor: fewer gain nothing


def block_length(T: int) -> int:
    """The smallest divisor of T that is at least MIN_BLOCK, or T."""
    return next((n for n in range(MIN_BLOCK, T // 2 + 1) if T % n == 0), T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How the blocks of one route chain into sequences."""

    reverse: bool = False  # from the last step to the first
    fresh: bool = False  # every line is a sequence of its own: no state crosses lines

    def turned(self) -> "Walk":
        """The same sequences walked the other way, as the adjoint does."""
        return Walk(reverse=not self.reverse, fresh=self.fresh)

    def steps(self, blocks: Tensor) -> Sequence[Tensor]:
        """The slices (r, X, J, ..., M) of an array (r, X, T, ..., M), in the order of the walk."""
        slices = _blocks(blocks).unbind(3)
        return slices[::-1] if self.reverse else slices


def alike(walks: Sequence[Walk]) -> Iterator[tuple[slice, Walk]]:
    """Routes in a row that walk the same way, which advance together: their slice, their walk."""
    first = 0
    for walk, routes in groupby(walks):
        last = first + len(list(routes))
        yield slice(first, last), walk
        first = last


def block_sums(steps: Tensor) -> Tensor:
    """(R, X, T, ..., M) -> (R, X, J, ..., M), summed over the steps of each block."""
    return _blocks(steps).sum(3)


def _blocks(steps: Tensor) -> Tensor:
    """(R, X, T, ..., M) -> (R, X, J, block length, ..., M)."""
    length = block_length(steps.shape[2])
    return steps.view(*steps.shape[:2], -1, length, *steps.shape[3:])


def scan_(decay: Sequence[Tensor], drive: Sequence[Tensor], product: Tensor, walk: Walk) -> None:
    """Turn `drive` into the states h = decay * h + drive, in place.

    Args:
        decay: slices (r, X, J, ..., M) in the order of the walk, in [0, 1].
        drive: slices of the same shape, overwritten.
        product: (r, X, J, ..., M), the product of the decays of each block.
        walk: how blocks chain.
    """
    state = starts(decay, drive, product, walk)
    for a, b in zip(decay, drive, strict=True):
        state = b.addcmul_(a, state)


def starts(
    decay: Sequence[Tensor], drive: Sequence[Tensor], product: Tensor, walk: Walk
) -> Tensor:
    """(r, X, J, ..., M): the state from which each block starts. Arguments as in `scan_`."""
    if walk.fresh and product.shape[2] == 1:
        return torch.zeros_like(product)
    end = drive[0].clone(memory_format=torch.contiguous_format)
    for a, b in zip(decay[1:], drive[1:], strict=True):
        torch.addcmul(b, a, end, out=end)
    return _chain_blocks(product, end, walk)


def _chain_blocks(product: Tensor, end: Tensor, walk: Walk) -> Tensor:
    """From each block's decay and end state from zero, (r, X, J, ..., M), the states at starts.

    In the order of the walk, block j starts from end[j-1] + product[j-1] * start[j-1].
    """
    begin = torch.empty_like(end)
    P, E, S = product.unbind(2), end.unbind(2), begin.unbind(2)
    if walk.reverse:
        P, E, S = P[::-1], E[::-1], S[::-1]
    if walk.fresh:
        S[0].zero_()
    else:
        line_P, line_E = P[0].clone(), E[0].clone()
        for p, e in zip(P[1:], E[1:], strict=True):
            torch.addcmul(e, p, line_E, out=line_E)
            line_P.mul_(p)
        S[0].copy_(_chain_lines(line_P, line_E, walk.reverse))
    for p, e, s, following in zip(P, E, S, S[1:], strict=False):
        torch.addcmul(e, p, s, out=following)
    return begin


def _chain_lines(product: Tensor, end: Tensor, reverse: bool) -> Tensor:
    """The state from which each line starts, a view: log2(M) rounds of doubling over all lines.

    Lines stand behind a margin of zeros, which is what reaches in from before the first line.
    """
    M = product.shape[-1]
    margin = 1 << (M - 1).bit_length()
    at, back = (0, 1) if reverse else (margin, -1)  # of the lines, and towards those before
    now, then = product.new_zeros(2, 2, *product.shape[:-1], margin + M).unbind(0)
    torch.stack([product, end], out=now.narrow(-1, at, M))
    reach = 1
    while reach < M:
        P, E = now.narrow(-1, at, M).unbind(0)
        reached = then.narrow(-1, at, M)
        torch.mul(P, now.narrow(-1, at + back * reach, M), out=reached)
        reached[1].add_(E)
        now, then, reach = then, now, 2 * reach
    return now[1].narrow(-1, at + back, M)
