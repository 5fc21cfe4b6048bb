"""x against delta, and bounds against x: as if every array had been written out in full."""

import numpy as np
import pytest

import numba_car as car
from tests.support.checks import METHODS
from tests.support.strategies import family_arrays

N, C, H, W = SHAPE = (3, 2, 4, 5)
functions = pytest.mark.parametrize("function", [car.eta, car.rescale, car.solve])


def same(found, expected):
    if isinstance(expected, tuple):
        return all(same(one, other) for one, other in zip(found, expected, strict=True))
    return found.dtype == expected.dtype and np.array_equal(found, expected)


def written_out(array, shape=SHAPE):
    return np.ascontiguousarray(np.broadcast_to(array, shape))


@functions
@pytest.mark.parametrize(
    "shape", [(C, H, W), (1, C, H, W), (N, C, 1, 1), (N, 1, 1, 1), (W,), (1,), ()], ids=str
)
@pytest.mark.parametrize("method", METHODS)
def test_x_and_delta(function, shape, method):
    x, delta = family_arrays("cauchy", SHAPE, np.float32)
    small_x, small_delta = family_arrays("uniform", shape, np.float32, seed=1)
    eps = np.float32([0.1, 0.5, 2.0])
    found = function(small_x, delta, eps, method=method)
    assert same(found, function(written_out(small_x), delta, eps, method=method))
    found = function(x, small_delta, eps, method=method)
    assert same(found, function(x, written_out(small_delta), eps, method=method))


@functions
def test_x_and_delta_both_ways(function):
    x, _ = family_arrays("uniform", (4, 1), np.float64)
    _, delta = family_arrays("uniform", (1, 6), np.float64)
    found = function(x, delta, 0.25)
    assert same(found, function(written_out(x, (4, 6)), written_out(delta, (4, 6)), 0.25))


def test_rescaled_has_the_broadcast_shape():
    x, delta = family_arrays("uniform", (7,), np.float32)
    assert car.rescale(x, np.stack([delta] * 3), 0.25).shape == (3, 7)
    assert car.rescale(np.stack([x] * 3), delta, 0.25).shape == (3, 7)


def bounds_of_shape(shape):
    rng = np.random.default_rng(4)
    return -rng.random(shape), 1 + rng.random(shape)


@functions
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape",
    [(), (1,), (C, 1, 1), (1, C, 1, 1), (N, 1, 1, 1), (N, C, 1, 1), (H, W), SHAPE],
    ids=["0-d", "one", "channel", "channel of 4", "row", "row and channel", "pixel", "element"],
)
def test_bounds(function, shape, dtype):
    x, delta = family_arrays("cauchy", SHAPE, dtype)
    lower, upper = (np.asarray(bound, dtype) for bound in bounds_of_shape(shape))
    eps = np.array([0.1, 2.0, 50.0], dtype)
    expected = function(x, delta, eps, bounds=(written_out(lower), written_out(upper)))
    assert same(function(x, delta, eps, bounds=(lower, upper)), expected)
    assert same(function(x, delta, eps, bounds=(lower, written_out(upper))), expected)
    assert same(function(x, delta, eps, bounds=[lower.tolist(), upper.tolist()]), expected)


@pytest.mark.parametrize("shape", [(C, 1, 1), SHAPE])
def test_bounds_of_max_norm(shape):
    x, delta = family_arrays("cauchy", SHAPE, np.float32)
    lower, upper = bounds_of_shape(shape)
    found = car.max_norm(x, delta, bounds=(lower, upper))
    room = np.where(delta > 0, upper - x.astype(float), x - lower)
    np.testing.assert_allclose(found, np.sqrt(np.sum(room**2, axis=(1, 2, 3))), rtol=2e-7)
    assert found.dtype == np.float32


@functions
@pytest.mark.parametrize("p", [1, 2, 3, np.inf])
def test_no_bound(function, p):
    x, delta = family_arrays("uniform", SHAPE, np.float64)
    for none, infinite in (
        ((None, None), (-np.inf, np.inf)),
        ((0.0, None), (0.0, np.inf)),
        ((None, 1.0), (-np.inf, 1.0)),
        ((0.0, None), (0.0, np.full(SHAPE, np.inf))),
        ((None, 1.0), (np.full((C, 1, 1), -np.inf), 1.0)),
    ):
        expected = function(x, delta, 0.5, p=p, bounds=none)
        assert same(function(x, delta, 0.5, p=p, bounds=infinite), expected)


def test_no_bound_is_the_plain_norm():
    x, delta = family_arrays("uniform", (4, 50), np.float64)
    found = car.eta(x, delta, 100.0, bounds=(None, None))
    np.testing.assert_allclose(found, 100 / np.linalg.norm(delta, axis=1), rtol=2e-15)
    assert np.all(np.isinf(car.max_norm(x, delta, bounds=(None, None))))
    assert not car.solve(x, delta, 1e300, bounds=(None, None)).saturated.any()


@functions
def test_integer_bounds(function):
    x, delta = family_arrays("uniform", SHAPE, np.float32)
    expected = function(x, delta, 0.5, bounds=(0.0, 2.0))
    assert same(function(x, delta, 0.5, bounds=(0, 2)), expected)
    assert same(function(x, delta, 0.5, bounds=(np.uint8(0), np.full(SHAPE, 2))), expected)


@functions
def test_equal_bounds_hold_x_still(function):
    x, delta = family_arrays("uniform", (2, 5), np.float64)
    found = function(x, delta, 0.5, bounds=(x, x))
    if function is car.rescale:
        np.testing.assert_array_equal(found, x)
    else:
        assert np.all(np.asarray(found[0] if function is car.solve else found) == 0)
