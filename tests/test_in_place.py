"""`out` that is x, or delta, or shares memory with them, for every kind of row."""

import numpy as np
import pytest

import numba_car as car
from tests.support.strategies import family_arrays


def batch(scale):
    """Usual rows, one without directions, and rows of another magnitude."""
    rng = np.random.default_rng(0)
    x, delta = rng.random((6, 40)), rng.standard_normal((6, 40))
    delta[2] = 0
    delta[3:] *= scale
    return x, delta


@pytest.mark.parametrize("p", [0.3, 0.5, 1, 2, 3, np.inf])
@pytest.mark.parametrize("scale", [1, 1e-200, 1e200, 1e-310])
@pytest.mark.parametrize("eps", [0.2, 2.0, 1e6])
@pytest.mark.parametrize("which", ["x", "delta"])
def test_in_place(which, eps, scale, p):
    x, delta = batch(scale)
    expected = car.rescale(x, delta, eps, p=p)
    out = {"x": x, "delta": delta}[which]
    assert car.rescale(x, delta, eps, p=p, out=out) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("wrap", [np.asarray, memoryview])
def test_out_beside_x_in_the_same_memory(wrap):
    memory = np.random.default_rng(0).random(20)
    delta = np.random.default_rng(1).standard_normal(10)
    expected = car.rescale(memory[:10].copy(), delta, 0.3)
    car.rescale(wrap(memory)[:10], delta, 0.3, out=memory[2:12])
    np.testing.assert_array_equal(memory[2:12], expected)


def heavy_batch(dtype):
    """Rows of heavy tails, the last of them saturated."""
    x, delta = family_arrays("cauchy", (6, 45), dtype)
    return x, delta, (car.max_norm(x, delta) * np.linspace(0.1, 1.2, 6)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("name", ["x", "delta"])
def test_out_is_an_input(dtype, num_threads, name):
    x, delta, eps = heavy_batch(dtype)
    expected = car.rescale(x, delta, eps)
    arrays = {"x": x.copy(), "delta": delta.copy()}
    found = car.rescale(**arrays, eps=eps, out=arrays[name], num_threads=num_threads)
    assert found is arrays[name]
    np.testing.assert_array_equal(found, expected)


def test_out_overlaps_x_elsewhere():
    x, delta, eps = heavy_batch(np.float32)
    expected = car.rescale(x, delta, eps)
    memory = np.zeros((7, 45), np.float32)
    memory[:6] = x
    car.rescale(memory[:6], delta, eps, out=memory[1:])
    np.testing.assert_array_equal(memory[1:], expected)


def test_out_of_broadcast_x():
    x, delta, eps = heavy_batch(np.float32)
    out = np.zeros_like(delta)
    car.rescale(x[0], delta, eps, out=out)
    np.testing.assert_array_equal(out, car.rescale(np.tile(x[0], (6, 1)), delta, eps))
