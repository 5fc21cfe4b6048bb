"""What must hold of one row's results, in exact arithmetic; each check returns its worst error in ulps.

Only for rows whose eta is a normal number does an error mean something: the others return 0.
"""

import math
from dataclasses import replace
from fractions import Fraction

import ml_dtypes
import mpmath
import numpy as np

import numba_car as car
from tests.support import oracle

METHODS = ("auto", "sort")
"""`test_auto_is_newton` says why "newton" is none of these."""


def options_of(row):
    return {"p": row.p, "bounds": row.bounds}


def eta_of(row, method):
    found = float(car.eta(row.x, row.delta, row.eps, method=method, **options_of(row)))
    if method == "auto":
        assert car.eta(row.x[None], row.delta[None], row.eps, **options_of(row)) == found
    return found


def rescaled(row, method):
    v = car.rescale(row.x, row.delta, row.eps, method=method, **options_of(row))
    if method == "auto":
        batch = car.rescale(row.x[None], row.delta[None], row.eps, **options_of(row))
        assert np.array_equal(batch[0], v)
    return v


def apart(value, reference, dtype, ulps=8):
    """Whether two numbers differ by clearly more than the rounding of either."""
    return oracle.error_in_ulps(value, reference, dtype) > ulps


def nearly_tied(row):
    """Whether some room is short of the largest by no more than its own rounding.

    For p = inf the largest rooms choose the element that decides eta; where bits below the dtype
    tell them apart, eta jumps by any factor while the norm stays the same to an ulp.
    """
    _, rooms, unit = row.moving
    if math.isinf(oracle.max_norm(row)):
        return False
    ulp = oracle.ulp(oracle.max_norm(row), row.dtype)
    return any(0 < mpmath.mpf(max(rooms) - room) / unit <= 2 * ulp for room in rooms)


def eta_within(row, ulps):
    """Eta where the norm is so many ulps from its target: between two of these, rounding may choose.

    Beside a kink they can be far apart: one a normal number, the other none.
    """
    target = oracle.target(row)
    nearly = target + ulps * oracle.ulp(target, row.dtype)
    if nearly <= 0:
        return mpmath.mpf(0)
    return oracle.eta(replace(row, eps=Fraction(*mpmath.libmp.to_rational(nearly._mpf_))))


def check_eta(row):
    """Each method: right norm where eta is a normal number, right kind of eta elsewhere."""
    info, expected = ml_dtypes.finfo(row.dtype), oracle.eta(row)
    found = [eta_of(row, method) for method in METHODS]
    if expected == 0:
        assert found == [0.0] * len(METHODS)
        return 0.0
    normal = [value for value in found if oracle.is_normal(value, row.dtype)]
    errors = [oracle.norm_error_in_ulps(value, row, row.dtype) for value in normal]
    assert max(errors, default=0) <= 4, (found, float(expected), errors)
    for value in set(found) - set(normal):
        if value < float(info.tiny):
            assert value >= 0, found
            assert eta_within(row, -4) < 2 * float(info.tiny), (found, float(expected))
        else:
            assert value == math.inf, found
            assert eta_within(row, 4) > 0.999 * float(info.max), (found, float(expected))
    if oracle.is_normal(expected, row.dtype) and normal:
        norms = [oracle.norm_at(value, row) for value in normal]
        assert oracle.error_in_ulps(min(norms), max(norms), row.dtype) <= 4, found
        if math.isinf(row.p) and not nearly_tied(row):
            slack = 1 + 8 * Fraction(float(info.eps))
            later = oracle.eta(replace(row, eps=oracle.exact(row.eps) * slack))
            assert max(normal) <= later * float(slack), (found, float(later))
    return max(errors, default=0.0)


def check_saturated_eta(row, method):
    """Clearly out of reach, eta is a breakpoint, which is known better than by the norm there."""
    expected = oracle.eta(row)
    if not oracle.is_infeasible(row) or not oracle.is_normal(expected, row.dtype):
        return 0.0
    if not apart(row.eps, oracle.max_norm(row), row.dtype):
        return 0.0
    if math.isinf(row.p) and nearly_tied(row):
        return 0.0
    error = oracle.error_in_ulps(eta_of(row, method), expected, row.dtype)
    assert error <= 2, (method, error)
    return error


def check_max_norm(row):
    expected = oracle.max_norm(row)
    found = float(car.max_norm(row.x, row.delta, **options_of(row)))
    most = float(ml_dtypes.finfo(row.dtype).max)
    if expected > most:
        assert found >= most
        return 0.0
    error = oracle.error_in_ulps(found, expected, row.dtype)
    assert error <= 4, (found, float(expected), error)
    return error


def check_solve(row, method):
    solution = car.solve(row.x, row.delta, row.eps, method=method, **options_of(row))
    assert solution._fields == ("eta", "norm", "max_norm", "saturated")
    assert type(solution).__name__ == "Solution"
    assert solution.eta == eta_of(row, method)
    assert solution.max_norm == car.max_norm(row.x, row.delta, **options_of(row))
    reachable = oracle.max_norm(row)
    if math.isinf(reachable) or apart(row.eps, reachable, row.dtype):
        assert bool(solution.saturated) == oracle.is_infeasible(row)
    norm, eta = float(solution.norm), float(solution.eta)
    if eta != 0 and not oracle.is_normal(eta, row.dtype):
        return 0.0
    of_eta = oracle.error_in_ulps(norm, oracle.norm_at(eta, row), row.dtype)
    assert of_eta <= 4, (norm, of_eta)
    if eta == 0:
        return of_eta
    of_target = oracle.error_in_ulps(norm, oracle.target(row), row.dtype)
    assert of_target <= 5, (norm, of_target)  # eta's error and its own
    return of_target


def check_inside(v, row):
    """No NaN, inside the bounds, and no element moved against its delta."""
    assert v.dtype == row.dtype
    assert v.shape == row.x.shape
    assert not np.isnan(v).any()
    assert np.all(v >= (-math.inf if row.lower is None else row.lower))
    assert np.all(v <= (math.inf if row.upper is None else row.upper))
    assert np.all(v[row.delta == 0] == row.x[row.delta == 0])
    assert np.all(v[row.delta > 0] >= row.x[row.delta > 0])
    assert np.all(v[row.delta < 0] <= row.x[row.delta < 0])


def norm_of_fractions(values, p):
    unit = max((value.denominator for value in values), default=1)
    return oracle.norm([int(value * unit) for value in values], p, unit)


def check_norm(v, row):
    """||v - x|| is min(eps, R) for some steps within what the rounding to the dtype can hide."""
    shortest, longest = [], []
    for x, moved in zip(row.x[row.delta != 0], v[row.delta != 0], strict=True):
        step = abs(oracle.exact(moved) - oracle.exact(x))
        widest = max(abs(float(x)), abs(float(moved)), float(step))
        rounding = Fraction(float(oracle.ulp(widest, row.dtype)))
        shortest.append(max(step - rounding, Fraction(0)))
        longest.append(step + rounding)
    target = oracle.target(row)
    slack = 4 * oracle.ulp(target, row.dtype)
    assert norm_of_fractions(shortest, row.p) <= target + slack
    assert norm_of_fractions(longest, row.p) >= target - slack


def check_rescale(row, method):
    v = rescaled(row, method)
    check_inside(v, row)
    expected = oracle.eta(row)
    if expected == 0:
        assert np.array_equal(v, row.x)
    elif oracle.is_normal(expected, row.dtype):
        most = float(ml_dtypes.finfo(row.dtype).max)
        half_reach = np.abs(row.x.astype(float)) / 2 + float(oracle.target(row)) / 2
        is_within = np.abs(v.astype(float)) < most
        assert np.all(is_within | (half_reach > 0.49 * most))
        if is_within.all():
            check_norm(v, row)
