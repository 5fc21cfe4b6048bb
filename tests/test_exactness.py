"""The norm that the returned eta really reaches, in exact arithmetic, against min(eps, R)."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from scipy.optimize import brentq

import numba_car as car
from tests.support import oracle
from tests.support.checks import (
    METHODS,
    check_eta,
    check_max_norm,
    check_saturated_eta,
    check_solve,
)
from tests.support.oracle import Row
from tests.support.strategies import POWERS, family_arrays, long_rows, rows


@given(row=rows())
@example(Row(np.float32([0.5]), np.float32([1e25]), 0.25))
@example(Row(np.float32([0.5]), np.float32([1e-12]), 0.25))
@example(Row(np.float32([0.5, 0.5]), np.float32([1.0, 0.0]), 5.0))
@example(Row(np.float64([0.5]), np.float64([5e-324]), 5e-324))
@example(Row(np.float64([0.0]), np.float64([6.745010892217405e-266]), 0.9999999999999432))
@example(Row(np.float64([0.0, 0.0]), np.float64([1e100, 1e-220]), 1.0000001, 0.5))
@example(Row(np.float64([0.0, 0.0]), np.float64([0.24, 8.1e-32]), 1.000000000000001, 0.5))
@example(Row(np.float64([0.0, 0.0]), np.float64([25.0, 0.0061]), 1.0314849987036265, 0.5))
@example(Row(np.float64([0.0, 0.0]), np.float64([2.3e-115, 1.1e156]), 0.9999999999708962))
@example(Row(np.float32([-3e38]), np.float32([1.0]), 3.4e38, 2.0, -3e38, 3e38))
def test_eta_reaches_the_norm(row):
    check_eta(row)


@pytest.mark.parametrize("p", [*POWERS, 0.1, 2.5, 20.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_eta_reaches_a_norm_beside_a_kink(dtype, p):
    """Few elements of any magnitude, and eps at or next to the norm where one of them stops."""
    rng = np.random.default_rng(9)
    info = np.finfo(dtype)
    widest = 0.97 * math.log10(info.max)
    for span in 50 * [3, 20, widest]:
        n = rng.integers(1, 5)
        x = (rng.random(n) * rng.integers(0, 2, n)).astype(dtype)
        delta = (10 ** rng.uniform(-span, span, n)).astype(dtype)
        row = Row(x, delta, 0.0, p)
        kink = oracle.norm_at(row.breakpoints[rng.integers(n)], row)
        beside = rng.integers(-1, 2) * 2.0 ** -rng.integers(1, info.nmant)
        row.eps = float(dtype(float(min(kink * (1 + mpmath.mpf(beside)), float(info.max)))))
        check_eta(row)


@given(row=long_rows())
def test_eta_reaches_the_norm_of_long_rows(row):
    check_eta(row)


@given(row=rows())
@pytest.mark.parametrize("method", METHODS)
def test_saturated_eta_is_accurate_itself(row, method):
    row.eps = float(np.finfo(row.dtype).max)
    check_saturated_eta(row, method)


@given(row=rows())
def test_max_norm(row):
    check_max_norm(row)


@given(row=rows())
@pytest.mark.parametrize("method", METHODS)
def test_solve(row, method):
    check_solve(row, method)


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("family", ["uniform", "pixels", "cauchy"])
def test_agrees_with_a_root_finder(p, family):
    x, delta = family_arrays(family, (200,), np.float64)
    room = np.where(delta > 0, 1 - x, x)[delta != 0]
    speed = np.abs(delta[delta != 0])

    def norm(guess):
        step = np.minimum(guess * speed, room)
        return step.max() if math.isinf(p) else np.sum(step**p) ** (1 / p)

    eps = 0.7 * norm(np.inf)
    root = brentq(lambda guess: norm(guess) - eps, 0, np.max(room / speed), xtol=1e-300)
    np.testing.assert_allclose(car.eta(x, delta, eps, p=p), root, rtol=1e-12)
