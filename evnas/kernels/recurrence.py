"""A diagonal linear recurrence in plain torch: blocks side by side, no loop over the sequence.

A sequence of T * M steps lies in an array (T, ..., M) with step t = m * T + i at [i, ..., m]: M
lines of T steps. Each line is cut into blocks of `block_length(T)` steps. All blocks of all rows
advance together, so that the loop runs over the few steps of one block on large contiguous
slices; block ends are then chained, and a second sweep starts each block from its true state.
Only products of decays in [0, 1] are formed, so nothing overflows however strong the decay is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MIN_BLOCK = 8  # steps of a block, at least, where T has such a divisor: fewer gain nothing


def block_length(T: int) -> int:
    """The smallest divisor of T that is at least MIN_BLOCK, or T."""
    return next((n for n in range(MIN_BLOCK, T // 2 + 1) if T % n == 0), T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How the blocks of an (T, ..., M) array chain into sequences."""

    reverse: bool = False  # from the last step to the first
    fresh: bool = False  # every line is a sequence of its own: no state crosses lines

    def turned(self) -> "Walk":
        """The same sequences walked the other way, as the adjoint does."""
        return Walk(reverse=not self.reverse, fresh=self.fresh)

    def steps(self, blocks: Tensor) -> Sequence[Tensor]:
        """The slices (J, ..., M) of an array (T, ..., M), in the order of the walk."""
        T = blocks.shape[0]
        length = block_length(T)
        slices = blocks.view(T // length, length, *blocks.shape[1:]).unbind(1)
        return slices[::-1] if self.reverse else slices


def block_sums(steps: Tensor) -> Tensor:
    """(T, ..., M) -> (J, ..., M), summed over the steps of each block."""
    length = block_length(steps.shape[0])
    return steps.view(-1, length, *steps.shape[1:]).sum(1)


def scan_(decay: Sequence[Tensor], drive: Sequence[Tensor], product: Tensor, walk: Walk) -> Tensor:
    """Turn `drive` into the states h = decay * h + drive, in place.

    Args:
        decay: slices (J, ..., M) in the order of the walk, in [0, 1].
        drive: slices of the same shape, overwritten.
        product: (J, ..., M), the product of the decays of each block.
        walk: how blocks chain.

    Returns:
        (J, ..., M): the state that each block started from.
    """
    start = starts(decay, drive, product, walk)
    state = start
    for a, b in zip(decay, drive, strict=True):
        state = b.addcmul_(a, state)
    return start


def starts(
    decay: Sequence[Tensor], drive: Sequence[Tensor], product: Tensor, walk: Walk
) -> Tensor:
    """(J, ..., M): the state from which each block starts. Arguments as in `scan_`."""
    if walk.fresh and product.shape[0] == 1:
        return torch.zeros_like(product)
    end = drive[0].clone()
    for a, b in zip(decay[1:], drive[1:], strict=True):
        torch.addcmul(b, a, end, out=end)
    return _chain_blocks(product, end, walk)


def _chain_blocks(product: Tensor, end: Tensor, walk: Walk) -> Tensor:
    """From each block's decay and its end state from zero, (J, ..., M), the states at starts."""
    P, E = product.unbind(0), end.unbind(0)
    if walk.reverse:
        P, E = P[::-1], E[::-1]
    line_P, line_E = P[0], E[0]
    for p, e in zip(P[1:], E[1:], strict=True):
        line_E = torch.addcmul(e, p, line_E)
        line_P = line_P * p
    first = torch.zeros_like(line_E) if walk.fresh else _chain_lines(line_P, line_E, walk.reverse)
    begin = [first]
    for p, e in zip(P[:-1], E[:-1], strict=True):
        begin.append(torch.addcmul(e, p, begin[-1]))
    return torch.stack(begin[::-1] if walk.reverse else begin)


def _chain_lines(product: Tensor, end: Tensor, reverse: bool) -> Tensor:
    """Exclusive scan over the last axis by doubling: log2(M) rounds, each over all lines."""
    M, reach = product.shape[-1], 1
    product, end = product.clone(), end.clone()
    while reach < M:
        near = slice(None, -reach) if reverse else slice(reach, None)
        far = slice(reach, None) if reverse else slice(None, -reach)
        wide_end, wide_product = end.clone(), product.clone()
        wide_end[..., near].addcmul_(product[..., near], end[..., far])
        wide_product[..., near].mul_(product[..., far])
        end, product, reach = wide_end, wide_product, 2 * reach
    begin = torch.zeros_like(end)
    if reverse:
        begin[..., :-1] = end[..., 1:]
    else:
        begin[..., 1:] = end[..., :-1]
    return begin
