"""The scans as loops that numba compiles for the processor at hand: one pass over a group of
channels, which stays in its cache, where plain torch takes a dozen over maps of megabytes.

Everything runs on GROUP channels at once, in pixel order. Arithmetic is vectorised along the
pixels; a recurrence along rows runs as GROUP scalar chains side by side, one along columns as a
vector of all columns, in two sweeps: each column from zero, then from its true start.

All compiled code is in this file, since numba's cache on disk looks at the file of the entry
point only. Nothing here allocates or raises: an entry point has no way to report it.
"""

import functools

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

from .layout import BY_COLUMN, FRESH, GROUP, MIRRORED, REVERSE, SCRATCH_MAPS, WORDS

f32, i32 = np.float32, np.int32
LN_2, LOG2_E = f32(0.6931471805599453), f32(1.4426950408889634)

# no "nnan" and "ninf": a NaN or an infinity that comes in has to come out
fast = njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})


@intrinsic
def _claim(typing, address):
    """The value of an int64 counter at an address, which is one higher afterwards: atomic."""

    def code(context, builder, signature, args):
        word = ir.IntType(64)
        pointer = builder.inttoptr(args[0], word.as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(word, 1), "monotonic")

    return types.int64(types.int64), code


@intrinsic
def _floats(typing, address):
    """A pointer to float32 from an address."""
    pointer = types.CPointer(types.float32)

    def code(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64), code


@intrinsic
def _words(typing, address):
    """A pointer to int64 from an address."""
    pointer = types.CPointer(types.int64)

    def code(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64), code


@intrinsic
def _bits(typing, x):
    """The bits of a float32 as int32."""

    def code(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), code


@intrinsic
def _float(typing, bits):
    """The float32 of these bits."""

    def code(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), code


@fast
def _exp2(x):
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
    return _float(i32(_bits(p) + i32(i32(n) << i32(23))))


@fast
def _log1p(w):
    """log(1 + w) for w >= 0, to 1e-7 relative, small w too."""
    v = f32(1.0) + w
    bits = _bits(v)
    e = i32(i32(bits - i32(0x3F3504F3)) >> i32(23))  # v = 2^e m, m in [sqrt(1/2), sqrt(2))
    m = _float(i32(bits - i32(e << i32(23))))
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
def _steps(delta, bias, softplus, dt):
    """dt = softplus(delta + bias), or delta + bias."""
    for t in range(dt.shape[0]):
        v = delta[t] + bias
        if softplus:
            w = _exp2((v if v < f32(20.0) else f32(20.0)) * LOG2_E)
            s = _log1p(w)
            v = s if s > v else v
        dt[t] = v


@fast
def _times(a, b, out):
    for t in range(out.shape[0]):
        out[t] = a[t] * b[t]


@fast
def _add_times(a, b, out):
    for t in range(out.shape[0]):
        out[t] += a[t] * b[t]


@fast
def _decays(dt, rate, out):
    """exp(dt rate)."""
    bits = rate * LOG2_E
    for t in range(out.shape[0]):
        out[t] = _exp2(dt[t] * bits)


@fast
def _add_mirrored(a, out, H, W, walk):
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
def _states_by_row(a, h, H, W, walk):
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
def _carried_by_row(a, h, H, W, walk):
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
def _costates_by_row(a, g, H, W, walk):
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
def _chain(product, state, fresh, reverse):
    """From each column's product and its end from zero, the state that enters it, in place."""
    W = state.shape[0]
    entering = f32(0.0)
    for i in range(W):
        w = W - 1 - i if reverse else i
        end = product[w] * entering + state[w]
        state[w] = entering
        entering = f32(0.0) if fresh else end


@fast
def _column_starts(a, h, product, state, H, walk):
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
    _chain(product, state, walk & FRESH, walk & REVERSE)


@fast
def _states_by_column(a, h, state, H, walk):
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
def _carried_by_column(a, h, state, H, walk):
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
def _costates_by_column(a, g, product, carry, H, walk):
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
    _chain(product, carry, walk & FRESH, not walk & REVERSE)
    for row in range(first, first + H * stride, stride):
        ar, gr = a[row : row + W], g[row : row + W]
        for w in range(W):
            gr[w] += carry[w]
            carry[w] = ar[w] * gr[w]


@fast
def _add_scaled(a, factor, out):
    for t in range(out.shape[0]):
        out[t] += a[t] * factor


@fast
def _rate_gradient(carried, g, dt, rate, gdt):
    """Of A: the sum of dt carried g, as carried g is the gradient of dt A; adds to gdt."""
    total = f32(0.0)
    for t in range(gdt.shape[0]):
        exponent = carried[t] * g[t]
        gdt[t] += exponent * rate
        total += exponent * dt[t]
    return total


@fast
def _add_input_gradient(gq, dt, gy, D, gu):
    for t in range(gu.shape[0]):
        gu[t] += gq[t] * dt[t] + gy[t] * D


@fast
def _dot(a, b):
    total = f32(0.0)
    for t in range(a.shape[0]):
        total += a[t] * b[t]
    return total


@fast
def _step_gradient(gdt, delta, bias, softplus, out):
    """Of delta, through softplus where there is one; returns the sum, the gradient of the bias."""
    total = f32(0.0)
    for t in range(out.shape[0]):
        slope = gdt[t]
        if softplus:
            v = (delta[t] + bias) * LOG2_E
            slope = slope / (f32(1.0) + _exp2(-v))
        out[t] = slope
        total += slope
    return total


@fast
def _forward(b, first, count, given, y, maps, lanes, H, W, softplus):
    """`count` channels from `first` of image b, along all its routes, into y."""
    u, delta, A, B, C, D, bias, walks = given
    dt, q, a, h, own = maps[0], maps[1], maps[2], maps[3], maps[4]
    for j in range(count):
        y[b, first + j][:] = f32(0.0)
    for k in range(delta.shape[1]):
        r = b * delta.shape[1] % A.shape[0] + k  # images take turns at the sets of parameters
        walk = walks[r]
        for j in range(count):
            d = first + j
            _steps(delta[b, k, d], bias[r, d], softplus, dt[j])
            _times(dt[j], u[b, d], q[j])
            if walk & MIRRORED:
                own[j][:] = f32(0.0)
            _add_scaled(u[b, d], D[r, d], own[j] if walk & MIRRORED else y[b, d])
        for n in range(A.shape[2]):
            for j in range(count):
                _decays(dt[j], A[r, first + j, n], a[j])
                _times(q[j], B[b, k, n], h[j])
                if walk & BY_COLUMN:
                    _column_starts(a[j], h[j], lanes[0], lanes[1], H, walk)
                    _states_by_column(a[j], h[j], lanes[1], H, walk)
            if not walk & BY_COLUMN:
                _states_by_row(a, h, H, W, walk)
            for j in range(count):
                _add_times(h[j], C[b, k, n], own[j] if walk & MIRRORED else y[b, first + j])
        if walk & MIRRORED:
            for j in range(count):
                _add_mirrored(own[j], y[b, first + j], H, W, walk)


@fast
def _backward(b, part, first, count, given, gy, grads, maps, lanes, H, W, softplus):
    """The adjoint of `_forward`; gB and gC are sums over the channels of one part of an image."""
    u, delta, A, B, C, D, bias, walks = given
    gu, gdelta, gA, gB, gC, gD, gbias = grads
    dt, q, a, h, g, gdt, gq, own = (
        maps[0], maps[1], maps[2], maps[3], maps[4], maps[5], maps[6], maps[7],
    )  # fmt: skip
    for j in range(count):
        gu[b, first + j][:] = f32(0.0)
    for k in range(delta.shape[1]):
        r = b * delta.shape[1] % A.shape[0] + k
        walk = walks[r]
        for j in range(count):
            d = first + j
            _steps(delta[b, k, d], bias[r, d], softplus, dt[j])
            _times(dt[j], u[b, d], q[j])
            gdt[j][:] = f32(0.0)
            gq[j][:] = f32(0.0)
            own[j][:] = f32(0.0)
            if walk & MIRRORED:
                _add_mirrored(gy[b, d], own[j], H, W, walk)
            else:
                own[j][:] = gy[b, d]
        for n in range(A.shape[2]):
            for j in range(count):
                _decays(dt[j], A[r, first + j, n], a[j])
                _times(own[j], C[b, k, n], g[j])
                _times(q[j], B[b, k, n], h[j])
                if walk & BY_COLUMN:
                    _costates_by_column(a[j], g[j], lanes[0], lanes[1], H, walk)
                    _column_starts(a[j], h[j], lanes[0], lanes[1], H, walk)
                    _carried_by_column(a[j], h[j], lanes[1], H, walk)
            if not walk & BY_COLUMN:
                _costates_by_row(a, g, H, W, walk)
                _carried_by_row(a, h, H, W, walk)
            for j in range(count):
                d = first + j
                _add_times(h[j], own[j], gC[part, b, k, n])
                _add_times(g[j], q[j], gB[part, b, k, n])
                _add_times(g[j], B[b, k, n], gq[j])
                gA[b, k, d, n] = _rate_gradient(a[j], g[j], dt[j], A[r, d, n], gdt[j])
        for j in range(count):
            d = first + j
            _add_input_gradient(gq[j], dt[j], own[j], D[r, d], gu[b, d])
            gD[b, k, d] = _dot(own[j], u[b, d])
            _add_times(gq[j], u[b, d], gdt[j])
            gbias[b, k, d] = _step_gradient(
                gdt[j], delta[b, k, d], bias[r, d], softplus, gdelta[b, k, d]
            )


@fast
def _channels(part, parts, Dm):
    """The first and the end of the channels of a part, in whole groups."""
    groups = (Dm + GROUP - 1) // GROUP
    return groups * part // parts * GROUP, min(Dm, groups * (part + 1) // parts * GROUP)


@fast
def _given(at, Bt, K, sets, Dm, N, L):
    """The inputs by their addresses."""
    R = sets * K
    return (
        carray(_floats(at[0]), (Bt, Dm, L)),
        carray(_floats(at[1]), (Bt, K, Dm, L)),
        carray(_floats(at[2]), (R, Dm, N)),
        carray(_floats(at[3]), (Bt, K, N, L)),
        carray(_floats(at[4]), (Bt, K, N, L)),
        carray(_floats(at[5]), (R, Dm)),
        carray(_floats(at[6]), (R, Dm)),
        carray(_words(at[7]), R),
    )


@fast
def _grads(at, Bt, K, Dm, N, L, parts):
    """Where the gradients go, by their addresses: of A, D and bias per image."""
    return (
        carray(_floats(at[0]), (Bt, Dm, L)),
        carray(_floats(at[1]), (Bt, K, Dm, L)),
        carray(_floats(at[2]), (Bt, K, Dm, N)),
        carray(_floats(at[3]), (parts, Bt, K, N, L)),
        carray(_floats(at[4]), (parts, Bt, K, N, L)),
        carray(_floats(at[5]), (Bt, K, Dm)),
        carray(_floats(at[6]), (Bt, K, Dm)),
    )


@fast
def _scratch(address, worker, H, W):
    """A worker's maps (SCRATCH_MAPS, GROUP, L) and lanes (2, W)."""
    L = H * W
    start = address + 4 * worker * (SCRATCH_MAPS * GROUP * L + 2 * W)
    maps = carray(_floats(start), (SCRATCH_MAPS, GROUP, L))
    return maps, carray(_floats(start + 4 * SCRATCH_MAPS * GROUP * L), (2, W))


def forward(words):
    """Entry point: every worker runs it with the same words, which `layout` names, and takes
    tasks, a part of an image each, until none is left."""
    here, Bt, K, sets, Dm, N, H, W, parts, softplus = carray(words, WORDS)[2:]
    at = carray(words, WORDS + 10)[WORDS:]
    given = _given(at, Bt, K, sets, Dm, N, H * W)
    maps, lanes = _scratch(at[8], _claim(here + 8), H, W)
    y = carray(_floats(at[9]), (Bt, Dm, H * W))
    task = _claim(here)
    while task < Bt * parts:
        start, end = _channels(task % parts, parts, Dm)
        for first in range(start, end, GROUP):
            count = min(GROUP, end - first)
            _forward(task // parts, first, count, given, y, maps, lanes, H, W, softplus != 0)
        task = _claim(here)


def backward(words):
    """Entry point of the adjoint, as `forward`."""
    here, Bt, K, sets, Dm, N, H, W, parts, softplus = carray(words, WORDS)[2:]
    at = carray(words, WORDS + 17)[WORDS:]
    given = _given(at, Bt, K, sets, Dm, N, H * W)
    grads = _grads(at[10:], Bt, K, Dm, N, H * W, parts)
    maps, lanes = _scratch(at[8], _claim(here + 8), H, W)
    gy = carray(_floats(at[9]), (Bt, Dm, H * W))
    task = _claim(here)
    while task < Bt * parts:
        b, part = task // parts, task % parts
        start, end = _channels(part, parts, Dm)
        for first in range(start, end, GROUP):
            count = min(GROUP, end - first)
            _backward(b, part, first, count, given, gy, grads, maps, lanes, H, W, softplus != 0)
        task = _claim(here)


@functools.cache
def entry_point(name):
    """The address of the machine code of "forward" or "backward", for `team.run`.

    Compiled in a few seconds when it is first asked for on a machine, then read from numba's
    cache beside this file or in the user's own; compiled again by each process where neither
    can be written.
    """
    body = {"forward": forward, "backward": backward}[name]
    signature = types.void(types.CPointer(types.int64))
    try:
        compiled = cfunc(signature, cache=True)(body)
    except RuntimeError:  # numba's word for finding no place for its cache
        compiled = cfunc(signature)(body)
    return compiled.address
