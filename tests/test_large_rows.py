"""A million elements: what a running sum in the dtype would lose is counted exactly."""

import numpy as np
import oracle
import pytest

import numba_car as car

N = 10**6
GRID = 2**50
"""x and delta are whole numbers of 1/GRID, so that Python's integers hold them exactly."""


def million(dtype):
    rng = np.random.default_rng(11)
    return [
        (np.rint(values * GRID) / GRID).astype(dtype)
        for values in (rng.random(N), rng.normal(size=N))
    ]


def whole(x, delta):
    """Room between the bounds 0 and 1, and |delta|, as whole numbers of 1/GRID."""
    x, delta = ((values.astype(np.float64) * GRID).astype(np.int64) for values in (x, delta))
    room = np.where(delta > 0, GRID - x, x) * (delta != 0)
    return room.astype(object), np.abs(delta).astype(object)


@pytest.mark.parametrize(("method", "p"), [("auto", 1), ("auto", 2), ("auto", 3), ("sort", 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_eta_of_a_million_elements(dtype, method, p):
    x, delta = million(dtype)
    eps = float(dtype(0.6 * float(car.max_norm(x, delta, p=p))))
    eta = car.eta(x, delta, eps, p=p, method=method)
    room, speed = whole(x, delta)
    over, under = oracle.exact(eta).as_integer_ratio()
    steps = np.minimum(speed * over, room * under)
    reached = oracle.norm(steps.tolist(), p, GRID * under)
    assert oracle.error_in_ulps(reached, eps, dtype) <= 8


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_max_norm_of_a_million_elements(dtype, p):
    x, delta = million(dtype)
    room, _ = whole(x, delta)
    found = float(car.max_norm(x, delta, p=p))
    assert oracle.error_in_ulps(found, oracle.norm(room.tolist(), p, GRID), dtype) <= 8
