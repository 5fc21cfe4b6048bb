"""`kernels.norm`, `project` and `maximize`: one row from a caller's own jitted code, against exact arithmetic."""

import math

import numba
import numpy as np
import pytest

import numba_car as car
from numba_car import kernels
from tests.support.checks_steps import check_maximize, check_project
from tests.support.steps import batch, calls, second

X, DELTA = batch((6, 30))
EPS = (0.0, 0.01, 0.4, 1.1, 3.0, 1e9)


@calls
def test_rows(name, p):
    check = {"project": check_project, "maximize": check_maximize}[name]
    for x, direction, eps in zip(X, DELTA, EPS, strict=True):
        other = second(name, x, direction)
        for lower, upper in ((0.0, 1.0), (np.zeros(30), np.linspace(1, 2, 30)), (0.0, math.inf)):
            if name == "maximize" and eps == EPS[-1] and np.ndim(upper) == 0 and upper > 1:
                continue  # where rounding of x + eps is all that there is
            out = np.empty_like(x)
            found = getattr(kernels, name)(x, other, eps, float(p), lower, upper, out)
            assert found >= 0
            check(x, other, eps, p, out, lower, upper)


@calls
@pytest.mark.parametrize("which", [0, 1])
def test_in_place(name, p, which):
    for eps in EPS:
        given = [X[1].copy(), second(name, X[1], DELTA[1])]
        expected = np.empty_like(X[1])
        value = getattr(kernels, name)(*given, eps, float(p), 0.0, 1.0, expected)
        again = getattr(kernels, name)(*given, eps, float(p), 0.0, 1.0, given[which])
        assert again == value
        np.testing.assert_array_equal(given[which], expected)


@calls
def test_rows_that_break_a_rule(name, p):
    function = getattr(kernels, name)
    x, other = X[1], second(name, X[1], DELTA[1])
    bad = other.copy()
    bad[3] = np.nan
    wrong = [(x, bad, 0.5, p, 0.0), (x, other, -0.5, p, 0.0), (x, other, math.nan, p, 0.0)]
    wrong += [(x, other, math.inf, p, 0.0), (x, other, 0.5, 0.5, 0.0), (x, other, 0.5, p, 0.9)]
    for *given, order, lower in wrong:
        out = np.zeros_like(x)
        assert math.isnan(function(*given, float(order), lower, 1.0, out))
        assert np.isnan(out).all()
    out = np.zeros(29)
    assert math.isnan(function(x, other, 0.5, float(p), 0.0, 1.0, out))
    assert (out == 0).all()
    empty = np.zeros(0)
    assert function(empty, empty, 0.5, float(p), 0.0, 1.0, empty) == 0


@pytest.mark.parametrize("p", [0.5, 1, 2, 3, math.inf])
def test_norm(p):
    scales = np.array([0.0, 0.01, 0.3, 1.0, 50.0, np.inf])
    expected = car.norm(X, DELTA, scales, p=p)
    found = [kernels.norm(*row, float(p), 0.0, 1.0) for row in zip(X, DELTA, scales, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    for scale in (-1.0, math.nan):
        assert math.isnan(kernels.norm(X[0], DELTA[0], scale, float(p), 0.0, 1.0))


def test_inside_a_callers_function():
    @numba.njit
    def ascend(x, g, out):
        for row in range(len(x)):
            kernels.maximize(x[row], g[row], 0.5, 2.0, 0.0, 1.0, out[row])
            kernels.project(x[row], out[row], 0.25, 2.0, 0.0, 1.0, out[row])

    out = np.empty_like(X)
    ascend(X, DELTA, out)
    expected = car.project(X, car.maximize(X, DELTA, 0.5), 0.25)
    np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("p", [1, 2, 3, math.inf])
def test_only_the_direction_of_g_matters(p):
    """Also where eta along g is no float64."""
    for x, g in zip(X, DELTA, strict=True):
        out, again = np.empty((2, 30))
        kernels.maximize(x, g, 0.7, float(p), 0.0, 1.0, out)
        for scale in (2.0**-1065, 2.0**-500, 2.0**900):
            again[:] = 7
            kernels.maximize(x, g * scale, 0.7, float(p), 0.0, 1.0, again)
            np.testing.assert_allclose(again, out, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_huge_distances(p):
    most = np.finfo(np.float64).max
    x, z, out = np.full(3, -most), np.array([most, -most, 0.0]), np.empty(3)
    assert kernels.project(x, z, 1.0, float(p), -math.inf, math.inf, out) >= 0
    np.testing.assert_array_equal(out, x)
