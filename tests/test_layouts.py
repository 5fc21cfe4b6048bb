"""The place of a number in memory changes no bit of an answer."""

import numpy as np
import pytest

import numba_car as car
from tests.support.strategies import family_arrays


def strided(array):
    wide = np.full((*array.shape[:-1], 3 * array.shape[-1]), np.nan, array.dtype)
    wide[..., 1::3] = array
    return wide[..., 1::3]


def padded(array):
    wide = np.full((array.shape[0] + 2, array.shape[1] + 5), np.nan, array.dtype)
    wide[1:-1, 2:-3] = array
    return wide[1:-1, 2:-3]


def reversed_rows(array):
    return array[::-1].copy()[::-1]


def reversed_elements(array):
    return array[:, ::-1].copy()[:, ::-1]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def byte_swapped(array):
    return array.astype(array.dtype.newbyteorder())


def unaligned(array):
    memory = np.empty(array.nbytes + 1, np.uint8)[1:]
    memory[:] = np.frombuffer(array.tobytes(), np.uint8)
    return memory.view(array.dtype).reshape(array.shape)


LAYOUTS = (
    np.asfortranarray,
    strided,
    padded,
    reversed_rows,
    reversed_elements,
    read_only,
    byte_swapped,
    unaligned,
)
layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
dtypes = pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])


def batch(dtype, shape=(6, 45)):
    x, delta = family_arrays("cauchy", shape, dtype)
    eps = (car.max_norm(x, delta) * np.linspace(0.1, 1.2, shape[0])).astype(dtype)
    return x, delta, eps


def answers(x, delta, eps, **options):
    """What every function returns."""
    return [
        car.eta(x, delta, eps, **options),
        car.rescale(x, delta, eps, **options),
        *car.solve(x, delta, eps, **options),
        car.max_norm(x, delta, **options),
    ]


def check_same_answers(found, expected):
    """The same bits, in the machine's own byte order."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
        assert one.dtype.isnative


@layouts
@dtypes
def test_layout_of_x_and_delta(layout, dtype):
    x, delta, eps = batch(dtype)
    expected = answers(x, delta, eps)
    there_x, there_delta = layout(x), layout(delta)
    check_same_answers(answers(there_x, there_delta, eps), expected)
    check_same_answers(answers(there_x, delta, eps), expected)
    check_same_answers(answers(x, there_delta, eps), expected)
    np.testing.assert_array_equal(there_x, x)
    np.testing.assert_array_equal(there_delta, delta)


@layouts
def test_layout_of_what_is_sorted(layout):
    x, delta, eps = batch(np.float32)
    found = car.eta(layout(x), layout(delta), eps, method="sort")
    np.testing.assert_array_equal(found, car.eta(x, delta, eps, method="sort"))


@layouts
def test_layout_of_eps_and_bounds(layout):
    x, delta, eps = batch(np.float64)
    lower, upper = x - 0.25, x + 0.5
    eps = 0.5 * eps[:, None]
    expected = car.solve(x, delta, eps, bounds=(lower, upper), keepdims=True)
    bounds = layout(lower), layout(upper)
    found = car.solve(x, delta, layout(eps), bounds=bounds, keepdims=True)
    check_same_answers(found, expected)


def test_zero_strides():
    x, delta, eps = batch(np.float32)
    x, delta = np.broadcast_to(x[:1], x.shape), np.broadcast_to(delta[:, :1], delta.shape)
    expected = answers(x.copy(), delta.copy(), eps)
    check_same_answers(answers(x, delta, eps), expected)


def test_inputs_stay_as_they_were():
    x, delta, eps = batch(np.float32)
    lower, upper = np.zeros_like(x), np.ones_like(x)
    before = [array.copy() for array in (x, delta, eps, lower, upper)]
    car.rescale(x, delta, eps, bounds=(lower, upper))
    car.solve(x, delta, eps, bounds=(lower, upper))
    for array, kept in zip((x, delta, eps, lower, upper), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@dtypes
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, strided, padded])
def test_out(layout, dtype):
    x, delta, eps = batch(dtype)
    expected = car.rescale(x, delta, eps)
    out = layout(np.zeros_like(x))
    assert car.rescale(x, delta, eps, out=out) is out
    np.testing.assert_array_equal(out, expected)
