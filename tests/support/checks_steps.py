"""What must hold of one row of `project` and `maximize`, in exact arithmetic, as the result is stored."""

import math
from fractions import Fraction

import mpmath
import numpy as np

from tests.support import oracle, oracle_steps
from tests.support.oracle import BITS, exact


def ulp(value, dtype):
    """The spacing of the dtype at a number, as a fraction."""
    value = exact(value)
    with mpmath.workprec(BITS):
        return oracle_steps.fraction(
            oracle.ulp(mpmath.mpf(value.numerator) / value.denominator, dtype)
        )


def check_kind(x, y, lower, upper):
    """The dtype and the shape of x, no NaN, inside the bounds."""
    assert y.dtype == x.dtype
    assert y.shape == x.shape
    assert not np.isnan(y.astype(float)).any()
    assert np.all((y >= lower) & (y <= upper))


def check_project(x, z, eps, p, y, lower=0.0, upper=1.0):
    """y is the exact projection to 8 ulps of |z - x| and its own rounding; return the worst error in these."""
    check_kind(x, y, lower, upper)
    worst = 0.0
    expected = oracle_steps.project(x, z, eps, p, lower, upper)
    for start, end, found, best in zip(x, z, y, expected, strict=True):
        # half a unit of rounding, on either side of a power of two, and half of that of float32 before it
        rounding = Fraction(3, 4) * max(ulp(found, x.dtype), ulp(best, x.dtype))
        distance = ulp(exact(end) - exact(start), x.dtype)
        error = float((abs(exact(found) - best) - rounding) / distance)
        assert error <= 8, (start, end, found, float(best), error)
        worst = max(worst, error)
    return worst


def check_maximize(x, g, eps, p, y, lower=0.0, upper=1.0):
    """<g, y> is the best to 4 ulps and the rounding of y; what has no slope stays. Return the error in ulps."""
    check_kind(x, y, lower, upper)
    assert np.all(y[g == 0] == x[g == 0])
    assert np.all(y[g > 0] >= x[g > 0])
    assert np.all(y[g < 0] <= x[g < 0])
    exactly = oracle_steps.maximize(x, g, eps, p, lower, upper)
    best = oracle_steps.gain(x, g, exactly)
    moved = zip(x, g, exactly, y, strict=True)  # a step may be too small for y to show it
    units = (
        abs(exact(b)) * max(ulp(a, x.dtype), ulp(d, x.dtype))
        for a, b, c, d in moved
        if exact(a) != c
    )
    rounding = sum(units) / 2
    error = abs(best - oracle_steps.gain(x, g, y)) - rounding
    assert error <= 4 * ulp(best, x.dtype), (float(best), float(error))
    return float(error / ulp(best, x.dtype))


def power_sum(values, p):
    """The sum of the p-th powers of fractions >= 0: exact for whole p, to 300 bits else."""
    if p == int(p):
        return sum((value ** int(p) for value in values), Fraction(0))
    with mpmath.workprec(BITS):
        sizes = (mpmath.mpf(value.numerator) / value.denominator for value in values)
        return mpmath.fsum(size ** mpmath.mpf(p) for size in sizes)


def distances(x, y):
    return [abs(exact(b) - exact(a)) for a, b in zip(x, y, strict=True)]


def is_within(x, y, eps, p):
    """Whether ||y - x||_p <= eps, exactly (to 300 bits for a p that is not whole)."""
    if p == math.inf:
        return max(distances(x, y), default=Fraction(0)) <= exact(eps)
    return power_sum(distances(x, y), p) <= power_sum([exact(eps)], p)


def check_reaches(x, y, moves, reach, p):
    """||y - x||_p falls short of `reach`, a fraction, by no more than two roundings of y, each half a unit, explain.

    `moves` says which elements are not meant to stay where they are.
    """
    units = [ulp(found, x.dtype) for found in y[moves]]
    slack = 4 * ulp(reach, x.dtype)
    if p == math.inf:
        assert max(distances(x, y)) >= reach - max(units, default=0) - slack
    elif p <= 1:  # powers add up
        missing = power_sum([max(reach - slack, Fraction(0))], p) - power_sum(distances(x, y), p)
        assert missing <= power_sum(units, p), (float(missing), float(power_sum(units, p)))
    else:
        with mpmath.workprec(BITS):
            root = lambda total: (mpmath.mpf(1) * total) ** (1 / mpmath.mpf(p))
            total = lambda values: root(_real(power_sum(values, p)))
            short = _real(reach - slack) - total(distances(x, y))
            assert short <= total(units), (float(short), float(total(units)))


def _real(value):
    if isinstance(value, Fraction):
        return mpmath.mpf(value.numerator) / value.denominator
    return mpmath.mpf(value)
