"""The scans as loops that numba compiles for the processor at hand: one pass over a group of
channels, which stays in its cache, where plain torch takes a dozen over maps of megabytes.

Everything is in pixel order. Arithmetic is vectorised along the pixels; a recurrence along rows
runs as GROUP scalar chains side by side, one along columns as a vector of all columns, in two
sweeps: each column from zero, then from its true start.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from .layout import BY_COLUMN, FRESH, MIRRORED, REVERSE

f32, i32 = np.float32, np.int32
LN_2, LOG2_E = f32(0.6931471805599453), f32(1.4426950408889634)

# no "nnan" and "ninf": a NaN or an infinity that comes in has to come out
fast = njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})


@intrinsic
def claim(typing, address):
    """The value of an int64 counter at an address, which is one higher afterwards: atomic."""

    def code(context, builder, signature, args):
        word = ir.IntType(64)
        pointer = builder.inttoptr(args[0], word.as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(word, 1), "monotonic")

    return types.int64(types.int64), code


def pointer_to(kind):
    """An intrinsic that gives a pointer to values of a kind from an address."""
    pointer = types.CPointer(kind)

    @intrinsic
    def from_address(typing, address):
        def code(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(pointer))

        return pointer(types.int64), code

    return from_address


float_pointer, word_pointer = pointer_to(types.float32), pointer_to(types.int64)


@intrinsic
def bits_of(typing, x):
    """The bits of a float32 as int32."""

    def code(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), code


@intrinsic
def float_of(typing, bits):
    """The float32 of these bits."""

    def code(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), code


@fast
def exp2(x):
    """2^x to 1e-7 relative; 2^-126 where it would be smaller, infinity from 128 on."""
    x = f32(-126.0) if x < f32(-126.0) else x
    x = f32(128.0) if x > f32(128.0) else x
    n = np.floor(x + f32(0.5))
    f = x - n  # in [-0.5, 0.5]; a polynomial fitted at Chebyshev points
    p = f32(0.000154614478)
    p = p * f + f32(0.00133908668)
    p = p * f + f32(0.00961805694)
    p = p * f + f32(0.0555035695)
    p = p * f + f32(0.240226507)
    p = p * f + f32(0.693147182)
    p = p * f + f32(1.0)
    return float_of(i32(bits_of(p) + i32(i32(n) << i32(23))))


@fast
def log1p(w):
    """log(1 + w) for w >= 0, to 1e-7 relative, small w too."""
    v = f32(1.0) + w
    bits = bits_of(v)
    e = i32(i32(bits - i32(0x3F3504F3)) >> i32(23))  # v = 2^e m, m in [sqrt(1/2), sqrt(2))
    m = float_of(i32(bits - i32(e << i32(23))))
    s = w if e == 0 else m - f32(1.0)  # with e = 0 that is w, before 1 + w was rounded
    p = f32(-0.0810155869)  # of (log(1 + s) - s + s^2 / 2) / s^3, fitted at Chebyshev points
    p = p * s + f32(0.127123073)
    p = p * s + f32(-0.129722387)
    p = p * s + f32(0.142021745)
    p = p * s + f32(-0.166422471)
    p = p * s + f32(0.200014681)
    p = p * s + f32(-0.25000298)
    p = p * s + f32(0.333333284)
    z = s * s
    return s + (p * s * z - f32(0.5) * z) + f32(e) * LN_2


@fast
def steps(delta, bias, softplus, dt):
    """dt = softplus(delta + bias), or delta + bias."""
    for t in range(dt.shape[0]):
        v = delta[t] + bias
        if softplus:
            w = exp2((v if v < f32(20.0) else f32(20.0)) * LOG2_E)
            s = log1p(w)
            v = s if s > v else v
        dt[t] = v


@fast
def times(a, b, out):
    for t in range(out.shape[0]):
        out[t] = a[t] * b[t]


@fast
def add_times(a, b, out):
    for t in range(out.shape[0]):
        out[t] += a[t] * b[t]


@fast
def decays(dt, rate, out):
    """exp(dt rate)."""
    bits = rate * LOG2_E
    for t in range(out.shape[0]):
        out[t] = exp2(dt[t] * bits)


@fast
def add_mirrored(a, out, H, W, walk):
    """out += a with each line of the walk turned round."""
    for row in range(H):
        if walk & BY_COLUMN:
            start, to = row * W, (H - 1 - row) * W
            for i in range(W):
                out[to + i] += a[start + i]
        else:
            start = row * W
            for i in range(W):
                out[start + W - 1 - i] += a[start + i]


@fast
def states_by_row(a, h, H, W, walk):
    """h[t] = a[t] h[t-1] + h[t] in place, of GROUP channels."""
    h0 = h1 = h2 = h3 = f32(0.0)
    last, sign = (H * W - 1, -1) if walk & REVERSE else (0, 1)
    for line in range(H):
        if walk & FRESH:
            h0 = h1 = h2 = h3 = f32(0.0)
        for i in range(line * W, line * W + W):
            t = last + sign * i
            h0 = a[0, t] * h0 + h[0, t]
            h1 = a[1, t] * h1 + h[1, t]
            h2 = a[2, t] * h2 + h[2, t]
            h3 = a[3, t] * h3 + h[3, t]
            h[0, t] = h0
            h[1, t] = h1
            h[2, t] = h2
            h[3, t] = h3


@fast
def carried_by_row(a, h, H, W, walk):
    """The same, with a[t] h[t-1] in place of a[t]."""
    h0 = h1 = h2 = h3 = f32(0.0)
    last, sign = (H * W - 1, -1) if walk & REVERSE else (0, 1)
    for line in range(H):
        if walk & FRESH:
            h0 = h1 = h2 = h3 = f32(0.0)
        for i in range(line * W, line * W + W):
            t = last + sign * i
            c0, c1 = a[0, t] * h0, a[1, t] * h1
            c2, c3 = a[2, t] * h2, a[3, t] * h3
            h0 = c0 + h[0, t]
            h1 = c1 + h[1, t]
            h2 = c2 + h[2, t]
            h3 = c3 + h[3, t]
            a[0, t], a[1, t], a[2, t], a[3, t] = c0, c1, c2, c3
            h[0, t], h[1, t], h[2, t], h[3, t] = h0, h1, h2, h3


@fast
def costates_by_row(a, g, H, W, walk):
    """g[t] += a[t+1] g[t+1] in place, of GROUP channels: the walk turned."""
    g0 = g1 = g2 = g3 = f32(0.0)
    a0 = a1 = a2 = a3 = f32(0.0)
    last, sign = (0, 1) if walk & REVERSE else (H * W - 1, -1)
    for line in range(H):
        if walk & FRESH:
            a0 = a1 = a2 = a3 = f32(0.0)
        for i in range(line * W, line * W + W):
            t = last + sign * i
            g0 = a0 * g0 + g[0, t]
            g1 = a1 * g1 + g[1, t]
            g2 = a2 * g2 + g[2, t]
            g3 = a3 * g3 + g[3, t]
            a0, a1, a2, a3 = a[0, t], a[1, t], a[2, t], a[3, t]
            g[0, t], g[1, t], g[2, t], g[3, t] = g0, g1, g2, g3


@fast
def chain(product, state, fresh, reverse):
    """From each column's product and its end from zero, the state that enters it, in place."""
    W = state.shape[0]
    entering = f32(0.0)
    for i in range(W):
        w = W - 1 - i if reverse else i
        end = product[w] * entering + state[w]
        state[w] = entering
        entering = f32(0.0) if fresh else end


@fast
def column_starts(a, h, product, state, H, walk):
    """Into `state`, what enters each column of one channel."""
    W = state.shape[0]
    product[:] = f32(1.0)
    state[:] = f32(0.0)
    first, stride = ((H - 1) * W, -W) if walk & REVERSE else (0, W)
    for row in range(first, first + H * stride, stride):
        ar, hr = a[row : row + W], h[row : row + W]  # views: offsets hide that rows are apart
        for w in range(W):
            state[w] = ar[w] * state[w] + hr[w]
            product[w] *= ar[w]
    chain(product, state, walk & FRESH, walk & REVERSE)


@fast
def states_by_column(a, h, state, H, walk):
    """Of one channel, all columns at once, from what enters them."""
    W = state.shape[0]
    first, stride = ((H - 1) * W, -W) if walk & REVERSE else (0, W)
    before = state
    for row in range(first, first + H * stride, stride):
        ar, hr = a[row : row + W], h[row : row + W]
        for w in range(W):
            hr[w] += ar[w] * before[w]
        before = hr


@fast
def carried_by_column(a, h, state, H, walk):
    """The same, with a[t] h[t-1] in place of a[t]."""
    W = state.shape[0]
    first, stride = ((H - 1) * W, -W) if walk & REVERSE else (0, W)
    before = state
    for row in range(first, first + H * stride, stride):
        ar, hr = a[row : row + W], h[row : row + W]
        for w in range(W):
            carried = ar[w] * before[w]
            ar[w] = carried
            hr[w] += carried
        before = hr


@fast
def costates_by_column(a, g, product, carry, H, walk):
    """Of one channel, all columns at once, the walk turned; each hands on a[t] g[t]."""
    W = carry.shape[0]
    product[:] = f32(1.0)
    carry[:] = f32(0.0)
    first, stride = (0, W) if walk & REVERSE else ((H - 1) * W, -W)
    for row in range(first, first + H * stride, stride):
        ar, gr = a[row : row + W], g[row : row + W]
        for w in range(W):
            carry[w] = ar[w] * (carry[w] + gr[w])
            product[w] *= ar[w]
    chain(product, carry, walk & FRESH, not walk & REVERSE)
    for row in range(first, first + H * stride, stride):
        ar, gr = a[row : row + W], g[row : row + W]
        for w in range(W):
            gr[w] += carry[w]
            carry[w] = ar[w] * gr[w]


@fast
def add_scaled(a, factor, out):
    for t in range(out.shape[0]):
        out[t] += a[t] * factor


@fast
def rate_gradient(carried, g, dt, rate, gdt):
    """Of A: the sum of dt carried g, as carried g is the gradient of dt A; adds to gdt."""
    total = f32(0.0)
    for t in range(gdt.shape[0]):
        exponent = carried[t] * g[t]
        gdt[t] += exponent * rate
        total += exponent * dt[t]
    return total


@fast
def add_input_gradient(gq, dt, gy, D, gu):
    for t in range(gu.shape[0]):
        gu[t] += gq[t] * dt[t] + gy[t] * D


@fast
def dot(a, b):
    total = f32(0.0)
    for t in range(a.shape[0]):
        total += a[t] * b[t]
    return total


@fast
def step_gradient(gdt, delta, bias, softplus, out):
    """Of delta, through softplus where there is one; returns the sum, the gradient of the bias."""
    total = f32(0.0)
    for t in range(out.shape[0]):
        slope = gdt[t]
        if softplus:
            v = (delta[t] + bias) * LOG2_E
            slope = slope / (f32(1.0) + exp2(-v))
        out[t] = slope
        total += slope
    return total


@fast
def channel_begun(u, delta, gy, bias, softplus, H, W, walk, dt, q, gdt, gq, own):
    """For the adjoint of one channel: its steps and inputs, its gradients still 0, and what comes
    in, where the walk left it."""
    steps(delta, bias, softplus, dt)
    times(dt, u, q)
    gdt[:] = f32(0.0)
    gq[:] = f32(0.0)
    own[:] = f32(0.0)
    if walk & MIRRORED:
        add_mirrored(gy, own, H, W, walk)
    else:
        own[:] = gy


@fast
def channel_ended(u, delta, bias, D, softplus, dt, gq, gdt, own, gu, gdelta):
    """Its gradients, of u added to what other routes gave; returns those of D and of the bias."""
    add_input_gradient(gq, dt, own, D, gu)
    add_times(gq, u, gdt)
    return dot(own, u), step_gradient(gdt, delta, bias, softplus, gdelta)
