"""Best ascent of NumPy arrays against exact arithmetic: the objective, ties, dtypes, and rows of every kind."""

import math

import numpy as np
import pytest

import numba_car as car
from tests.support import oracle_maximize
from tests.support.checks_steps import check_maximize
from tests.support.steps import FLOATS, batch, floats
from tests.support.strategies import FAMILIES, family_arrays

ORDERS = (1, 2, 3, math.inf)
orders = pytest.mark.parametrize("p", ORDERS)


def check_rows(x, g, eps, p, lower=0.0, upper=1.0):
    """Check each row of a batch, and that a row alone is the same to the bit."""
    y = car.maximize(x, g, eps, p=p, bounds=(lower, upper))
    eps = np.broadcast_to(eps, len(x))
    ends = [np.broadcast_to(bound, x.shape) for bound in (lower, upper)]
    for row in range(len(x)):
        bounds = tuple(end[row] for end in ends)
        check_maximize(x[row], g[row], float(eps[row]), p, y[row], *bounds)
        alone = car.maximize(x[row], g[row], float(eps[row]), p=p, bounds=bounds)
        assert alone.tobytes() == y[row].tobytes()
    return y


@floats
@orders
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_rows_of_every_family(family, p, dtype):
    if dtype.kind == "V":  # bfloat16, whose finfo is not NumPy's
        x, g = (values.astype(dtype) for values in family_arrays("uniform", (4, 17), np.float32))
    else:
        x, g = family_arrays(family, (4, 17), dtype.type)
    x = np.clip(x, dtype.type(0), dtype.type(1))
    check_rows(x, g, np.array([0.01, 0.5, 0.9, 30]), p)
    check_rows(np.zeros_like(x), abs(g), 0.25, p)  # y keeps all digits


@pytest.mark.parametrize("p", [1.1, 1.5, 1.75, 4.7, 20.0])
def test_other_orders(p):
    for dtype in (np.float32, np.float64):
        x, g = (values.astype(dtype) for values in batch((4, 12)))
        check_rows(x, g, np.array([0.01, 0.5, 0.9, 30]), p)


@orders
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_bounds_and_sizes(p, dtype):
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 9, 70):
        x, g = rng.standard_normal((2, 3, n)).astype(dtype)
        lower = x - (rng.random((3, n)) * rng.integers(0, 2, (3, n))).astype(dtype)
        upper = x + rng.random((3, n)).astype(dtype)
        for eps in (0.0, 1e-6, 0.3, [0.1, 1.0, 1e3]):
            check_rows(x, g, eps, p, lower, upper)
        check_rows(x, g, 0.7, p, -math.inf, math.inf)
        check_rows(x, g, 0.7, p, -math.inf, upper)


@orders
def test_only_the_direction_of_g_matters(p):
    x, g = batch()
    y = car.maximize(x, g, 0.7, p=p)
    for scale in (2.0**-900, 2.0**-30, 2.0**900):
        np.testing.assert_array_equal(car.maximize(x, g * scale, 0.7, p=p), y)


def test_ties_go_to_the_first():
    x = np.full((1, 6), 0.5)
    g = np.array([[1.0, -2.0, 2.0, -1.0, 2.0, 0.0]])
    y = car.maximize(x, g, 1.25, p=1)
    np.testing.assert_array_equal(y, [[0.5, 0, 1, 0.5, 0.75, 0.5]])


def test_the_exact_greedy_choice():
    """For p = 1 all but one of what moves is at its bound, to the bit."""
    x, g = batch((8, 60))
    for row, eps in zip(range(8), (0.1, 0.5, 1, 2, 3.3, 5, 9, 100), strict=True):
        y = car.maximize(x[row], g[row], eps, p=1)
        moves, pivot, _ = oracle_maximize.greedy(x[row], g[row], 0.0, 1.0, eps)
        for i, move in enumerate(moves):
            exact = oracle_maximize.exact(x[row, i]) + (move if g[row, i] > 0 else -move)
            error = abs(oracle_maximize.exact(y[i]) - exact)
            assert error <= (2**-52 if i == pivot else 0), (row, i)


@orders
def test_no_gradient_and_out_of_reach(p):
    x, g = batch()
    np.testing.assert_array_equal(car.maximize(x, 0 * g, 0.7, p=p), x)
    np.testing.assert_array_equal(car.maximize(x, g, 0.0, p=p), x)
    everything = np.where(g > 0, 1, np.where(g < 0, 0, x))
    np.testing.assert_array_equal(car.maximize(x, g, 1e9, p=p), everything)


def test_dtypes_of_results():
    x8, x4 = np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.float32)
    assert car.maximize(x8, x8 + 1, 0.5).dtype == np.float64
    assert car.maximize(x8, x4 + 1, 0.5).dtype == np.float32
    for dtype in FLOATS:
        assert car.maximize(x8.astype(dtype), 1, 0.5).dtype == dtype
        assert car.maximize(x8, np.ones(3, dtype), 0.5).dtype == dtype


def test_other_orders_are_refused():
    for p in (0.5, 0.999):
        with pytest.raises(ValueError, match=r"\bp\b.*at least 1"):
            car.maximize([[0.5]], [[1.0]], 0.1, p=p)
