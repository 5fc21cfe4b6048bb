"""Which axes make a row, the shapes that come out, and the shapes that eps may have."""

import math

import numpy as np
import pytest

import numba_car as car
from tests.support.checks import METHODS
from tests.support.strategies import family_arrays

SHAPE = (3, 4, 5)
AXES = (None, 0, 1, 2, -1, -3, (1,), (1, 2), (2, 1), (0, 2), (-1, 0), (0, 1, 2), ())
axes = pytest.mark.parametrize("axis", AXES, ids=str)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def split(axis):
    """The axes over the rows, and the axes inside one row in the order of memory."""
    ndim = len(SHAPE)
    inside = range(1, ndim) if axis is None else np.atleast_1d(np.array(axis, int)) % ndim
    inside = sorted(int(one) for one in inside)
    return [one for one in range(ndim) if one not in inside], inside


def to_rows(array, axis):
    """A contiguous copy of shape (rows, n)."""
    over, inside = split(axis)
    n = math.prod(array.shape[one] for one in inside)
    return np.ascontiguousarray(array.transpose(over + inside)).reshape(-1, n)


def from_rows(rows, axis):
    over, inside = split(axis)
    moved = rows.reshape([SHAPE[one] for one in over + inside])
    return moved.transpose(np.argsort(over + inside))


def batch(axis, dtype):
    """x, delta, and an eps for each row in the shape that NumPy's reductions give."""
    x, delta = family_arrays("cauchy", SHAPE, dtype)
    rows_shape = tuple(SHAPE[one] for one in split(axis)[0])
    part = np.linspace(0.05, 1.2, math.prod(rows_shape))
    highest = car.max_norm(to_rows(x, axis), to_rows(delta, axis))
    return x, delta, (part * highest).astype(dtype).reshape(rows_shape)


@axes
@dtypes
@pytest.mark.parametrize("keepdims", [False, True])
def test_every_axis_is_as_if_moved_last(axis, dtype, keepdims):
    x, delta, eps = batch(axis, dtype)
    as_numpy = np.sum(x, axis=(1, 2) if axis is None else axis, keepdims=keepdims)
    plain = to_rows(x, axis), to_rows(delta, axis), eps.ravel()
    options = {"axis": axis, "keepdims": keepdims}
    found = [car.eta(x, delta, eps, **options), *car.solve(x, delta, eps, **options)]
    found.append(car.max_norm(x, delta, **options))
    expected = [car.eta(*plain), *car.solve(*plain), car.max_norm(*plain[:2])]
    for one, other in zip(found, expected, strict=True):
        assert np.shape(one) == as_numpy.shape
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(np.ravel(one), other)


@axes
@dtypes
def test_rescale_along_every_axis(axis, dtype):
    x, delta, eps = batch(axis, dtype)
    expected = from_rows(car.rescale(to_rows(x, axis), to_rows(delta, axis), eps.ravel()), axis)
    np.testing.assert_array_equal(car.rescale(x, delta, eps, axis=axis), expected, strict=True)
    out = np.zeros_like(x)
    assert car.rescale(x, delta, eps, axis=axis, out=out) is out
    np.testing.assert_array_equal(out, expected)
    kept = car.rescale(x, delta, eps, axis=axis, keepdims=True)
    np.testing.assert_array_equal(kept, expected, strict=True)


@axes
def test_eps_in_the_shape_of_keepdims(axis):
    x, delta, eps = batch(axis, np.float32)
    kept = np.expand_dims(eps, tuple(split(axis)[1]))
    expected = car.eta(x, delta, eps, axis=axis)
    np.testing.assert_array_equal(car.eta(x, delta, kept, axis=axis), expected, strict=True)
    moved = car.rescale(x, delta, kept, axis=axis)
    np.testing.assert_array_equal(moved, car.rescale(x, delta, eps, axis=axis))


@axes
@pytest.mark.parametrize("eps", [0.25, 1, np.float64(0.25), np.array(0.25)])
def test_eps_of_one_value(axis, eps):
    x, delta, many = batch(axis, np.float32)
    expected = car.eta(x, delta, np.full(many.shape, float(np.squeeze(eps))), axis=axis)
    np.testing.assert_array_equal(car.eta(x, delta, eps, axis=axis), expected)


def test_eps_broadcasts_over_two_axes_of_rows():
    x, delta = family_arrays("uniform", SHAPE, np.float64)
    for eps in (np.linspace(0.1, 0.4, 4), np.linspace(0.1, 0.4, 3)[:, None], np.array([0.25])):
        full = np.ascontiguousarray(np.broadcast_to(eps, (3, 4)))
        expected = car.eta(x, delta, full, axis=2)
        np.testing.assert_array_equal(car.eta(x, delta, eps, axis=2), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_row_gives_numpy_scalars(dtype):
    x, delta = family_arrays("uniform", (30,), dtype)
    solution = car.solve(x, delta, 0.5)
    found = [car.eta(x, delta, 0.5), car.max_norm(x, delta), *solution[:3]]
    assert all(isinstance(one, dtype) for one in found)
    assert isinstance(solution.saturated, np.bool_)
    assert isinstance(car.eta(x, delta, 0.5, axis=0), dtype)
    assert car.eta(x, delta, 0.5, keepdims=True).shape == (1,)
    assert car.rescale(x, delta, 0.5).shape == (30,)
    row = car.eta(x[None], delta[None], 0.5)
    assert row.shape == (1,)
    assert row[0] == found[0]


def test_saturated_is_an_array_of_bool():
    x, delta = family_arrays("uniform", (3, 7), np.float32)
    assert car.solve(x, delta, 0.5).saturated.dtype == bool


@dtypes
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("p", [0.5, 1, 2, 3, np.inf])
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0), (0, 2, 3), (2, 0, 3), (0,)], ids=str)
def test_nothing_to_do(shape, p, method, dtype):
    x = delta = np.zeros(shape, dtype)
    solution = car.solve(x, delta, 0.5, p=p, method=method)
    rows_shape = shape[:1] if len(shape) > 1 else ()
    for one in (*solution[:3], car.eta(x, delta, 0.5, p=p, method=method)):
        assert np.shape(one) == rows_shape
        assert one.dtype == dtype
        assert np.all(one == 0)
    assert np.all(car.max_norm(x, delta, p=p) == 0)
    assert np.all(solution.saturated)
    moved = car.rescale(x, delta, 0.5, p=p, method=method)
    assert moved.shape == shape
    assert moved.dtype == dtype
