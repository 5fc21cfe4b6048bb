"""`out` that is x, or delta, or shares memory with them, for every kind of row."""

import numpy as np
import pytest

import numba_car as car


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
