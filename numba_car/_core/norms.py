"""The p-norm as a sum of terms.

A norm travels as a tuple whose *length* picks the formula. The length is part of the type, so each
kind of p gets its own machine code from one source, on CPU and CUDA alike:

==========================  ======================================================================
``()``                      the terms were raised to the power p beforehand
``(1.0,)``                  p = 1
``(2.0, 0.5)``              p = 2
``(p, 1/p, error)``         any other finite p; ``error`` is what 1/p lost by rounding
``(inf, 0.0, 0.0, 0.0)``    p = inf, which has no terms
==========================  ======================================================================
"""

import functools
import math
from fractions import Fraction

from numba_car._core.double_double import two_product
from numba_car._core.limits import LARGEST_P, SMALLEST_P
from numba_car._jit import formula

RAISED = ()


def norm_of(p: float) -> tuple[float, ...]:
    """Encode p for the formulas below; `norm[0]` is p, or the nearest that makes a difference."""
    if p == math.inf:
        return (p, 0.0, 0.0, 0.0)
    p = min(max(float(p), SMALLEST_P), LARGEST_P)
    if p in (1.0, 2.0):
        return (1.0,) if p == 1.0 else (2.0, 0.5)
    return (p, *inverse_of(p))


@functools.cache
def inverse_of(p: float) -> tuple[float, float]:
    """1/p, and what it lost by rounding."""
    inverse = 1.0 / p
    if not 0.0 < inverse < math.inf:
        return inverse, 0.0
    return inverse, float(1 / Fraction(p) - Fraction(inverse))


@formula
def any_norm(p):
    """Return p, 1/p and what 1/p loses by rounding, for jitted code that learns p as it runs."""
    p = min(max(p, SMALLEST_P), LARGEST_P)
    inverse = 1.0 / p
    product, lost = two_product(p, inverse)
    return p, inverse, -((product - 1.0) + lost) / p


@formula
def is_short(lane):
    """Whether a number is a float32."""
    return type(lane)(1) + type(lane)(2.0**-40) == 1


@formula
def unit_of(size, norm, is_short):
    """Return what to measure sizes like this in, so that their powers stay in range.

    It is a power of two, whose inverse is exact as well, where terms take no powers; else the size.
    """
    if len(norm) > 2:
        return size
    most = 126 if is_short else 1000
    return math.ldexp(1.0, min(max(math.frexp(size)[1], -most), most))


@formula
def divisor(unit, norm):
    """Return what `relative` asks for of a unit: a power of two is multiplied by its inverse."""
    return unit if len(norm) > 2 else type(unit)(1) / unit


@formula
def relative(size, divisor, norm):
    """Size in a unit."""
    return size / divisor if len(norm) > 2 else size * divisor


@formula
def term(size, norm):
    """size**p, for size >= 0."""
    if len(norm) < 2:
        return size
    if len(norm) == 2:
        return size * size
    return size ** type(size)(norm[0])


@formula
def root(total, norm):
    """total**(1/p), for total >= 0."""
    if len(norm) < 2:
        return total
    if len(norm) == 2:
        return math.sqrt(total)
    power = total ** norm[1]
    # The rounding of 1/p alone is worth |log(total)| ulp of the result: put it back.
    return power + power * (math.log(total) * norm[2]) if 0.0 < power < math.inf else power
