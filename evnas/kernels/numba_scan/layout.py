"""What the compiled loops and their caller agree on."""

GROUP = 4
"""Channels that go through together, so that their recurrences hide each other's latency."""

SCRATCH_MAPS = 8
"""Maps of (GROUP, L) that a worker needs; the forward uses five of them."""

BY_COLUMN, REVERSE, FRESH, MIRRORED = 1, 2, 4, 8
"""Bits of a walk: along columns; from the last pixel; each line a sequence of its own; results
go to the mirrored pixel of their line."""

WORDS = 13
"""Counters and sizes before the addresses."""

# An entry point takes int64 words: the counters of tasks and of workers, both 0 at first; where it
# leaves the version of its code; the address of the first word; Bt, K, parameter sets, Dm, N, H,
# W, parts, softplus; then addresses of u, delta, A, B, C, D, bias, walks, scratch and y. For a
# backward y is the gradient that comes in, and addresses for those of u, delta, A, B, C, D and
# bias follow.
