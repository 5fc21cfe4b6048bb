"""Rows for which float64 has too few digits, on CUDA, against the oracle; see test_cuda_simulator.py."""

import math

import numpy as np
import pytest

import numba_car as car
from tests.cuda_cases import check, cuda, on_device, rows_of, to_host
from tests.support import oracle
from tests.support.oracle import Row


@pytest.mark.parametrize("p", [0.05, 0.3, 0.59])
def test_small_p_in_float64(p):
    rows = list(rows_of(np.float64, p, (0.3, 0.95, 1.5), n=13))
    given = on_device(rows)
    for row, eta in zip(rows, to_host(car.eta(*given, p=p)), strict=True):
        check(row, eta)
    found = car.solve(*given, p=p)
    for row, norm, reach in zip(rows, to_host(found.norm), to_host(found.max_norm), strict=True):
        assert oracle.error_in_ulps(float(reach), oracle.max_norm(row), np.float64) <= 1
        if oracle.is_normal(oracle.eta(row), np.float64):
            assert oracle.error_in_ulps(float(norm), oracle.target(row), np.float64) <= 5


def rows_of_tiny_delta(p):
    """Rows whose eta float64 does not hold, and one whose eta it holds."""
    rng = np.random.default_rng(3)
    x = rng.random((3, 7))
    delta = rng.standard_normal((3, 7)) * np.array([[5e-310], [1e-320], [1.0]])
    reach = [float(oracle.max_norm(Row(x[r], delta[r], 0.0, p))) for r in range(3)]
    return x, delta, np.array(reach) * [0.4, 0.7, 0.5]


@pytest.mark.parametrize("p", [0.3, 1.0, 2.0, 4.7, math.inf])
def test_delta_so_small_that_eta_overflows(p):
    x, delta, eps = rows_of_tiny_delta(p)
    given = *map(cuda.to_device, (x, delta)), cuda.to_device(eps)
    moved = to_host(car.rescale(*given, p=p))
    expected = car.rescale(x, delta, eps, p=p)
    np.testing.assert_allclose(moved, expected, rtol=4e-16, atol=2e-16)
    in_place = given[1]
    car.rescale(*given, p=p, out=in_place)
    assert to_host(in_place).tobytes() == moved.tobytes()
    eta = to_host(car.eta(given[0], cuda.to_device(delta), given[2], p=p))
    assert (eta[:2] > 1e300).all()
    check(Row(x[2], delta[2], eps[2], p), eta[2])


def test_delta_so_large_that_eta_is_subnormal():
    x, delta = np.zeros((1, 3)), np.array([[1e308, -5e307, 0.0]])
    given = cuda.to_device(x), cuda.to_device(delta), 1e-2
    moved = to_host(car.rescale(*given, bounds=(-1, 1)))
    np.testing.assert_allclose(moved, car.rescale(x, delta, 1e-2, bounds=(-1, 1)), rtol=4e-16)
