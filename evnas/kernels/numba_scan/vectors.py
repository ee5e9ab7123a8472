"""A step of LANES states of one channel as vector instructions, for loops that numba compiles.

Numba has no vectors of its own, and its compiler makes none of loops over states whose arrays may
overlap. So each step is written in LLVM's terms, over addresses of LANES float32 each; LLVM splits
a vector into as many registers as the processor at hand needs.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .layout import LANES

_FLOAT, _VECTOR = ir.FloatType(), ir.VectorType(ir.FloatType(), LANES)
_WORDS = ir.VectorType(ir.IntType(32), LANES)
_FUSED = ("contract",)
HOLDER = 12582912.0
"""1.5 * 2^23: the lowest bits of its sum with a whole number are that number, NaN or not, where a
conversion of NaN to an integer means nothing."""
EXP2 = (
    0.000154614478, 0.00133908668, 0.00961805694, 0.0555035695, 0.240226507, 0.693147182, 1.0,
)  # fmt: skip
"""2^f for f in [-0.5, 0.5], from the highest power: fitted at Chebyshev points."""


def _splat(builder, scalar):
    """A scalar in every lane."""
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(first, first, ir.Constant(_WORDS, [0] * LANES))


def _all(value):
    return ir.Constant(_VECTOR, [value] * LANES)


def _load(builder, address):
    return builder.load(builder.inttoptr(address, _VECTOR.as_pointer()), align=4)


def _store(builder, value, address):
    builder.store(value, builder.inttoptr(address, _VECTOR.as_pointer()), align=4)


def _mul(builder, a, b):
    return builder.fmul(a, b, flags=_FUSED)


def _mul_add(builder, a, b, c):
    """a b + c, in one rounding where the processor has that."""
    return builder.fadd(_mul(builder, a, b), c, flags=_FUSED)


def _function(builder, name, result, given):
    """One of LLVM's own, for vectors of LANES floats."""
    name, module = f"{name}.v{LANES}f32", builder.module
    there = module.globals.get(name)
    return there or ir.Function(module, ir.FunctionType(result, given), name)


def _exp2(builder, x):
    """As `loops.exp2`; NaN stays NaN."""
    least, most = _all(-126.0), _all(128.0)
    x = builder.select(builder.fcmp_ordered("<", x, least), least, x)
    x = builder.select(builder.fcmp_ordered(">", x, most), most, x)
    n = builder.call(_function(builder, "llvm.rint", _VECTOR, [_VECTOR]), (x,))
    f = builder.fsub(x, n)
    p = _all(EXP2[0])
    for factor in EXP2[1:]:
        p = _mul_add(builder, p, f, _all(factor))
    held = builder.bitcast(builder.fadd(n, _all(HOLDER)), _WORDS)
    bits = builder.shl(held, ir.Constant(_WORDS, [23] * LANES))
    bits = builder.add(bits, ir.Constant(_WORDS, [127 << 23] * LANES))
    return builder.fmul(p, builder.bitcast(bits, _VECTOR))


def _sum(builder, vector):
    """Of all lanes."""
    added = _function(builder, "llvm.vector.reduce.fadd", _FLOAT, [_FLOAT, _VECTOR])
    return builder.call(added, (_FLOAT(-0.0), vector), fastmath=("reassoc",))


def _step(builder, h, rate, B, dt, q):
    """The decay, the state carried on, and the new state, which takes the old one's place."""
    decay = _exp2(builder, _mul(builder, _splat(builder, dt), _load(builder, rate)))
    carried = _mul(builder, decay, _load(builder, h))
    new = _mul_add(builder, _splat(builder, q), _load(builder, B), carried)
    _store(builder, new, h)
    return decay, carried, new


@intrinsic
def advance(typing, h, rate, B, dt, q):
    """h = 2^(dt rate) h + q B."""

    def code(context, builder, signature, args):
        _step(builder, *args)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3, types.float32, types.float32), code


@intrinsic
def advance_and_read(typing, h, rate, B, C, dt, q):
    """The same; the sum of the new h times C."""

    def code(context, builder, signature, args):
        h, rate, B, C, dt, q = args
        _, _, new = _step(builder, h, rate, B, dt, q)
        return _sum(builder, _mul(builder, new, _load(builder, C)))

    return types.float32(*[types.int64] * 4, types.float32, types.float32), code


@intrinsic
def advance_and_keep(typing, h, rate, B, dt, q, decay, carried):
    """The same; the decay and what it left of h go to addresses of their own."""

    def code(context, builder, signature, args):
        h, rate, B, dt, q, decay_at, carried_at = args
        decay, carried, _ = _step(builder, h, rate, B, dt, q)
        _store(builder, decay, decay_at)
        _store(builder, carried, carried_at)
        return context.get_dummy_value()

    three, two = [types.int64] * 3, [types.int64] * 2
    return types.void(*three, types.float32, types.float32, *two), code


@intrinsic
def retreat(typing, g, A, gA, decay, carried, B, C, gB, gC, dt, q, gy):
    """The adjoint of a step: from g, what later steps want of its state, to what it wants of the
    one before. Adds to gA, gB and gC; the gradients of q, and of dt by way of the decay."""

    def code(context, builder, signature, args):
        g_at, A, gA, decay, carried, B, C, gB, gC, dt, q, gy = args
        dt, q, gy = (_splat(builder, scalar) for scalar in (dt, q, gy))
        B, carried = _load(builder, B), _load(builder, carried)
        g = _mul_add(builder, gy, _load(builder, C), _load(builder, g_at))
        h = _mul_add(builder, q, B, carried)
        _store(builder, _mul_add(builder, h, gy, _load(builder, gC)), gC)
        _store(builder, _mul_add(builder, g, q, _load(builder, gB)), gB)
        exponent = _mul(builder, carried, g)
        _store(builder, _mul_add(builder, exponent, dt, _load(builder, gA)), gA)
        _store(builder, _mul(builder, _load(builder, decay), g), g_at)
        sums = [_sum(builder, _mul(builder, g, B))]
        sums.append(_sum(builder, _mul(builder, exponent, _load(builder, A))))
        return context.make_tuple(builder, signature.return_type, sums)

    nine, three = [types.int64] * 9, [types.float32] * 3
    return types.UniTuple(types.float32, 2)(*nine, *three), code
