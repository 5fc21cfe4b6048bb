"""The dtype of the answer is NumPy's promotion of x and delta; half precisions work in float32."""

import ml_dtypes
import numpy as np
import pytest

import numba_car as car
from tests.support.strategies import family_arrays

bfloat16 = ml_dtypes.bfloat16
P = pytest.mark.parametrize("p", [1, 2, 3, np.inf])
functions = pytest.mark.parametrize("function", [car.eta, car.rescale])


def pixels(shape=(4, 60)):
    """Values of 0 to 255 and small whole steps, which every dtype here holds exactly."""
    rng = np.random.default_rng(8)
    return rng.integers(0, 256, shape), rng.integers(0, 17, shape)


@functions
@P
@pytest.mark.parametrize(
    ("x_dtype", "delta_dtype", "expected"),
    [
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float64, np.float32, np.float64),
        (np.float16, np.float32, np.float32),
        (np.float16, np.float64, np.float64),
        (bfloat16, np.float32, np.float32),
        (np.float64, bfloat16, np.float64),
        (np.uint8, np.float32, np.float32),
        (np.int16, np.float32, np.float32),
        (np.int32, np.float32, np.float64),
        (np.float32, np.int8, np.float32),
        (np.int64, np.float64, np.float64),
    ],
)
def test_promotion(function, x_dtype, delta_dtype, expected, p):
    values, steps = pixels()
    x, delta = values.astype(x_dtype), steps.astype(delta_dtype)
    found = function(x, delta, 40.0, p=p, bounds=(0, 255))
    assert found.dtype == expected
    same = function(x.astype(expected), delta.astype(expected), 40.0, p=p, bounds=(0, 255))
    np.testing.assert_array_equal(found, same)


@functions
@P
@pytest.mark.parametrize(
    ("x_dtype", "delta_dtype"),
    [(np.float16, np.float16), (bfloat16, bfloat16), (np.uint8, np.float16), (bfloat16, np.uint8)],
)
def test_half_precision_is_computed_in_single(function, x_dtype, delta_dtype, p):
    values, steps = pixels()
    x, delta = values.astype(x_dtype), steps.astype(delta_dtype)
    found = function(x, delta, 40.0, p=p, bounds=(0, 255))
    half = np.result_type(x, delta)
    assert half.itemsize == 2
    assert found.dtype == half
    single = function(x.astype(np.float32), delta.astype(np.float32), 40.0, p=p, bounds=(0, 255))
    np.testing.assert_array_equal(found, single.astype(half))


@pytest.mark.parametrize("dtype", [np.float16, bfloat16])
def test_half_precision_of_solve_and_max_norm(dtype):
    x, delta = (values.astype(dtype) for values in family_arrays("uniform", (4, 60), np.float32))
    solution = car.solve(x, delta, 0.5)
    single = car.solve(x.astype(np.float32), delta.astype(np.float32), 0.5)
    for name in ("eta", "norm", "max_norm"):
        field = getattr(solution, name)
        assert field.dtype == dtype
        np.testing.assert_array_equal(field, getattr(single, name).astype(dtype))
    assert solution.saturated.dtype == bool
    assert car.max_norm(x, delta).dtype == dtype
    assert car.eta(x[0], delta[0], 0.5).dtype == dtype


@pytest.mark.parametrize("dtype", [np.float16, bfloat16])
def test_half_precision_stays_inside_the_bounds(dtype):
    x, delta = (values.astype(dtype) for values in family_arrays("cauchy", (8, 200), np.float32))
    lower, upper = np.minimum(x, dtype(0.1)), np.maximum(x, dtype(0.7))
    for eps in (0.1, 1.0, 3.0, 100.0):
        v = car.rescale(x, delta, eps, bounds=(lower, upper))
        assert v.dtype == dtype
        assert np.all((lower <= v) & (v <= upper))


def test_eps_and_bounds_do_not_promote():
    x, delta = family_arrays("uniform", (4, 60), np.float32)
    expected = car.eta(x, delta, 0.5)
    bounds = np.zeros((4, 60), np.float64), np.ones(60, np.float64)
    for eps in (np.full(4, 0.5, np.float64), np.full(4, 0.5, np.float16), np.float64(0.5)):
        np.testing.assert_array_equal(car.eta(x, delta, eps, bounds=bounds), expected, strict=True)
    assert car.rescale(x, delta, np.full(4, 0.5), bounds=bounds).dtype == np.float32


@pytest.mark.parametrize("eps", [2, np.uint8(2), np.array([2, 2, 2, 2])])
def test_whole_eps(eps):
    x, delta = family_arrays("uniform", (4, 60), np.float32)
    np.testing.assert_array_equal(car.eta(x, delta, eps), car.eta(x, delta, 2.0))


@functions
def test_lists(function):
    x, delta = family_arrays("uniform", (4, 6), np.float64)
    eps = np.array([0.1, 0.2, 0.3, 5.0])
    found = function(x.tolist(), delta.tolist(), eps.tolist(), bounds=([0.0] * 6, [1.0] * 6))
    np.testing.assert_array_equal(found, function(x, delta, eps), strict=True)


def test_nested_tuples():
    assert car.eta(((0.5, 0.5), (0.5, 0.5)), ((1.0, 0.0), (0.0, -2.0)), 0.25).tolist() == [
        0.25,
        0.125,
    ]


def test_python_numbers_follow_the_array():
    x, delta = family_arrays("uniform", (4, 6), np.float32)
    # A whole number or a float beside a float32 array is a float32, as in NumPy.
    for found in (car.rescale(x, 1, 0.25), car.rescale(x, 1.0, 0.25)):
        expected = car.rescale(x, np.ones_like(x), 0.25)
        np.testing.assert_array_equal(found, expected, strict=True)
    found = car.eta(0.5, delta, 0.25)
    np.testing.assert_array_equal(
        found, car.eta(np.full_like(delta, 0.5), delta, 0.25), strict=True
    )


@P
def test_float32_differs_from_float64_by_rounding_alone(p):
    x, delta = family_arrays("uniform", (4, 600), np.float32)
    eps = 0.4 * car.max_norm(x, delta, p=p)
    double = car.eta(x.astype(float), delta.astype(float), eps, p=p)
    np.testing.assert_allclose(car.eta(x, delta, eps, p=p), double, rtol=5e-7)
