"""What the workers of a team run: `forward` and `backward` over whole images, from addresses.

Nothing here allocates or raises: compiled entry points have no way to report it.
"""

import functools
import zlib
from pathlib import Path

from numba import carray, cfunc, types

from .layout import BY_COLUMN, GROUP, MIRRORED, SCRATCH_MAPS, WORDS
from .loops import (
    add_mirrored,
    add_scaled,
    add_times,
    carried_by_column,
    carried_by_row,
    channel_begun,
    channel_ended,
    claim,
    column_starts,
    costates_by_column,
    costates_by_row,
    decays,
    f32,
    fast,
    float_pointer,
    rate_gradient,
    states_by_column,
    states_by_row,
    steps,
    times,
    word_pointer,
)
from .state_lanes import backward_of_lanes, forward_of_lanes


@fast
def _forward(b, first, count, given, y, scratch, H, W, softplus):
    """`count` channels from `first` of image b, along all its routes, into y."""
    u, delta, A, B, C, D, bias, walks = given
    maps, lanes, _ = scratch
    dt, q, a, h, own = maps[0], maps[1], maps[2], maps[3], maps[4]
    for j in range(count):
        y[b, first + j][:] = f32(0.0)
    for k in range(delta.shape[1]):
        r = b * delta.shape[1] % A.shape[0] + k  # images take turns at the sets of parameters
        walk = walks[r]
        for j in range(count):
            d = first + j
            steps(delta[b, k, d], bias[r, d], softplus, dt[j])
            times(dt[j], u[b, d], q[j])
            if walk & MIRRORED:
                own[j][:] = f32(0.0)
            add_scaled(u[b, d], D[r, d], own[j] if walk & MIRRORED else y[b, d])
        for n in range(A.shape[2]):
            for j in range(count):
                decays(dt[j], A[r, first + j, n], a[j])
                times(q[j], B[b, k, n], h[j])
                if walk & BY_COLUMN:
                    column_starts(a[j], h[j], lanes[0], lanes[1], H, walk)
                    states_by_column(a[j], h[j], lanes[1], H, walk)
            if not walk & BY_COLUMN:
                states_by_row(a, h, H, W, walk)
            for j in range(count):
                add_times(h[j], C[b, k, n], own[j] if walk & MIRRORED else y[b, first + j])
        if walk & MIRRORED:
            for j in range(count):
                add_mirrored(own[j], y[b, first + j], H, W, walk)


@fast
def _backward(b, part, first, count, given, gy, grads, scratch, H, W, softplus):
    """The adjoint of `_forward`; gB and gC are sums over the channels of one part of an image."""
    u, delta, A, B, C, D, bias, walks = given
    gu, gdelta, gA, gB, gC, gD, gbias = grads
    maps, lanes, _ = scratch
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
            channel_begun(
                u[b, d], delta[b, k, d], gy[b, d], bias[r, d], softplus, H, W, walk,
                dt[j], q[j], gdt[j], gq[j], own[j],
            )  # fmt: skip
        for n in range(A.shape[2]):
            for j in range(count):
                decays(dt[j], A[r, first + j, n], a[j])
                times(own[j], C[b, k, n], g[j])
                times(q[j], B[b, k, n], h[j])
                if walk & BY_COLUMN:
                    costates_by_column(a[j], g[j], lanes[0], lanes[1], H, walk)
                    column_starts(a[j], h[j], lanes[0], lanes[1], H, walk)
                    carried_by_column(a[j], h[j], lanes[1], H, walk)
            if not walk & BY_COLUMN:
                costates_by_row(a, g, H, W, walk)
                carried_by_row(a, h, H, W, walk)
            for j in range(count):
                d = first + j
                add_times(h[j], own[j], gC[part, b, k, n])
                add_times(g[j], q[j], gB[part, b, k, n])
                add_times(g[j], B[b, k, n], gq[j])
                gA[b, k, d, n] = rate_gradient(a[j], g[j], dt[j], A[r, d, n], gdt[j])
        for j in range(count):
            d = first + j
            gD[b, k, d], gbias[b, k, d] = channel_ended(
                u[b, d], delta[b, k, d], bias[r, d], D[r, d], softplus,
                dt[j], gq[j], gdt[j], own[j], gu[b, d], gdelta[b, k, d],
            )  # fmt: skip


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
        carray(float_pointer(at[0]), (Bt, Dm, L)),
        carray(float_pointer(at[1]), (Bt, K, Dm, L)),
        carray(float_pointer(at[2]), (R, Dm, N)),
        carray(float_pointer(at[3]), (Bt, K, N, L)),
        carray(float_pointer(at[4]), (Bt, K, N, L)),
        carray(float_pointer(at[5]), (R, Dm)),
        carray(float_pointer(at[6]), (R, Dm)),
        carray(word_pointer(at[7]), R),
    )


@fast
def _grads(at, Bt, K, Dm, N, L, parts):
    """Where the gradients go, by their addresses: of A, D and bias per image."""
    return (
        carray(float_pointer(at[0]), (Bt, Dm, L)),
        carray(float_pointer(at[1]), (Bt, K, Dm, L)),
        carray(float_pointer(at[2]), (Bt, K, Dm, N)),
        carray(float_pointer(at[3]), (parts, Bt, K, N, L)),
        carray(float_pointer(at[4]), (parts, Bt, K, N, L)),
        carray(float_pointer(at[5]), (Bt, K, Dm)),
        carray(float_pointer(at[6]), (Bt, K, Dm)),
    )


@fast
def _scratch(address, worker, floats, H, W):
    """A worker's maps (SCRATCH_MAPS, GROUP, L), lanes (2, W), and where the rest begins."""
    L = H * W
    start = address + 4 * worker * floats
    maps = carray(float_pointer(start), (SCRATCH_MAPS, GROUP, L))
    lanes = start + 4 * SCRATCH_MAPS * GROUP * L
    return maps, carray(float_pointer(lanes), (2, W)), lanes + 8 * W


@fast
def _handed_over(words, addresses):
    """The sizes among the words, and the addresses behind them."""
    return carray(words, WORDS), carray(words, WORDS + addresses)[WORDS:]


@fast
def _forward_of(words):
    """What a worker of a forward needs: counter and number of tasks, parts of an image, the
    inputs, y, and its scratch."""
    sizes, at = _handed_over(words, 10)
    here, Bt, K, sets, Dm, N, H, W, parts, softplus, floats = sizes[3:]
    given = _given(at, Bt, K, sets, Dm, N, H * W)
    y = carray(float_pointer(at[9]), (Bt, Dm, H * W))
    scratch = _scratch(at[8], claim(here + 8), floats, H, W)
    return here, Bt * parts, parts, given, y, scratch, H, W, softplus != 0


@fast
def _backward_of(words):
    """The same of a backward: gy in the place of y, then the gradients."""
    sizes, at = _handed_over(words, 17)
    here, Bt, K, sets, Dm, N, H, W, parts, softplus, floats = sizes[3:]
    given = _given(at, Bt, K, sets, Dm, N, H * W)
    gy = carray(float_pointer(at[9]), (Bt, Dm, H * W))
    grads = _grads(at[10:], Bt, K, Dm, N, H * W, parts)
    scratch = _scratch(at[8], claim(here + 8), floats, H, W)
    return here, Bt * parts, parts, given, gy, grads, scratch, H, W, softplus != 0


def _bodies(version):
    """The entry points. Every worker runs one with the same words, which `layout` names, and
    takes tasks, a part of an image each, until none is left."""

    def forward(words):
        carray(words, WORDS)[2] = version
        here, tasks, parts, given, y, scratch, H, W, softplus = _forward_of(words)
        task = claim(here)
        while task < tasks:
            start, end = _channels(task % parts, parts, y.shape[1])
            for first in range(start, end, GROUP):
                n = min(GROUP, end - first)
                _forward(task // parts, first, n, given, y, scratch, H, W, softplus)
            task = claim(here)

    def backward(words):
        carray(words, WORDS)[2] = version
        here, tasks, parts, given, gy, grads, scratch, H, W, softplus = _backward_of(words)
        task = claim(here)
        while task < tasks:
            b, part = task // parts, task % parts
            start, end = _channels(part, parts, gy.shape[1])
            for first in range(start, end, GROUP):
                n = min(GROUP, end - first)
                _backward(b, part, first, n, given, gy, grads, scratch, H, W, softplus)
            task = claim(here)

    def forward_by_lanes(words):
        carray(words, WORDS)[2] = version
        here, tasks, parts, given, y, scratch, H, W, softplus = _forward_of(words)
        task = claim(here)
        while task < tasks:
            channels = _channels(task % parts, parts, y.shape[1])
            forward_of_lanes(task // parts, channels, given, y, scratch, H, W, softplus)
            task = claim(here)

    def backward_by_lanes(words):
        carray(words, WORDS)[2] = version
        here, tasks, parts, given, gy, grads, scratch, H, W, softplus = _backward_of(words)
        task = claim(here)
        while task < tasks:
            b, part = task // parts, task % parts
            channels = _channels(part, parts, gy.shape[1])
            backward_of_lanes(b, part, channels, given, gy, grads, scratch, H, W, softplus)
            task = claim(here)

    return {f.__name__: f for f in (forward, backward, forward_by_lanes, backward_by_lanes)}


@functools.cache
def entry_point(name):
    """The address of the machine code of one of `_bodies`, for `team.run`.

    Compiled in 7 to 18 seconds when it is first asked for on a machine, then read from numba's
    cache beside this file or in the user's own; compiled again by each process where neither
    can be written.
    """
    body = _bodies(version())[name]
    signature = types.void(types.CPointer(types.int64))
    try:
        compiled = cfunc(signature, cache=True)(body)
    except RuntimeError:  # numba's word for finding no place for its cache
        compiled = cfunc(signature)(body)
    return compiled.address


@functools.cache
def version():
    """A number of this package's text. Numba's cache watches the file of an entry point alone,
    and what it closes over: this, so that a change of any file is seen."""
    text = b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))
    return zlib.crc32(text)
