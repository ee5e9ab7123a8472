"""The scans with many states: LANES of a channel's states go through each step together.

In place of passes over a map for each state by itself (`entries`), one pass for LANES of them,
step after step in the order of the walk, whichever way it goes. B and C are laid out for that
once for each route, by step and state. The adjoint walks in chunks: forward from where each of
them starts, which is kept, then back.
"""

from typing import NamedTuple

from numba import carray, types

from .layout import BY_COLUMN, CHUNK, FRESH, GROUP, LANES, MIRRORED, REVERSE, VECTORS
from .loops import (
    LOG2_E,
    add_mirrored,
    add_scaled,
    channel_begun,
    channel_ended,
    f32,
    fast,
    float_pointer,
    pointer_to,
    steps,
    times,
)
from .vectors import advance, advance_and_keep, advance_and_read, retreat

WIDE = 4 * LANES
"""Bytes of the states that go through a step together."""
H, RATE, A_OWN, GA, G = 0, WIDE, 2 * WIDE, 3 * WIDE, 4 * WIDE
"""Where a channel's own vectors lie: states; A, in powers of two and as it is; its gradient; what
later steps want of the states."""
OWN = VECTORS * WIDE

int_pointer = pointer_to(types.int32)


@fast
def vector(address):
    """The LANES floats at an address."""
    return carray(float_pointer(address), LANES)


class Places(NamedTuple):
    """Addresses of what a worker lays out."""

    B: int
    """By step and state, in blocks of LANES states; so are the next three."""
    C: int
    gB: int
    gC: int
    decay: int
    """Of each step of a chunk."""
    carried: int
    """What it left of the states."""
    starts: int
    """The states at the start of each chunk, of GROUP channels."""
    own: int
    """The vectors of GROUP channels."""
    pixels: int
    """Of each step: int32."""


@fast
def places(scratch, L, N):
    """Where they lie in what `layout.lane_floats` asked for."""
    maps = (N + LANES - 1) // LANES * L * WIDE
    B = (scratch + WIDE - 1) // WIDE * WIDE  # a vector of floats in one line of the cache
    decay = B + 4 * maps
    carried = decay + CHUNK * WIDE
    starts = carried + CHUNK * WIDE
    own = starts + GROUP * ((L + CHUNK - 1) // CHUNK) * WIDE
    pixels = own + GROUP * OWN
    return Places(B, B + maps, B + 2 * maps, B + 3 * maps, decay, carried, starts, own, pixels)


@fast
def walk_pixels(walk, height, width, pixels):
    """The pixel of each step; returns how many steps a line has."""
    L = height * width
    for t in range(L):
        way = L - 1 - t if walk & REVERSE else t
        pixels[t] = way % height * width + way // height if walk & BY_COLUMN else way
    return height if walk & BY_COLUMN else width


@fast
def by_step(maps, pixels, to):
    """(N, L) in pixel order -> at `to` by step and state, in blocks of LANES; zeros fill the last
    one."""
    (N, L), blocks = maps.shape, (maps.shape[0] + LANES - 1) // LANES
    for block in range(blocks):
        for t in range(L):
            lanes, pixel = vector(to + (block * L + t) * WIDE), pixels[t]
            for lane in range(LANES):
                n = block * LANES + lane
                lanes[lane] = maps[n, pixel] if n < N else f32(0.0)


@fast
def laid_out(walk, height, width, B, C, pixels, at):
    """One route's pixels, B and C in their places; returns after how many steps its states begin
    anew, 0 where they never do."""
    line = walk_pixels(walk, height, width, pixels)
    by_step(B, pixels, at.B)
    by_step(C, pixels, at.C)
    return line if walk & FRESH else 0


@fast
def by_pixel(at, pixels, maps):
    """The other way round, as `maps`."""
    N, L = maps.shape
    for n in range(N):
        block, lane = n // LANES, n % LANES
        for t in range(L):
            maps[n, pixels[t]] = vector(at + (block * L + t) * WIDE)[lane]


@fast
def own_vectors(own, A, n):
    """A channel's own before the first step: its rates from state n on, all else 0."""
    rate, a = vector(own + RATE), vector(own + A_OWN)
    for lane in range(LANES):
        a[lane] = A[n + lane] if n + lane < A.shape[0] else f32(0.0)
        rate[lane] = a[lane] * LOG2_E
    for other in (H, GA, G):
        emptied(own + other)


@fast
def copied(source, to):
    a, b = vector(source), vector(to)
    for lane in range(LANES):
        b[lane] = a[lane]


@fast
def emptied(at):
    lanes = vector(at)
    for lane in range(LANES):
        lanes[lane] = f32(0.0)


@fast
def read_states(own, B, C, pixels, first, end, line, dt, q, out):
    """Adds what the steps from `first` to `end` read of their states; lines of `line` steps begin
    without a past, where that is not 0."""
    for t in range(first, end):
        if line and t % line == 0:
            emptied(own + H)
        p = pixels[t]
        out[p] += advance_and_read(own + H, own + RATE, B + t * WIDE, C + t * WIDE, dt[p], q[p])


@fast
def walk_states(own, B, pixels, first, end, line, dt, q):
    """The states alone."""
    for t in range(first, end):
        if line and t % line == 0:
            emptied(own + H)
        p = pixels[t]
        advance(own + H, own + RATE, B + t * WIDE, dt[p], q[p])


@fast
def walk_back(own, at, block, pixels, first, end, line, dt, q, gy, gq, gdt):
    """Forward once more, then back, over one chunk."""
    for t in range(first, end):
        if line and t % line == 0:
            emptied(own + H)
        p, kept, here = pixels[t], (t - first) * WIDE, block + t * WIDE
        advance_and_keep(
            own + H, own + RATE, at.B + here, dt[p], q[p], at.decay + kept, at.carried + kept
        )
    for i in range(end - first):
        t = end - 1 - i
        if line and (t + 1) % line == 0:
            emptied(own + G)
        p, kept, here = pixels[t], (t - first) * WIDE, block + t * WIDE
        of_q, of_decay = retreat(
            own + G, own + A_OWN, own + GA, at.decay + kept, at.carried + kept,
            at.B + here, at.C + here, at.gB + here, at.gC + here, dt[p], q[p], gy[p],
        )  # fmt: skip
        gq[p] += of_q
        gdt[p] += of_decay


@fast
def walk_both_ways(at, n, pixels, line, count, dt, q, gy, gq, gdt):
    """The adjoint of `count` channels' LANES states from state n on: forward, keeping the states
    at the start of each chunk, then back over one chunk after the other."""
    L = pixels.shape[0]
    block, chunks = n // LANES * L * WIDE, (L + CHUNK - 1) // CHUNK
    for i in range(chunks):
        for j in range(count):
            mine = at.own + j * OWN
            copied(mine + H, at.starts + (i * GROUP + j) * WIDE)
            if i + 1 < chunks:
                first, end = i * CHUNK, (i + 1) * CHUNK
                walk_states(mine, at.B + block, pixels, first, end, line, dt[j], q[j])
    for back in range(chunks):
        i = chunks - 1 - back
        for j in range(count):
            mine = at.own + j * OWN
            copied(at.starts + (i * GROUP + j) * WIDE, mine + H)
            walk_back(
                mine, at, block, pixels, i * CHUNK, min(L, (i + 1) * CHUNK), line,
                dt[j], q[j], gy[j], gq[j], gdt[j],
            )  # fmt: skip


@fast
def forward_of_lanes(b, channels, given, y, scratch, height, width, softplus):
    """Channels (first, end) of image b, along all its routes, into y."""
    u, delta, A, B, C, D, bias, walks = given
    (start, end), (maps, _, rest) = channels, scratch
    L, N = height * width, A.shape[2]
    dt, q, mirrored = maps[0], maps[1], maps[2]
    at = places(rest, L, N)
    pixels = carray(int_pointer(at.pixels), L)
    for d in range(start, end):
        y[b, d][:] = f32(0.0)
    for k in range(delta.shape[1]):
        r = b * delta.shape[1] % A.shape[0] + k
        walk = walks[r]
        line = laid_out(walk, height, width, B[b, k], C[b, k], pixels, at)
        for first in range(start, end, GROUP):
            count = min(GROUP, end - first)
            for j in range(count):
                d = first + j
                steps(delta[b, k, d], bias[r, d], softplus, dt[j])
                times(dt[j], u[b, d], q[j])
                mirrored[j][:] = f32(0.0)
                add_scaled(u[b, d], D[r, d], mirrored[j] if walk & MIRRORED else y[b, d])
            for n in range(0, N, LANES):
                block = n // LANES * L * WIDE
                for j in range(count):
                    own_vectors(at.own + j * OWN, A[r, first + j], n)
                for chunk in range(0, L, CHUNK):
                    for j in range(count):
                        read_states(
                            at.own + j * OWN, at.B + block, at.C + block, pixels,
                            chunk, min(L, chunk + CHUNK), line, dt[j], q[j],
                            mirrored[j] if walk & MIRRORED else y[b, first + j],
                        )  # fmt: skip
            if walk & MIRRORED:
                for j in range(count):
                    add_mirrored(mirrored[j], y[b, first + j], height, width, walk)


@fast
def backward_of_lanes(b, part, channels, given, gy, grads, scratch, height, width, softplus):
    """The adjoint of `forward_of_lanes`; gB and gC are sums over the channels of the part."""
    u, delta, A, B, C, D, bias, walks = given
    (start, end), (maps, _, rest) = channels, scratch
    gu, gdelta, gA, gB, gC, gD, gbias = grads
    L, N = height * width, A.shape[2]
    dt, q, own, gdt, gq = maps[0], maps[1], maps[2], maps[3], maps[4]
    at = places(rest, L, N)
    pixels = carray(int_pointer(at.pixels), L)
    for d in range(start, end):
        gu[b, d][:] = f32(0.0)
    for k in range(delta.shape[1]):
        r = b * delta.shape[1] % A.shape[0] + k
        walk = walks[r]
        line = laid_out(walk, height, width, B[b, k], C[b, k], pixels, at)
        for address in range(at.gB, at.decay, WIDE):
            emptied(address)
        for first in range(start, end, GROUP):
            count = min(GROUP, end - first)
            for j in range(count):
                d = first + j
                channel_begun(
                    u[b, d], delta[b, k, d], gy[b, d], bias[r, d], softplus, height, width, walk,
                    dt[j], q[j], gdt[j], gq[j], own[j],
                )  # fmt: skip
            for n in range(0, N, LANES):
                for j in range(count):
                    own_vectors(at.own + j * OWN, A[r, first + j], n)
                walk_both_ways(at, n, pixels, line, count, dt, q, own, gq, gdt)
                for j in range(count):
                    found = vector(at.own + j * OWN + GA)
                    for lane in range(min(LANES, N - n)):
                        gA[b, k, first + j, n + lane] = found[lane]
            for j in range(count):
                d = first + j
                gD[b, k, d], gbias[b, k, d] = channel_ended(
                    u[b, d], delta[b, k, d], bias[r, d], D[r, d], softplus,
                    dt[j], gq[j], gdt[j], own[j], gu[b, d], gdelta[b, k, d],
                )  # fmt: skip
        by_pixel(at.gB, pixels, gB[part, b, k])
        by_pixel(at.gC, pixels, gC[part, b, k])
