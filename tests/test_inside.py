"""``side="inside"``: as they are stored, results are never farther than eps, and hardly shorter than rounding explains."""

import math

import numpy as np
import pytest

import numba_car as car
from tests.support import oracle_steps
from tests.support.checks_steps import check_kind, check_reaches, distances, is_within, power_sum
from tests.support.oracle import exact
from tests.support.steps import batch, calls, floats, second, step

POWERS = (0.5, 1, 1.5, 2, 3, math.inf)
powers = pytest.mark.parametrize("p", POWERS)


def rows(dtype, p, shape=(24, 20), seed=3):
    """Rows whose results are rounded in many ways: x of many sizes, eps of many more, larger below p = 1."""
    rng = np.random.default_rng(seed)
    x = (rng.random(shape) * 2.0 ** -rng.integers(0, 6, (shape[0], 1))).astype(dtype)
    delta = (rng.standard_normal(shape) * 2.0 ** rng.integers(-9, 9, shape)).astype(dtype)
    return x, delta, 10.0 ** rng.uniform(-2, 0.5, shape[0]) * (1 if p >= 1 else shape[1])


def check(x, delta, v, eps, p, reach):
    """Check each row: inside, and not short of `reach(row)`, a fraction, or None where eps is out of reach."""
    for row in range(len(x)):
        check_kind(x[row], v[row], 0.0, 1.0)
        assert is_within(x[row], v[row], eps[row], p), row
        wanted = reach(row)
        if wanted is not None:
            check_reaches(x[row], v[row], delta[row] != 0, wanted, p)


@floats
@powers
def test_rescale(dtype, p):
    x, delta, eps = rows(dtype, p)
    solution = car.solve(x.astype(float), delta.astype(float), eps, p=p)
    v = car.rescale(x, delta, eps, p=p, side="inside")
    check(x, delta, v, eps, p, lambda row: None if solution.saturated[row] else exact(eps[row]))


@floats
@calls
def test_project_and_maximize(name, p, dtype):
    x, direction, eps = rows(dtype, p)
    other = second(name, x, direction)
    y = getattr(car, name)(x, other, eps, p=p, side="inside")

    def reach(row):
        best = getattr(oracle_steps, name)(x[row], other[row], eps[row], p)
        far = [abs(b - exact(a)) for a, b in zip(x[row], best, strict=True)]
        is_short = (
            max(far) < exact(eps[row])
            if p == math.inf
            else power_sum(far, p) < power_sum([exact(eps[row]) * (1 - exact(2.0**-60))], p)
        )
        return None if is_short else exact(eps[row])

    check(x, direction, y, eps, p, reach)


@floats
@powers
def test_nearest_is_beyond_in_some_rows(dtype, p):
    """Else the tests above would prove nothing."""
    x, delta, eps = rows(dtype, p)
    v = car.rescale(x, delta, eps, p=p)
    inside = car.rescale(x, delta, eps, p=p, side="inside")
    beyond = [not is_within(x[i], v[i], eps[i], p) for i in range(len(x))]
    assert any(beyond)
    for row in np.flatnonzero(beyond):
        longer, shorter = distances(x[row], v[row]), distances(x[row], inside[row])
        assert all(a >= b for a, b in zip(longer, shorter, strict=True))


@floats
def test_rows_that_are_just_at_eps(dtype):
    """Where eps is met exactly nothing moves; a hair less, and something does."""
    x = np.array([[0.5, 0.25, 0.75, 0.0]], dtype)
    delta = np.array([[0.25, 0.5, -0.25, 0.0]], dtype)
    for p, eps in ((1, 1.0), (2, math.sqrt(0.375)), (math.inf, 0.5)):
        for target in (eps, np.nextafter(eps, 0), np.nextafter(eps, 1)):
            v = car.rescale(x, delta, target, p=p, side="inside")
            assert is_within(x[0], v[0], target, p)
            assert np.abs(v - (x + delta)).astype(float).max() < 0.02
    v = car.rescale(x, delta, 1.0, p=1, side="inside")
    np.testing.assert_array_equal(v, x + delta)


@floats
@powers
def test_eps_smaller_than_the_spacing_of_x(dtype, p):
    x = np.full((3, 9), 0.75, dtype)
    delta = np.where(np.arange(9) % 2, 1, -1).astype(dtype) * np.ones((3, 1), dtype)
    for eps in (0.0, 5e-324, 1e-30, 1e-4):
        v = car.rescale(x, delta, eps, p=p, side="inside")
        assert is_within(x[0], v[0], eps, p)
        if p >= 1:
            v = car.maximize(x, delta, eps, p=p, side="inside")
            assert is_within(x[0], v[0], eps, p)
    v = car.rescale(x, delta, 1e-30, p=p, side="inside")
    np.testing.assert_array_equal(v, x)


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-500, 2.0**500, 2.0**900])
@powers
def test_sizes_of_all_kinds(scale, p):
    x, delta, eps = rows(np.float64, p, (6, 12))
    given = x * scale, delta, eps * scale
    v = car.rescale(*given, p=p, bounds=(0, scale), side="inside")
    for row in range(len(x)):
        assert is_within(given[0][row], v[row], given[2][row], p)


@floats
@powers
def test_in_place_and_threads(dtype, p):
    x, delta, eps = rows(dtype, p)
    expected = car.rescale(x, delta, eps, p=p, side="inside", num_threads=1)
    for which in (0, 1):
        given = [x.copy(), delta.copy()]
        found = car.rescale(*given, eps, p=p, side="inside", out=given[which], num_threads=2)
        assert found is given[which]
        assert found.tobytes() == expected.tobytes()
    alone = car.rescale(x[3], delta[3], eps[3], p=p, side="inside")
    assert alone.tobytes() == expected[3].tobytes()


@pytest.mark.parametrize("p", [1, 2, 3, math.inf])
def test_long_rows(p):
    x, direction = batch((2, 20_000), np.float32)
    x = x + np.float32(1e-3) * direction  # not on a grid
    x = np.clip(x, 0, 1)
    for v in (
        car.rescale(x, direction, 3.7, p=p, side="inside"),
        step("maximize", x, direction, 3.7, p=p, side="inside"),
    ):
        for row in range(2):
            assert is_within(x[row], v[row], 3.7, p)


@calls
def test_bad_rows_stay_nan(name, p):
    x, direction = batch()
    direction[2, 7] = np.nan
    found = step(name, x, direction, 0.7, p=p, side="inside")
    assert np.isnan(found[2]).all()
    assert not np.isnan(np.delete(found, 2, 0)).any()


def test_other_sides_are_refused():
    for call in (car.rescale, car.project, car.maximize):
        for side in ("outside", None, 1):
            with pytest.raises(ValueError, match=r"\bside\b.*nearest"):
                call([[0.5]], [[1.0]], 0.1, side=side)


@floats
@powers
def test_results_near_zero(dtype, p):
    """A last place of v is nothing to the norm where |v| is far smaller than |v - x|."""
    rng = np.random.default_rng(0)
    x, eps = np.ones((40, 2), dtype), 1 - 10.0 ** rng.uniform(-17, -5, 40)
    delta = -np.stack([np.ones(40), 10.0 ** rng.uniform(-12, -4, 40)], axis=1).astype(dtype)
    v = car.rescale(x, delta, eps, p=p, side="inside")
    check(x, delta, v, eps, p, lambda row: exact(eps[row]))


@pytest.mark.parametrize("size", [1e27, 1e40, 1e200])
def test_z_so_far_away_that_a_multiplier_has_no_digits_for_eps(size):
    x, z = np.full((1, 5), 0.25), size * np.array([[0.7, -0.15, 1.498, 0.327, 3.2]])
    y = car.project(x, z, 1.376, p=1, bounds=(None, 1), side="inside")
    assert is_within(x[0], y[0], 1.376, 1)
