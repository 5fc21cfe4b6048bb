"""`project` and `maximize`: layouts, broadcasting, axes, `out`, threads, empty batches and bad rows change no other bit."""

import math

import ml_dtypes
import numpy as np
import pytest

import numba_car as car
from tests.support.steps import batch, calls, floats, second, step
from tests.test_layouts import layouts, strided

SIDES = ("nearest", "inside")


@calls
@layouts
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_layouts(name, p, layout, dtype):
    x, direction = batch(dtype=dtype)
    other = second(name, x, direction)
    for side in SIDES:
        expected = getattr(car, name)(x, other, 0.7, p=p, side=side)
        for given in ((layout(x), layout(other)), (layout(x), other), (x, layout(other))):
            found = getattr(car, name)(*given, 0.7, p=p, side=side)
            np.testing.assert_array_equal(found, expected, strict=True)


@calls
def test_layout_of_eps_and_bounds(name, p):
    x, direction = batch()
    bounds, eps = (x - 0.25, x + 0.5), np.linspace(0.1, 2, 5)
    expected = step(name, x, direction, eps, p=p, bounds=bounds)
    given = tuple(strided(bound) for bound in bounds)
    found = step(name, x, direction, strided(eps[None])[0], p=p, bounds=given)
    np.testing.assert_array_equal(found, expected)
    for row in range(5):
        of_row = tuple(bound[row] for bound in bounds)
        alone = step(name, x[row], direction[row], eps[row], p=p, bounds=of_row)
        assert alone.tobytes() == expected[row].tobytes()


@calls
def test_axes(name, p):
    x, direction = batch((4, 30))
    expected = step(name, x, direction, 0.7, p=p)
    for axis, transpose in ((0, (1, 0)), (-1, (0, 1))):
        there = x.transpose(transpose), direction.transpose(transpose)
        found = step(name, *there, 0.7, p=p, axis=axis)
        np.testing.assert_array_equal(found.transpose(transpose), expected)
    cube = x.reshape(4, 5, 6), direction.reshape(4, 5, 6)
    np.testing.assert_array_equal(step(name, *cube, 0.7, p=p).reshape(4, 30), expected)
    moved = (np.moveaxis(values, 0, 1) for values in cube)
    found = step(name, *moved, 0.7, p=p, axis=(0, 2))
    np.testing.assert_array_equal(np.moveaxis(found, 1, 0).reshape(4, 30), expected)
    alone = step(name, x[0], direction[0], 0.7, p=p)
    np.testing.assert_array_equal(alone, expected[0])


@calls
def test_broadcasting(name, p):
    x, direction = batch((4, 30))
    other = second(name, x, direction)
    call = lambda *given, **options: getattr(car, name)(*given, p=p, **options)
    whole = np.broadcast_to(other[:1], x.shape)
    np.testing.assert_array_equal(call(x, other[0], 0.7), call(x, whole.copy(), 0.7))
    whole = np.broadcast_to(x[:1], x.shape)
    np.testing.assert_array_equal(call(x[0], other, 0.7), call(whole.copy(), other, 0.7))
    np.testing.assert_array_equal(call(x, 0.5, 0.7), call(x, np.full_like(x, 0.5), 0.7))
    upper = np.linspace(1, 2, 30)
    found = call(x, other, 0.7, bounds=(np.zeros((4, 1)), upper))
    bounds = np.zeros_like(x), np.broadcast_to(upper, x.shape).copy()
    np.testing.assert_array_equal(found, call(x, other, 0.7, bounds=bounds))


@calls
@pytest.mark.parametrize("which", ["x", "second", "new"])
@pytest.mark.parametrize("side", SIDES)
def test_out(name, p, which, side):
    for dtype in (np.float16, np.float64):
        x, direction = batch(dtype=dtype)
        other = second(name, x, direction)
        expected = getattr(car, name)(x, other, 0.7, p=p, side=side)
        out = {"x": x, "second": other, "new": np.asfortranarray(np.empty_like(x))}[which]
        assert getattr(car, name)(x, other, 0.7, p=p, side=side, out=out) is out
        np.testing.assert_array_equal(out, expected)


@calls
def test_out_beside_x_in_the_same_memory(name, p):
    memory, direction = np.random.default_rng(0).random(20), batch((10,))[1]
    x = memory[:10].copy()
    expected = step(name, x, direction, 0.3, p=p)
    other = second(name, x, direction)
    getattr(car, name)(memory[:10], other, 0.3, p=p, out=memory[2:12])
    np.testing.assert_array_equal(memory[2:12], expected)


@calls
@pytest.mark.parametrize("n", [3, 70, 5000])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bad_rows_spoil_no_other(name, p, n, value):
    x, direction = batch((5, n), np.float32)
    other = second(name, x, direction)
    clean = getattr(car, name)(x, other, 0.7, p=p)
    for place in (0, n - 1):
        for bad in range(2):
            given = [x.copy(), other.copy()]
            given[bad][2, place] = value
            found = getattr(car, name)(*given, 0.7, p=p)
            assert np.isnan(found[2]).all()
            assert np.delete(found, 2, 0).tobytes() == np.delete(clean, 2, 0).tobytes()
            assert np.isnan(getattr(car, name)(given[0][2], given[1][2], 0.7, p=p)).all()
            assert np.isnan(getattr(car, name)(*given, 0.0, p=p)[2]).all()


@calls
@pytest.mark.parametrize("shape", [(3, 5), (200, 700), (2, 40_000), (3000, 4), (1, 300_000)])
def test_threads_and_neighbours_change_no_bit(name, p, shape):
    x, direction = batch(shape, np.float32)
    expected = step(name, x, direction, 0.7, p=p, num_threads=1)
    for threads in (2, 3):
        found = step(name, x, direction, 0.7, p=p, num_threads=threads)
        np.testing.assert_array_equal(found, expected)
    for row in (0, len(x) // 2, len(x) - 1):
        assert step(name, x[row], direction[row], 0.7, p=p).tobytes() == expected[row].tobytes()


@calls
@floats
def test_empty_and_single(name, p, dtype):
    for shape in ((0, 4), (3, 0), (0,), (0, 0)):
        found = step(name, np.zeros(shape, dtype), np.ones(shape, dtype), 0.5, p=p)
        assert found.shape == shape
        assert found.dtype == dtype
    found = getattr(car, name)(dtype.type(0.5), dtype.type(1), 0.25, p=p)
    assert np.ndim(found) == 0
    assert found.dtype == dtype
    assert found == 0.75
    assert step(name, 0.5, 0.0, 0.25, p=p) == 0.5
    found = step(name, np.array([0.5, 0.25]), np.ones(2), 0.25, p=p, axis=())
    np.testing.assert_array_equal(found, [0.75, 0.5])


@calls
def test_halves_are_float32_rounded(name, p):
    for dtype in (np.float16, ml_dtypes.bfloat16):
        x, direction = batch(dtype=dtype)
        other = second(name, x, direction)
        wide = getattr(car, name)(x.astype(np.float32), other.astype(np.float32), 0.75, p=p)
        found = getattr(car, name)(x, other, 0.75, p=p)
        np.testing.assert_array_equal(found, wide.astype(dtype))


@calls
def test_integers_are_floats(name, p):
    x, other = np.array([[3, 200, 17]], np.uint8), np.array([[250, -9, 17]], np.int16)
    found = getattr(car, name)(x, other, 30.5, p=p, bounds=(0, 255))
    wide = getattr(car, name)(x.astype(float), other.astype(float), 30.5, p=p, bounds=(0, 255))
    np.testing.assert_array_equal(found, wide, strict=True)


@calls
def test_inputs_stay_as_they_were(name, p):
    x, direction = batch()
    given = [x, second(name, x, direction), np.full(5, 0.7), x - 0.5, x + 0.5]
    before = [values.copy() for values in given]
    getattr(car, name)(*given[:3], p=p, bounds=tuple(given[3:]), side="inside")
    for values, kept in zip(given, before, strict=True):
        np.testing.assert_array_equal(values, kept)


@calls
def test_no_bounds(name, p):
    x, direction = batch()
    wide = step(name, x, direction, 0.7, p=p, bounds=(-math.inf, math.inf))
    np.testing.assert_array_equal(step(name, x, direction, 0.7, p=p, bounds=(None, None)), wide)
