"""What must hold of one row's projection for p = 1, in exact arithmetic."""

from fractions import Fraction

import numpy as np

from tests.support import oracle


def ulp(value, dtype):
    """The spacing of the dtype at a number, as a fraction, as if the exponent had no upper limit."""
    info, size = np.finfo(dtype), abs(oracle.exact(value))
    if size == 0:
        return Fraction(float(info.smallest_subnormal))
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    return Fraction(2) ** (max(exponent, int(info.minexp)) - int(info.nmant))


def check_multiplier(row, lam):
    """The norm before any rounding of y: within 4 ulps of eps, or, for lam = 0, at most eps. Return the error.

    A pair of float64 has no more than 106 bits, which matters where eps is less than that of |d|.
    """
    target, slack = oracle.exact(row.eps), 4 * ulp(row.eps, row.x.dtype)
    slack += len(row.x) * lam / 2**104
    reached = row.reached(lam)
    if lam == 0:
        assert reached <= target + slack, (float(reached), float(target))
        return 0.0
    assert abs(reached - target) <= slack, (float(reached), float(target), float(lam))
    return float(abs(reached - target) / ulp(row.eps, row.x.dtype))


def check_y(row, y, lam):
    """Inside the bounds, towards d, the norm eps within rounding, and v as lam says to 8 ulps of |d|."""
    dtype = row.x.dtype
    assert y.dtype == dtype
    assert np.isfinite(y).all()
    assert np.all((y >= row.lower) & (y <= row.upper))
    if lam == 0:
        assert np.array_equal(y, np.clip(row.z, row.lower, row.upper).astype(dtype))
        return
    assert np.all(y[row.z == row.x] == row.x[row.z == row.x])
    shortest, longest = Fraction(0), Fraction(0)
    signs, distances, _ = row.parts
    values = zip(row.x, y, signs, distances, row.steps(lam), strict=True)
    for x, found, sign, distance, expected in values:
        step = (oracle.exact(found) - oracle.exact(x)) * sign
        assert step >= 0, (x, found, sign)
        rounding = max(ulp(x, dtype), ulp(found, dtype)) / 2
        shortest += max(step - rounding, 0)
        longest += step + rounding
        away = abs(step - Fraction(expected, row.unit))
        assert away <= rounding + 8 * ulp(Fraction(distance, row.unit), dtype), (
            x,
            found,
            float(away),
        )
    target = min(oracle.exact(row.eps), row.reached(0))
    slack = 4 * ulp(row.eps, dtype) + len(y) * lam / 2**104
    assert shortest <= target + slack, (float(shortest), float(target))
    assert longest >= target - slack, (float(longest), float(target))
