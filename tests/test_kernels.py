"""The row-level functions, called from jitted code as a user would."""

import numpy as np
import pytest

import numba_car as car
from numba_car import kernels
from tests.support.kernels import etas, gradients, max_norms, rescaled

POWERS = (0.3, 0.5, 1.0, 2.0, 3.0, np.inf)


def batch(dtype):
    """Rows with an eps within reach, 0, and beyond; one row that cannot move; heavy tails."""
    rng = np.random.default_rng(0)
    x, delta = rng.random((6, 3000)).astype(dtype), rng.standard_normal((6, 3000)).astype(dtype)
    delta[3] = 0
    delta[4] = rng.standard_cauchy(3000)
    delta[5] *= dtype(1e-30)
    return x, delta


def eps_of(x, delta, p):
    return np.array([0.4, 0, 2, 1, 0.9, 0.5]) * np.maximum(car.max_norm(x, delta, p=p), 1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", POWERS)
def test_agrees_with_the_array_functions(p, dtype):
    x, delta = batch(dtype)
    eps = eps_of(x, delta, p)
    unit = np.finfo(dtype).eps
    close = {"rtol": 40 * unit if dtype == np.float64 else 2 * unit, "atol": unit}
    np.testing.assert_allclose(
        etas(x, delta, eps, p, 0.0, 1.0), car.eta(x, delta, eps, p=p), **close
    )
    np.testing.assert_allclose(
        rescaled(x, delta, eps, p, 0.0, 1.0), car.rescale(x, delta, eps, p=p), **close
    )
    np.testing.assert_allclose(
        max_norms(x, delta, p, 0.0, 1.0), car.max_norm(x, delta, p=p), **close
    )


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, np.inf])
def test_gradients_agree_with_the_array_functions(p):
    x, delta = batch(np.float64)
    eps, g = eps_of(x, delta, p), np.random.default_rng(1).standard_normal(x.shape)
    found = gradients(x, delta, eps, p, etas(x, delta, eps, p, 0.0, 1.0), g)
    expected = car.rescale_vjp(x, delta, eps, g, p=p)
    for value, exact in zip(found, expected, strict=False):
        np.testing.assert_allclose(value, exact, rtol=1e-11, atol=1e-12 * np.abs(exact).max())


def test_bounds_may_be_arrays():
    x, delta = batch(np.float64)
    lower, upper = np.zeros(3000), np.linspace(1, 2, 3000)
    eps = np.full(6, 3.0)
    expected = car.eta(x, delta, eps, bounds=(lower, upper))
    np.testing.assert_allclose(etas(x, delta, eps, 2.0, lower, upper), expected, rtol=1e-14)


def test_parallel_rows_of_a_caller():
    x, delta = batch(np.float64)
    found = etas(x, delta, np.full(6, 3.0), 2.0, 0.0, 1.0)  # a loop over `prange`
    np.testing.assert_allclose(found, car.eta(x, delta, 3.0), rtol=1e-14)


def test_extreme_sizes():
    x = np.full((2, 4), 0.5)
    delta = np.array([[1, 2, 3, 4], [1, 2, 3, 4]]) * np.array([[1e-200], [1e200]])
    eps = np.full(2, 0.25)
    expected = car.eta(x, delta, eps)
    np.testing.assert_allclose(etas(x, delta, eps, 2.0, 0.0, 1.0), expected, rtol=1e-14)
    assert np.linalg.norm(rescaled(x, delta, eps, 2.0, 0.0, 1.0) - x, axis=1) == pytest.approx(eps)


@pytest.mark.parametrize(
    ("place", "value"), [(0, np.nan), (0, np.inf), (0, 1.5), (1, np.nan), (1, -np.inf)]
)
def test_what_cannot_be_solved_is_nan(place, value):
    row = [np.full(4, 0.5), np.ones(4)]
    row[place][2] = value
    assert np.isnan(kernels.eta(*row, 0.1, 2.0, 0.0, 1.0))
    assert np.isnan(kernels.max_norm(*row, 2.0, 0.0, 1.0))
    out = np.zeros(4)
    kernels.rescale(*row, 0.1, 2.0, 0.0, 1.0, out)
    assert np.isnan(out).all()


@pytest.mark.parametrize(
    ("eps", "p"),
    [(-1.0, 2.0), (np.nan, 2.0), (np.inf, 2.0), (np.inf, np.inf), (1.0, 0.0), (1.0, -1.0)],
)
def test_bad_parameters_give_nan(eps, p):
    x, delta = np.full(4, 0.5), np.ones(4)
    out, by_x, by_delta = np.zeros((3, 4))
    assert np.isnan(kernels.eta(x, delta, eps, p, 0.0, 1.0))
    assert np.isnan(kernels.rescale(x, delta, eps, p, 0.0, 1.0, out))
    given = x, delta, eps, p, 0.0, 1.0, 0.5, 0.0, 1.0
    assert np.isnan(kernels.backward(*given, by_x, by_delta))
    assert np.isnan([out, by_x, by_delta]).all()


def test_arrays_of_different_lengths_give_nan():
    x, delta = np.full(4, 0.5), np.ones(4)
    assert np.isnan(kernels.eta(x, delta[:3], 0.1, 2.0, 0.0, 1.0))
    assert np.isnan(etas(x[None], delta[None], np.full(1, 0.1), 2.0, np.zeros(4), np.ones(3)))
    assert np.isnan(kernels.max_norm(x, delta[:3], 2.0, 0.0, 1.0))
    assert np.isnan(kernels.rescale(x, delta, 0.1, 2.0, 0.0, 1.0, np.zeros(3)))


@pytest.mark.parametrize("p", [1e-310, 1e-100, 1e-9, 1e18, 1e300])
def test_one_element_under_any_p(p):
    row = np.array([0.5]), np.array([2.0])
    assert kernels.eta(*row, 0.25, p, 0.0, 1.0) == pytest.approx(0.125, rel=1e-15)
    assert kernels.max_norm(*row, p, 0.0, 1.0) == pytest.approx(0.5, rel=1e-15)
    for method in ("newton", "sort"):
        assert car.eta(*row, 0.25, p=p, method=method) == pytest.approx(0.125, rel=1e-15)
    assert car.max_norm(*row, p=p) == pytest.approx(0.5, rel=1e-15)
