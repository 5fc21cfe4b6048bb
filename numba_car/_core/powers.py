"""Powers that LLVM can compute in vector lanes, for the CPU.

`**` is a call of the C library for each element, which keeps a loop from being vectorised. `power` is
2**(p*log2(x)) by polynomials; nothing in it branches or calls. `half_power` takes square roots and products.
The formulas are in `docs/derivation.md`, "Powers in vector lanes". CUDA kernels take `**`.
"""

# ruff: noqa: ARG001, ARG005 (numba passes arguments that not every intrinsic needs)

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numba_car._jit import formula, overload

MOST_HALVES = 8  # the largest p of `half_power`, times 2

_BITS = {  # bits of the mantissa, bias of the exponent, and bits of sqrt(1/2)
    types.float32: (ir.FloatType(), ir.IntType(32), 23, 127, 0x3F3504F3),
    types.float64: (ir.DoubleType(), ir.IntType(64), 52, 1023, 0x3FE6A09E667F3BCD),
}


@intrinsic
def fma(context, a, b, c):
    """Return a*b + c, rounded once."""
    return a(a, a, a), lambda context, builder, signature, values: builder.fma(*values)


@intrinsic
def _nearest(context, value):
    """Return the nearest whole number, which no flag of a loop may change."""

    def code(context, builder, signature, values):
        return builder.call(builder.module.declare_intrinsic("llvm.rint", [values[0].type]), values)

    return value(value), code


@intrinsic
def _parts(context, value):
    """Return m in [sqrt(1/2), sqrt(2)) and a whole e with m * 2**e = value, for a normal positive number."""

    def code(context, builder, signature, values):
        real, whole, bits, bias, root_half = _BITS[signature.args[0]]
        number = builder.bitcast(values[0], whole)
        moved = builder.add(number, whole((bias << bits) - root_half))
        exponent = builder.lshr(moved, whole(bits))
        over = builder.sub(builder.shl(exponent, whole(bits)), whole(bias << bits))
        mantissa = builder.bitcast(builder.sub(number, over), real)
        if bits == 52:  # AVX2 converts no 64-bit integers: write them into the mantissa of 2**52
            exponent = builder.bitcast(builder.or_(exponent, whole((bias + bits) << bits)), real)
            exponent = builder.fsub(exponent, real(2.0**bits + bias))
        else:
            exponent = builder.fsub(builder.sitofp(exponent, real), real(bias))
        return context.make_tuple(builder, signature.return_type, (mantissa, exponent))

    return types.UniTuple(value, 2)(value), code


@intrinsic
def _times_power_of_two(context, value, exponent):
    """Return value * 2**exponent, for a whole exponent, where both value and result are normal numbers."""

    def code(context, builder, signature, values):
        real, whole, bits, *_ = _BITS[signature.args[0]]
        if bits == 52:
            moved = builder.bitcast(builder.fadd(values[1], real(1.5 * 2.0**bits)), whole)
        else:
            moved = builder.fptosi(values[1], whole)
        number = builder.bitcast(values[0], whole)
        return builder.bitcast(builder.add(number, builder.shl(moved, whole(bits))), real)

    return value(value, exponent), code


@formula
def _log2(x):
    """Return log2(x) as high + low, good to 2**-59 beside its whole part, for a positive float64."""
    scaled = x * 2.0**54 if x < 2.0**-1022 else x
    mantissa, whole = _parts(scaled)
    whole = whole - 54.0 if x < 2.0**-1022 else whole
    # With s = f/(2 + f), log(1 + f) = 2 atanh(s) = 2 (s + s**3/3 + s**5/5 ...).
    f = mantissa - 1.0
    under = 2.0 + f
    inverse = 1.0 / under
    s = f * inverse
    s_low = inverse * (fma(-s, under, f) - s * (f - (under - 2.0)))
    z = s * s
    series = fma(z, 0.18880010645463566, 0.19142793205820222)
    series = fma(z, series, 0.22197651717179617)
    series = fma(z, series, 0.2623078640447632)
    series = fma(z, series, 0.3205989004205735)
    series = fma(z, series, 0.41219858310211616)
    series = fma(z, series, 0.577078016355598)
    series = fma(z, series, 0.9617966939259756)
    product = s * 2.8853900817779268  # 2/log(2), of which the rest follows
    low = fma(s, 2.8853900817779268, -product)
    low = fma(s, 4.0710547481862066e-17, low)
    low = fma(s_low, 2.8853900817779268, low)
    low = fma(s * z, series, low)
    high = whole + product
    return high, (product - (high - whole)) + low


@formula
def _power64(x, p, p_low):
    """Return x**(p + p_low) in float64, within 1 ulp; a subnormal result is rounded twice."""
    high, low = _log2(x)
    y = p * high
    y_low = fma(p, low, fma(p_low, high, fma(p, high, -y)))
    total = y + y_low
    whole = _nearest(total)
    r = (y - whole) + y_low
    value = fma(r, 2.5729324371667712e-11, 4.4558179475918685e-10)
    value = fma(r, value, 7.054897304046204e-09)
    value = fma(r, value, 1.017805708751313e-07)
    value = fma(r, value, 1.3215486808705774e-06)
    value = fma(r, value, 1.5252733841557202e-05)
    value = fma(r, value, 0.00015403530393370734)
    value = fma(r, value, 0.001333355814640647)
    value = fma(r, value, 0.00961812910762848)
    value = fma(r, value, 0.055504108664821625)
    value = fma(r, value, 0.24022650695910072)
    value = fma(r, value, 0.6931471805599453)
    shift = 128.0 if total < -900.0 else 0.0
    value = _times_power_of_two(fma(r, value, 1.0), whole + shift)
    value = value * (2.0**-128 if total < -900.0 else 1.0)
    value = value if total > -1075.0 else 0.0
    value = value if total < 1024.0 else math.inf
    return value if (x > 0.0) & (x < math.inf) else x


def _float32(*values):
    """Return numbers rounded to float32."""
    return tuple(np.float32(value) for value in values)


_LOG2E = _float32(1.4426950408889634, 1.9259629911266175e-08)
_SECOND = _float32(-0.7213475196293067, -8.814639906873367e-09)
_LOG = _float32(
    *(0.4808981949068801, -0.36067391805453075, 0.28855987996723087, -0.24046172645417227),
    *(0.20532894396331416, -0.17919447436654068, 0.17041310234844279, -0.16673641913510337),
    0.09765637520660156,
)
_EXP = _float32(
    *(0.6931471880263143, 0.24022650760568867, 0.05550357113808485),
    *(0.009618082556922357, 0.0013390863583683911, 0.000154531631347384),
)
_MOST_P = 2.0**60  # beyond it, float32 shows no difference
_ZERO, _ONE, _INFINITE = _float32(0, 1, math.inf)
_LEAST, _MOST, _TINY, _GROW, _GROWN = _float32(-126, 128, 2.0**-126, 2.0**24, 24)


@formula
def _power32(x, p, p_low):
    """Return x**(p + p_low) in float32, within 1 ulp for moderate p; 0 for a result below 2**-126."""
    scaled = x * _GROW if x < _TINY else x
    mantissa, whole = _parts(scaled)
    whole = whole - _GROWN if x < _TINY else whole
    # log2(1 + f) = f/log(2) - f**2/(2 log(2)) + f**3 * series, where the first three are sums of two numbers.
    f = mantissa - _ONE
    series = fma(f, _LOG[8], _LOG[7])
    series = fma(f, series, _LOG[6])
    series = fma(f, series, _LOG[5])
    series = fma(f, series, _LOG[4])
    series = fma(f, series, _LOG[3])
    series = fma(f, series, _LOG[2])
    series = fma(f, series, _LOG[1])
    series = fma(f, series, _LOG[0])
    square = f * f
    first, second = f * _LOG2E[0], square * _SECOND[0]
    low = fma(f, _LOG2E[1], fma(f, _LOG2E[0], -first))
    low += fma(fma(f, f, -square), _SECOND[0], fma(square, _SECOND[0], -second))
    third = square * f * series
    high = first + second
    low += second - (high - first)
    more = high + third
    low += third - (more - high)
    high = whole + more
    low += more - (high - whole)
    y = p * high
    y_low = fma(p, low, fma(p_low, high, fma(p, high, -y)))
    total = y + y_low
    whole = _nearest(total)
    r = (y - whole) + y_low
    value = fma(r, _EXP[5], _EXP[4])
    value = fma(r, value, _EXP[3])
    value = fma(r, value, _EXP[2])
    value = fma(r, value, _EXP[1])
    value = fma(r, value, _EXP[0])
    value = _times_power_of_two(fma(r, value, _ONE), whole)
    value = value if total > _LEAST else _ZERO
    value = value if total < _MOST else _INFINITE
    return value if (x > _ZERO) & (x < _INFINITE) else x


def power(x, p, p_low):
    """Return x**(p + p_low) in the dtype of x, for x >= 0; 0, infinity and NaN stay as they are."""
    return x ** type(x)(p + p_low) if 0 < x < math.inf else x


@overload(power)
def _power_of(x, p, p_low):
    if x == types.float32:

        def in_float32(x, p, p_low):
            p = min(max(p, -_MOST_P), _MOST_P)
            high = np.float32(p)
            return _power32(x, high, np.float32((p - np.float64(high)) + p_low))

        return in_float32
    return lambda x, p, p_low: _power64(np.float64(x), p, p_low)


@formula
def half_power(x, count):
    """Return x**(count/2) for a whole count from 0 to 8, by a square root and products."""
    square = x * x
    result = math.sqrt(x) if count & 1 else type(x)(1)
    result = result * x if count & 2 else result
    result = result * square if count & 4 else result
    return square * square if count & 8 else result
