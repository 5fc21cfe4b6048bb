"""The p-norm as a sum of terms.

A norm travels as a tuple whose length is its kind. The length is part of the tuple's type, so numba drops
the branches of all other kinds before it types them: each kind gets machine code of its own from one
source, on CPU and CUDA alike. `test_branches_of_other_kinds_are_pruned` shows it.

==========  ======================  ==============================================================
kind        norm                    meaning
==========  ======================  ==============================================================
`STORED`    ``()``                  the terms were raised to the power p beforehand
`ONE`       ``(1.0,)``              p = 1
`TWO`       ``(2.0, 0.5)``          p = 2
`GENERAL`   ``(p, 1/p, error)``     any other finite p; ``error`` is what 1/p lost by rounding
`MAXIMUM`   ``(inf, 0.0, 0.0, 0.0)``  p = inf, which has no terms
`HALVES`    ``(p, 1/p, error, 2p, 0.0)``  p = 1/2, 3/2, 5/2, 3, 7/2 or 4, on the CPU
`LANES`     ``(p, 1/p, error, 0.0, 0.0, 0.0)``  as `GENERAL`, on the CPU, in vector lanes
==========  ======================  ==============================================================
"""

import functools
import math
from fractions import Fraction

from numba.core import config

from numba_car._core.constants import LARGEST, LARGEST_FLOAT32, LARGEST_P, SMALLEST_P
from numba_car._core.double_double import two_product
from numba_car._core.powers import MOST_HALVES, half_power, power
from numba_car._jit import formula

STORED, ONE, TWO, GENERAL, MAXIMUM, HALVES, LANES = range(7)
STORED_POWERS, NORM_1, NORM_2, NORM_MAX = (), (1.0,), (2.0, 0.5), (math.inf, 0.0, 0.0, 0.0)


def norm_of(p: float) -> tuple[float, ...]:
    """Return the norm of that p; `norm[0]` is p, or the nearest value that makes a difference."""
    if p == math.inf:
        return NORM_MAX
    p = min(max(float(p), SMALLEST_P), LARGEST_P)
    if p in (1.0, 2.0):
        return NORM_1 if p == 1.0 else NORM_2
    return (p, *inverse_of(p))


def in_lanes(norm: tuple[float, ...]) -> tuple[float, ...]:
    """Return the norm of the same p whose powers LLVM can take in vector lanes, where there is one."""
    if len(norm) != GENERAL or config.DISABLE_JIT:
        return norm
    is_half = norm[0] <= MOST_HALVES / 2 and norm[0] * 2 == int(norm[0] * 2)
    return (*norm, 2.0 * norm[0], 0.0) if is_half else (*norm, 0.0, 0.0, 0.0)


@functools.cache
def inverse_of(p: float) -> tuple[float, float]:
    """Return 1/p and its rounding error."""
    inverse = 1.0 / p
    if not 0.0 < inverse < math.inf:
        return inverse, 0.0
    return inverse, float(1 / Fraction(p) - Fraction(inverse))


@formula
def any_norm(p):
    """Return p, 1/p and the rounding error of 1/p, where p is known only at run time."""
    p = min(max(p, SMALLEST_P), LARGEST_P)
    inverse = 1.0 / p
    product, lost = two_product(p, inverse)
    return p, inverse, -((product - 1.0) + lost) / p


@formula
def is_float32(like):
    """Return whether the dtype of `like` is float32."""
    return type(like)(1) + type(like)(2.0**-40) == 1


@formula
def largest_number(like):
    """Return the largest finite number of the dtype of `like`."""
    return type(like)(LARGEST_FLOAT32 if is_float32(like) else LARGEST)


@formula
def unit_of(size, norm, float32):
    """Return the unit in which sizes like this have powers in range; `float32` says in which range.

    For p = 1 and 2, and in `HALVES`, it is a power of two, whose inverse is exact; for other p the size itself.
    """
    if len(norm) >= GENERAL and len(norm) != HALVES:
        return size
    most = 126 if float32 else 1000
    return math.ldexp(1.0, min(max(math.frexp(size)[1], -most), most))


@formula
def divisor(unit, norm):
    """Return the second argument of `relative` for a unit: of a power of two, the inverse."""
    is_size = len(norm) >= GENERAL and len(norm) != HALVES
    return unit if is_size else type(unit)(1) / unit


@formula
def relative(size, divisor, norm):
    """Return size/unit, given the `divisor` of the unit."""
    is_size = len(norm) >= GENERAL and len(norm) != HALVES
    return size / divisor if is_size else size * divisor


@formula
def term(size, norm):
    """Return size**p, for size >= 0."""
    if len(norm) <= ONE:
        return size
    if len(norm) == TWO:
        return size * size
    if len(norm) == HALVES:
        return half_power(size, int(norm[3]))
    if len(norm) == LANES:
        return power(size, norm[0], 0.0)
    return size ** type(size)(norm[0])


@formula
def root(total, norm):
    """Return total**(1/p), for total >= 0."""
    if len(norm) <= ONE:
        return total
    if len(norm) == TWO:
        return math.sqrt(total)
    result = total ** norm[1]
    # The rounding of 1/p alone changes the result by |log(total)| ulp: correct it.
    return result + result * (math.log(total) * norm[2]) if 0.0 < result < math.inf else result
