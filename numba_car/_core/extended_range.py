"""Sizes as a mantissa and an exponent of two, so that no quotient, product or power of theirs over- or underflows.

`is_clipped` and `step` are those of `coordinate` for such an eta; powers and their sums are pairs, see `double_double`.
"""

import math

import numpy as np

from numba_car._core.double_double import power
from numba_car._jit import formula

_FAR = 4000  # beyond all exponents of quotients of float64
BEYOND = 0.5, 2 * _FAR  # an eta beyond all breakpoints


@formula
def to_float(mantissa, exponent):
    """Return mantissa * 2**exponent, for an exponent of any size."""
    return np.ldexp(mantissa, min(max(exponent, -_FAR), _FAR))


@formula
def quotient(a, b):
    """Return a/b as mantissa in (0.5, 2) and exponent, for finite positive a and b."""
    (a_mantissa, a_exponent), (b_mantissa, b_exponent) = math.frexp(a), math.frexp(b)
    return a_mantissa / b_mantissa, a_exponent - b_exponent


@formula
def exceeds(a, b):
    """Return whether one normalised (mantissa, exponent) is larger than another; zero has mantissa 0."""
    if a[0] == 0 or b[0] == 0:
        return a[0] > b[0]
    return a[1] > b[1] or (a[1] == b[1] and a[0] > b[0])


@formula
def is_clipped(distance, abs_delta, eta):
    """Return whether eta*abs_delta >= distance."""
    if distance == math.inf:
        return False
    (distance_mantissa, distance_exponent), (mantissa, exponent) = (
        math.frexp(distance),
        math.frexp(abs_delta),
    )
    return to_float(eta[0] * mantissa, eta[1] + exponent - distance_exponent) >= distance_mantissa


@formula
def arrival(distance, abs_delta):
    """Return distance/abs_delta, normalised, and rounded up so that eta*abs_delta is not below the distance."""
    mantissa, exponent = quotient(distance, abs_delta)
    mantissa, extra = math.frexp(mantissa)
    if not is_clipped(distance, abs_delta, (mantissa, exponent + extra)):
        mantissa += 2.0**-53
    return mantissa, exponent + extra


@formula
def step(distance, abs_delta, eta):
    """Return min(eta*abs_delta, room), normalised."""
    if is_clipped(distance, abs_delta, eta):
        return math.frexp(distance)
    mantissa, exponent = math.frexp(abs_delta)
    mantissa, extra = math.frexp(eta[0] * mantissa)
    return mantissa, eta[1] + exponent + extra


@formula
def raised(mantissa, exponent, p):
    """Return (mantissa * 2**exponent)**p as a pair."""
    value, whole = power(mantissa, exponent, 0.0, p)
    return to_float(value[0], whole), to_float(value[1], whole)


@formula
def root(total, inverse):
    """Return total**(1/p) of a pair, as mantissa and exponent."""
    mantissa, exponent = math.frexp(total[0])
    value, whole = power(mantissa, exponent, total[1] / total[0], inverse)
    return value[0] + value[1], whole
