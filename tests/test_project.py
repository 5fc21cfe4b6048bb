"""The projection of NumPy arrays against exact arithmetic: the KKT conditions, dtypes, bounds, and rows of every kind."""

import math

import numpy as np
import pytest

import numba_car as car
from tests.support.checks_steps import check_project
from tests.support.steps import FLOATS, batch, floats
from tests.support.strategies import FAMILIES, family_arrays

ORDERS = (1, 2, math.inf)
orders = pytest.mark.parametrize("p", ORDERS)


def check_rows(x, z, eps, p, lower=0.0, upper=1.0, **options):
    """Check each row of a batch, and that a row alone is the same to the bit."""
    y = car.project(x, z, eps, p=p, bounds=(lower, upper), **options)
    eps = np.broadcast_to(eps, len(x))
    ends = [np.broadcast_to(bound, x.shape) for bound in (lower, upper)]
    for row in range(len(x)):
        bounds = tuple(end[row] for end in ends)
        check_project(x[row], z[row], float(eps[row]), p, y[row], *bounds)
        alone = car.project(x[row], z[row], float(eps[row]), p=p, bounds=bounds, **options)
        assert alone.tobytes() == y[row].tobytes()


@floats
@orders
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_rows_of_every_family(family, p, dtype):
    if dtype.kind == "V":  # bfloat16, whose finfo is not NumPy's
        x, z = (values.astype(dtype) for values in family_arrays("uniform", (4, 17), np.float32))
    else:
        x, delta = family_arrays(family, (4, 17), dtype.type)
        with np.errstate(over="ignore"):
            z = np.nan_to_num(x + delta)
    x = np.clip(x, dtype.type(0), dtype.type(1))
    reach = float(np.abs(np.clip(z, 0, 1).astype(float) - x.astype(float)).max())
    check_rows(x, z, reach * np.array([0.01, 0.5, 0.9, 30]), p)


@orders
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_bounds_and_sizes(p, dtype):
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 9, 70):
        x = rng.standard_normal((3, n)).astype(dtype)
        z = (x + 10.0 ** rng.integers(-3, 3, (3, n)) * rng.standard_normal((3, n))).astype(dtype)
        lower = x - (rng.random((3, n)) * rng.integers(0, 2, (3, n))).astype(dtype)
        upper = x + rng.random((3, n)).astype(dtype)
        for eps in (0.0, 1e-6, 0.3, [0.1, 1.0, 1e3]):
            check_rows(x, z, eps, p, lower, upper)
        check_rows(x, z, 0.7, p, -math.inf, math.inf)
        check_rows(x, z, 0.7, p, -math.inf, upper)


@orders
def test_points_outside_the_box_and_points_inside_the_ball(p):
    x, direction = batch()
    for z, eps in ((x + 100 * direction, 0.7), (x + direction / 1024, 50.0), (x, 0.5)):
        check_rows(x, z, eps, p)
    y = car.project(x, x + direction, 1e9, p=p)
    np.testing.assert_array_equal(y, np.clip(x + direction, 0, 1))
    np.testing.assert_array_equal(car.project(x, x + direction, 0.0, p=p), x)


@orders
def test_a_projection_of_a_projection_stays(p):
    """A second projection moves nothing but by rounding."""
    x, direction = batch()
    y = car.project(x, x + direction, 0.7, p=p)
    np.testing.assert_allclose(car.project(x, y, 0.7, p=p), y, rtol=1e-14, atol=1e-15)


@orders
@pytest.mark.parametrize("method", ["newton", "sort"])
def test_methods(p, method):
    x, direction = batch((4, 30))
    check_rows(x, x + direction, 0.7, p, method=method)


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**-500, 2.0**500, 2.0**900])
@orders
def test_units(p, scale):
    """Powers of two change nothing but the unit."""
    x, direction = batch((4, 30))
    y = car.project(x, x + direction, 0.7, p=p)
    bounds = (0.0, scale)
    found = car.project(x * scale, (x + direction) * scale, 0.7 * scale, p=p, bounds=bounds)
    np.testing.assert_array_equal(found, y * scale)


@orders
def test_huge_z(p):
    """z - x may overflow; what is nearest does not. A threshold has 106 bits, those of |z - x|."""
    most = 2.0**80 if p == 1 else np.finfo(np.float64).max
    x = np.array([[0.5, 0.25, 0.75]])
    y = car.project(x, np.array([[most, -most, 0.75]]), 0.125, p=p)
    expected = {1: [0.5, 0.125], 2: [0.5 + 0.125 / 2**0.5, 0.25 - 0.125 / 2**0.5]}
    expected[math.inf] = [0.625, 0.125]
    np.testing.assert_allclose(y[0, :2], expected[p], rtol=1e-15)
    x = np.full((1, 3), -np.finfo(np.float64).max)
    y = car.project(x, -x, 1.0, p=p, bounds=(None, None))
    assert np.isfinite(y).all()


def test_dtypes_of_results():
    x8, x4 = np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.float32)
    assert car.project(x8, x8 + 1, 0.5).dtype == np.float64
    assert car.project(x8, x4 + 1, 0.5).dtype == np.float32
    for dtype in FLOATS:
        assert car.project(x8.astype(dtype), 1, 0.5).dtype == dtype
        assert car.project(x8, np.ones(3, dtype), 0.5).dtype == dtype


def test_other_orders_are_refused():
    for p in (0.5, 1.5, 3, 1e300):
        with pytest.raises(ValueError, match=r"\bp\b.*1, 2 or inf"):
            car.project([[0.5]], [[1.0]], 0.1, p=p)
