"""The rescaled row: inside its bounds to the last bit, and as far from x as it was asked to be."""

import numpy as np
import pytest
from hypothesis import given

import numba_car as car
from tests.support.checks import METHODS, check_rescale
from tests.support.strategies import POWERS, family_arrays, rows


@given(row=rows())
@pytest.mark.parametrize("method", METHODS)
def test_moves_by_the_norm_and_stays_inside(row, method):
    check_rescale(row, method)


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("family", ["uniform", "pixels", "sign_steps", "cauchy", "on_a_bound"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_is_the_clipped_step_of_eta(p, family, dtype):
    x, delta = family_arrays(family, (5, 300), dtype)
    eps = 0.5 * car.max_norm(x, delta, p=p)
    eta = car.eta(x, delta, eps, p=p, keepdims=True)
    v = car.rescale(x, delta, eps, p=p)
    step = eta * delta
    expected = np.clip(x + step, 0, 1)
    # Eta may keep more digits inside than it is returned with.
    slack = 8 * np.finfo(dtype).eps * (1 + np.minimum(np.abs(step), 1))
    assert np.all(np.abs(v - expected) <= slack)


def test_x_beyond_a_bound_by_the_rounding_of_its_dtype():
    # float32(0.3) > 0.3 and float32(0.7) < 0.7: both are the bound, rounded.
    lower, upper = np.float64([0.7, 0.1, 0.1, 0.1]), np.float64([0.9, 0.3, 0.3, 0.3])
    x = np.array([0.7, 0.3, 0.2, 0.25], np.float32)
    delta = np.array([-1, 1, 1, -1], np.float32)
    for method in METHODS:
        v = car.rescale(x, delta, 0.05, bounds=(lower, upper), method=method)
        assert np.all(v >= lower.astype(np.float32))
        assert np.all(v <= upper.astype(np.float32))
        np.testing.assert_array_max_ulp(v[:2], x[:2], 1)
        np.testing.assert_allclose(v[2:] - x[2:], [0.05 / 2**0.5, -0.05 / 2**0.5], rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_saturated_row_ends_on_its_bounds(method):
    x, delta = family_arrays("sparse", (4, 100), np.float32)
    v = car.rescale(x, delta, 1e6, method=method)
    ends = np.where(delta > 0, 1, np.where(delta < 0, 0, x))
    # The largest breakpoint, rounded, may stop its element an ulp short.
    np.testing.assert_allclose(v, ends, rtol=0, atol=2 * np.finfo(np.float32).eps)


def test_projection_onto_ball_and_box():
    # For p = 2, clip(x + min(1, eta) (z - x)) is the nearest point to z in the ball and the box.
    rng = np.random.default_rng(3)
    x, z = rng.random((20, 30)), rng.normal(0.5, 1.0, (20, 30))
    eta = car.eta(x, z - x, 0.8, keepdims=True)
    y = np.clip(x + np.minimum(1, eta) * (z - x), 0, 1)
    assert np.all(np.linalg.norm(y - x, axis=1) <= 0.8 * (1 + 1e-14))
    for _ in range(50):
        other = np.clip(x + rng.normal(size=x.shape), 0, 1)
        other = x + (other - x) * np.minimum(1, 0.8 / np.linalg.norm(other - x, axis=1))[:, None]
        # The projection makes an obtuse angle with every other point of the convex set.
        assert np.all(np.sum((z - y) * (other - y), axis=1) <= 1e-12)
