"""A million elements: what a running sum in the dtype would lose is counted exactly."""

import math

import numpy as np
import pytest

import numba_car as car
from tests.support import oracle

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


@pytest.mark.parametrize("level", [0.3, 0.9999, 1.5])
@pytest.mark.parametrize("p", [1, 2, 3.5])
@pytest.mark.parametrize("kind", ["normal", "pixels", "equal", "unbounded", "two"])
def test_long_rows_sort_in_pieces(kind, p, level):
    """More elements than are sorted at once; equal breakpoints cannot be told apart."""
    rng = np.random.default_rng(12)
    x, delta, bounds = rng.random(100_000), rng.standard_normal(100_000), (0.0, 1.0)
    if kind == "pixels":
        x, delta = np.rint(x * 4) / 4, np.rint(delta * 2) / 2
    if kind in ("equal", "two"):
        x, delta = np.full_like(x, 0.5), np.ones_like(x)
        delta[::2] = 1 if kind == "equal" else 3
    if kind == "unbounded":
        bounds = (None, 2.0)
    eps = level * float(car.max_norm(x, delta, p=p, bounds=bounds))
    eps = eps if eps < np.inf else level * 100.0
    norms = [
        float(np.linalg.norm((car.rescale(x, delta, eps, p=p, bounds=bounds, method=m) - x), p))
        for m in ("newton", "sort")
    ]
    expected = min(eps, float(car.max_norm(x, delta, p=p, bounds=bounds)))
    np.testing.assert_allclose(norms, expected, rtol=1e-12)
    etas = [car.eta(x, delta, eps, p=p, bounds=bounds, method=m) for m in ("newton", "sort")]
    assert etas[0] == pytest.approx(etas[1], rel=1e-9)


def test_more_than_2_to_the_31_elements(tmp_path):
    """A file of nothing but zeros takes no room on disk; its last row differs."""
    shape = (2**21 + 3, 1024)
    x = np.memmap(tmp_path / "x", np.uint8, "w+", shape=shape)
    delta = np.broadcast_to(np.float32(1), shape)
    x[-1] = 251
    eta = car.eta(x, delta, 3.0, p=np.inf, bounds=(0, 255))
    assert eta.shape == shape[:1]
    assert (eta == 3).all()
    norms = car.max_norm(x, delta, p=np.inf, bounds=(0, 255))
    assert (norms[:-1] == 255).all()
    assert norms[-1] == 4


@pytest.mark.large
@pytest.mark.parametrize("method", ["newton", "sort"])
def test_one_row_of_more_than_2_to_the_31_elements(tmp_path, method):
    n = 2**31 + 8
    x, delta = (np.memmap(tmp_path / name, np.float32, "w+", shape=(1, n)) for name in "xd")
    delta[0, [0, 2**31, n - 1]] = 1, 2, 2
    x[0, n - 1] = 0.75
    eta = car.eta(x, delta, 1.0, method=method)  # (eta, 2 eta, 0.25)
    assert eta == np.float32(math.sqrt((1 - 0.25**2) / 5))
