"""What the tests of `project` and `maximize` share: calls, small batches, and every function by its name."""

import math

import ml_dtypes
import numpy as np
import pytest

import numba_car as car

CALLS = [(name, p) for name in ("project", "maximize") for p in (1, 2, math.inf)]
CALLS.append(("maximize", 3))
calls = pytest.mark.parametrize(("name", "p"), CALLS)

FLOATS = [np.dtype(t) for t in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)]
floats = pytest.mark.parametrize("dtype", FLOATS, ids=str)

THIRD = {"project": "z", "maximize": "g"}
"""What each function calls its second argument."""


def batch(shape=(5, 40), dtype=np.float64, seed=0):
    """x in the middle and at the ends of [0, 1], and directions with ties and zeros."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 17, shape) / 16
    direction = np.round(8 * rng.standard_normal(shape)) / 8
    return x.astype(dtype), direction.astype(dtype)


def second(name, x, direction):
    """z or g of a call, for a direction."""
    return x + direction if name == "project" else direction


def step(name, x, direction, eps, **options):
    """The result of the function of that name along a direction."""
    return getattr(car, name)(x, second(name, x, direction), eps, **options)
