"""Device functions of a linear recurrence h <- a h + b spread over the threads of a program.

A tile (BD, G2, G1, C, V) holds V neighbours of a row in each thread, and the other axes across
lanes and warps, the last fastest. A segment of the walk is summarised as (P, h): it takes a state
s to P s + h. All of it is exact for any layout, and cheap where V lies in registers and G1 and C
in the lanes of one warp.
"""

import triton
import triton.language as tl


@triton.jit
def softplus2(z, PRECISE: tl.constexpr):
    """log2(1 + 2^z), to a relative 1.4e-6, or 6e-5 for inputs of half precision.

    That is max(z, 0) + log2(1 + w), w = 2^-|z|, the latter as w times a minimax polynomial, so it
    neither overflows nor loses digits where w is small.
    """
    w = tl.exp2(-tl.abs(z))
    if PRECISE:
        p = w * 0.020401129 - 0.095797367
        p = w * p + 0.21528432
        p = w * p - 0.33908889
        p = w * p + 0.47766834
        p = w * p - 0.72115947
        p = w * p + 1.4426932
    else:
        p = w * 0.059651522 - 0.22711939
        p = w * p + 0.44189879
        p = w * p - 0.7169874
        p = w * p + 1.4426132
    return w * p + tl.maximum(z, 0.0)


@triton.jit
def places(like, AXIS: tl.constexpr):
    """The index along AXIS, in the shape of `like`."""
    at = tl.arange(0, like.shape[AXIS])
    for axis in tl.static_range(len(like.shape)):
        if axis != AXIS:
            at = tl.expand_dims(at, axis)
    return tl.broadcast_to(at, like.shape)


@triton.jit
def take(x, v: tl.constexpr):
    """Entry v along V: as bits, whose sum with zeros vanishes where a thread holds V."""
    bits = tl.where(places(x, 4) == v, x.to(tl.int32, bitcast=True), 0)
    return tl.sum(bits, 4).to(tl.float32, bitcast=True)


@triton.jit
def along_line(a, b, REVERSE: tl.constexpr):
    """Running (P, h) along V, and those of all of V without that axis."""
    V: tl.constexpr = a.shape[4]
    P = take(a, V - 1 if REVERSE else 0)
    h = take(b, V - 1 if REVERSE else 0)
    P_all, h_all = a, b
    for v in tl.static_range(V - 2 if REVERSE else 1, -1 if REVERSE else V, -1 if REVERSE else 1):
        a_v = take(a, v)
        h = a_v * h + take(b, v)
        P = a_v * P
        P_all, h_all = put(P_all, P, v), put(h_all, h, v)
    return P_all, h_all, P, h


@triton.jit
def put(tile, x, v: tl.constexpr):
    """The tile with entry v along V replaced."""
    return tl.where(places(tile, 4) == v, tl.expand_dims(x, 4), tile)


@triton.jit
def line_states(P, h, state, REVERSE: tl.constexpr):
    """The state before each entry of V, whose (P, h) are given, from the one before the first."""
    V: tl.constexpr = P.shape[4]
    states = put(P, state, V - 1 if REVERSE else 0)
    for v in tl.static_range(V - 2 if REVERSE else 1, -1 if REVERSE else V, -1 if REVERSE else 1):
        state = take(P, v + 1 if REVERSE else v - 1) * state + take(h, v + 1 if REVERSE else v - 1)
        states = put(states, state, v)
    return states


@triton.jit
def inclusive(P, h, AXIS: tl.constexpr, REVERSE: tl.constexpr):
    """Running (P, h) along an axis of lanes, by doubling."""
    S: tl.constexpr = P.shape[AXIS]
    at = places(P, AXIS)
    if REVERSE:
        at = S - 1 - at
    for r in tl.static_range(6):
        if (1 << r) < S:
            from_ = tl.maximum(at - (1 << r), 0)
            if REVERSE:
                from_ = S - 1 - from_
            inner = at >= (1 << r)
            h = tl.where(inner, P * tl.gather(h, from_, AXIS) + h, h)
            P = tl.where(inner, P * tl.gather(P, from_, AXIS), P)
    return P, h


@triton.jit
def at_end(x, AXIS: tl.constexpr, REVERSE: tl.constexpr):
    """The last entry of the walk along an axis of lanes, at all of its places."""
    S: tl.constexpr = x.shape[AXIS]
    if S > 1:
        x = tl.gather(x, places(x, AXIS) * 0 + (0 if REVERSE else S - 1), AXIS)
    return x


@triton.jit
def before(x, first, AXIS: tl.constexpr, REVERSE: tl.constexpr):
    """The entry one step earlier along an axis of lanes; `first` where there is none."""
    S: tl.constexpr = x.shape[AXIS]
    if S > 1:
        at = places(x, AXIS)
        if REVERSE:
            x = tl.where(at == S - 1, first, tl.gather(x, tl.minimum(at + 1, S - 1), AXIS))
        else:
            x = tl.where(at == 0, first, tl.gather(x, tl.maximum(at - 1, 0), AXIS))
    else:
        x = tl.broadcast_to(first, x.shape)
    return x


@triton.jit
def _add(a, b, c, d):
    return a + c, b + d


@triton.jit
def across_warps(P, h, REVERSE: tl.constexpr):
    """(P, h) up to each place of G2, and up to the end; through shared memory."""
    G2: tl.constexpr = P.shape[1]
    at = places(P, 1)
    P_before, h_before = tl.full(P.shape, 1.0, tl.float32), tl.zeros(P.shape, tl.float32)
    P_all, h_all = P, h
    if G2 > 1:
        P_all, h_all = P_before, h_before
        for i in tl.static_range(
            G2 - 1 if REVERSE else 0, -1 if REVERSE else G2, -1 if REVERSE else 1
        ):
            here = (tl.where(at == i, P, 0.0), tl.where(at == i, h, 0.0))
            P_i, h_i = tl.reduce(here, 1, _add, keep_dims=True)
            P_before = tl.where(at == i, P_all, P_before)
            h_before = tl.where(at == i, h_all, h_before)
            P_all, h_all = P_i * P_all, P_i * h_all + h_i
    return P_before, h_before, P_all, h_all
