"""Arithmetic on pairs (high, low) of float64, good to about 100 bits.

For rows for which float64 has too few digits: a norm with small p magnifies the error of its sum 1/p times.
Dekker 1971 and Knuth's two-sum; the names follow Hida, Li & Bailey, *Quad-double arithmetic*, 2000.
"""

import math
from fractions import Fraction

from numba_car._jit import formula

_SPLITTER = 134217729.0  # 2**27 + 1
_LOG2E = (1.4426950408889634, 2.0355273740931033e-17)
_LN2 = (0.6931471805599453, 2.3190468138462996e-17)
_HALVINGS = 8
_SHRINK = 2.0**-_HALVINGS
_INVERSES = tuple((1 / k, float(Fraction(1, k) - Fraction(1 / k))) for k in range(10, 1, -1))
_HUGE = 1e6
_ROOT_HALF = 0.7071067811865476


@formula
def two_sum(a, b):
    """Return a + b and its rounding error."""
    total = a + b
    added = total - a
    return total, (a - (total - added)) + (b - added)


@formula
def grid_of(largest):
    """Return the grid for `on_grid` on which sums of non-negative numbers up to `largest` are exact."""
    return math.ldexp(1.5, math.frexp(largest)[1] + 11)


@formula
def on_grid(value, grid):
    """Return a number rounded to a multiple of the last place of `grid`; no fast-math flag may touch this."""
    return (value + grid) - grid


@formula
def _split(a):
    shifted = _SPLITTER * a
    high = shifted - (shifted - a)
    return high, a - high


@formula
def two_product(a, b):
    """Return a * b and its rounding error."""
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@formula
def add(a, b):
    """Return a + b."""
    high, low = two_sum(a[0], b[0])
    return two_sum(high, low + (a[1] + b[1]))


@formula
def multiply(a, b):
    """Return a * b."""
    high, low = two_product(a[0], b[0])
    return two_sum(high, low + (a[0] * b[1] + a[1] * b[0]))


@formula
def divide(a, b):
    """Return a / b."""
    quotient = a[0] / b[0]
    product = multiply((quotient, 0.0), b)
    rest = add(a, (-product[0], -product[1]))
    return two_sum(quotient, rest[0] / b[0])


@formula
def _expm1(a):
    """Return exp(a) - 1 for |a| < 1, by the Taylor series of a/2**8."""
    small = (a[0] * _SHRINK, a[1] * _SHRINK)
    series = small
    for inverse in _INVERSES:  # Horner: small * (1 + small/2 * (1 + small/3 * ...))
        series = multiply(small, add((1.0, 0.0), multiply(series, inverse)))
    for _ in range(_HALVINGS):  # (1 + s)**2 - 1 = 2s + s**2
        series = add((2.0 * series[0], 2.0 * series[1]), multiply(series, series))
    return series


@formula
def _log(a):
    """Return log(a) of one float64 in [0.5, 2): a float64 guess and one step of Newton's method."""
    guess = math.log(a)
    shrunk = _expm1((-guess, 0.0))
    ratio = add(multiply((a, 0.0), shrunk), (a - 1.0, 0.0))  # a*exp(-guess) - 1, tiny
    return add((guess, 0.0), add(ratio, (-0.5 * ratio[0] * ratio[0], 0.0)))


@formula
def power(mantissa, exponent, more, p):
    """Return (mantissa * 2**exponent * (1 + more))**p as a pair and a power of two, up to 10**6 in size.

    The mantissa is in [0.5, 2), the exponent an integer, more below 2**-50 in size, p a pair.
    """
    if mantissa < _ROOT_HALF:  # so that the logarithm of 1 is 0
        mantissa, exponent = 2.0 * mantissa, exponent - 1
    log2 = add((float(exponent), 0.0), multiply(add(_log(mantissa), (more, 0.0)), _LOG2E))
    scaled = multiply(log2, p)
    if not abs(scaled[0]) < _HUGE:
        return (1.0, 0.0), int(_HUGE) if scaled[0] > 0 else -int(_HUGE)
    whole = math.floor(scaled[0] + 0.5)
    grown = _expm1(multiply(add(scaled, (-float(whole), 0.0)), _LN2))
    return add(grown, (1.0, 0.0)), whole
