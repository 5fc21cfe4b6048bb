"""What the tests of JAX, TensorFlow and PyTorch share: problems, and what to ask of them."""

import math

import numpy as np
import pytest

import numba_car as car

POWERS = (0.7, 1, 2, 3.5, math.inf)
CLOSE = {"rtol": 1e-10, "atol": 1e-12}

powers = pytest.mark.parametrize("p", POWERS)
shapes = pytest.mark.parametrize(
    ("x_shape", "delta_shape", "eps_shape", "options"),
    [
        ((2, 3, 4), (2, 3, 4), (2,), {}),
        ((2, 3, 4), (3, 4), (2, 1, 1), {"keepdims": True}),
        ((4,), (2, 3, 4), (3,), {"axis": -1}),
        ((2, 3, 4), (2, 1, 4), (4,), {"axis": [0, 1], "keepdims": True}),
        ((2, 3, 4), (2, 3, 4), (), {"axis": (), "bounds": (None, 1)}),
        ((4,), (4,), (), {}),
        ((0, 4), (4,), (), {}),
        ((2, 0), (2, 0), (2,), {}),
        ((2, 0), (2, 0), (2,), {"p": math.inf}),
    ],
)
# Of x, of delta, of the result, where the frameworks agree on it.
PROMOTED = [
    ("float16", "float16", "float16"),
    ("bfloat16", "bfloat16", "bfloat16"),
    ("float16", "bfloat16", "float32"),
    ("float32", "float16", "float32"),
    ("uint8", "float32", "float32"),
    ("int32", "bfloat16", "bfloat16"),
]


def problem(dtype=np.float64, shape=(3, 6)):
    """x, delta, eps and bounds; the last row is out of reach."""
    rng = np.random.default_rng(0)
    x = 0.1 + 0.8 * rng.random(shape)
    delta = rng.choice([-1, 1], shape) * (0.5 + rng.random(shape))
    lower, upper = -0.1 * rng.random(shape), 1 + rng.random(shape[1])
    return tuple(a.astype(dtype) for a in (x, delta, np.array([0.1, 0.5, 60]), lower, upper))


def out_of_reach(dtype):
    """Many rows of x, delta and eps, all of them saturated."""
    rng = np.random.default_rng(4)
    x, delta = rng.random((500, 5)), rng.standard_normal((500, 5))
    return tuple(array.astype(dtype) for array in (x, delta, np.full(500, 60)))


def second_derivative(p):
    """A problem, weights, tangents of x and delta, and how the gradient changes along these.

    The gradient by x and delta of (weights * v**3).sum(), by differences of the closed form.
    """
    x, delta, eps, *bounds = problem()
    rng = np.random.default_rng(3)
    tangents = [rng.standard_normal(x.shape) for _ in range(2)]
    weights = rng.standard_normal(x.shape)

    def gradient(step):
        moved, turned = x + step * tangents[0], delta + step * tangents[1]
        v = car.rescale(moved, turned, eps, p=p, bounds=bounds)
        found = car.rescale_vjp(moved, turned, eps, 3 * weights * v**2, p=p, bounds=bounds)
        return np.stack([found.x, found.delta])

    change = (gradient(1e-6) - gradient(-1e-6)) / 2e-6
    return (x, delta, eps, bounds), weights, tangents, change
