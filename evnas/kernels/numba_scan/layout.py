"""What the compiled loops and their caller agree on."""

import math

GROUP = 4
"""Channels that go through together, so that their recurrences hide each other's latency."""

SCRATCH_MAPS = 8
"""Maps of (GROUP, L) that a worker needs; the forward uses five of them."""

CHUNK = 256
"""Steps that an adjoint of many states walks forward and then back, so that what it keeps of them
stays in a core's cache."""

LANES = 16
"""States of one channel that go through a step as one vector, `by_lanes`."""

VECTORS = 5
"""Of each channel beside: its states, its rates twice, and gradients of both."""

LONG_LINE = 56
"""Pixels of a line beyond which its length changes little."""

BY_COLUMN, REVERSE, FRESH, MIRRORED = 1, 2, 4, 8
"""Bits of a walk: along columns; from the last pixel; each line a sequence of its own; results
go to the mirrored pixel of their line."""

WORDS = 14
"""Counters and sizes before the addresses."""

# An entry point takes int64 words: the counters of tasks and of workers, both 0 at first; where it
# leaves the version of its code; the address of the first word; Bt, K, parameter sets, Dm, N, H,
# W, parts, softplus, floats of scratch of each worker; then addresses of u, delta, A, B, C, D,
# bias, walks, scratch and y. For a backward y is the gradient that comes in, and addresses for
# those of u, delta, A, B, C, D and bias follow.


def by_lanes(N: int, W: int) -> bool:
    """Whether N states go through steps as vectors (`state_lanes`) rather than each by itself over
    maps W wide (`entries`).

    That costs as much for one state as for LANES; the other way costs the more for each, the
    shorter the lines are. On a CPU with AVX2 both were about equally fast at 4, 6, 8 and 11 states
    for W = 7, 14, 28 and 56 (`docs/results/performance.md`).
    """
    return 1.5 * math.sqrt(min(W, LONG_LINE)) <= N


def map_floats(H: int, W: int) -> int:
    """A worker's scratch where each state goes by itself: maps, and lanes of a pixel row."""
    return SCRATCH_MAPS * GROUP * H * W + 2 * W


def lane_floats(L: int, N: int) -> int:
    """What `state_lanes.places` lays out beside that."""
    blocks, chunks = -(-N // LANES), -(-L // CHUNK)
    vectors = 4 * blocks * L + 2 * CHUNK + GROUP * chunks + VECTORS * GROUP
    return LANES * (vectors + 1) + L  # one for the first to begin with a line of the cache
