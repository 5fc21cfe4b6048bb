"""Few long rows, which several blocks share, on CUDA; see test_cuda_simulator.py and cuda_cases.py."""

import math
from dataclasses import replace

import numpy as np
import pytest

import numba_car as car
from numba_car._cuda import launch, solver
from tests.cuda_cases import check, cuda, on_device, rows_of, to_host
from tests.support import oracle


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch):
    monkeypatch.setattr(launch, "_PIECE", 50)
    monkeypatch.setattr(launch, "_SPREAD", 30)
    monkeypatch.setattr(launch, "_NARROWING", 64)
    monkeypatch.setattr(launch, "multiprocessors", lambda: 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_maximum_norm(dtype):
    rows = list(rows_of(dtype, math.inf, (0.3, 0.95, 1.5), n=131))[::2]
    assert launch.spread(len(rows), 131).blocks == 2
    for row, eta in zip(rows, to_host(car.eta(*on_device(rows), p=math.inf)), strict=True):
        check(row, eta)


@pytest.mark.parametrize("p", [0.7, 1.0, 2.0, math.inf])
def test_norms(p):
    rows = list(rows_of(np.float64, p, (0.5,), n=131))[::3]
    assert launch.spread(len(rows), 131).blocks == 2
    x, delta, _ = on_device(rows)
    for row, found in zip(rows, to_host(car.max_norm(x, delta, p=p)), strict=True):
        assert oracle.error_in_ulps(float(found), oracle.max_norm(row), np.float64) <= 2
    for row, found in zip(rows, to_host(car.norm(x, delta, 0.3, p=p)), strict=True):
        expected = oracle.norm_at(0.3, replace(row, eps=0.0))
        assert oracle.error_in_ulps(float(found), expected, np.float64) <= 4


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_gradients(p):
    """Of a row of each kind: ordinary, saturated, of eps = 0, and NaN."""
    rng = np.random.default_rng(5)
    x, delta, g = rng.random((4, 110)), rng.standard_normal((4, 110)), rng.standard_normal((4, 110))
    x[3, 100] = np.nan
    eps = 0.5 * car.max_norm(x, delta, p=p) * [1, 3, 0, 1]
    eps[3] = 1.0
    upper = np.ones(110)
    expected = car.rescale_vjp(x, delta, eps, g, p=p, bounds=(0.0, upper))
    assert launch.spread(4, 110).blocks == 2
    given = [*map(cuda.to_device, (x, delta, eps, g))]
    found = car.rescale_vjp(
        *given, p=p, bounds=(cuda.to_device(np.zeros(1)), cuda.to_device(upper))
    )
    for name in ("x", "delta", "eps", "upper"):
        ours, theirs = to_host(getattr(found, name)), getattr(expected, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(to_host(found.lower), [expected.lower], rtol=1e-11, atol=1e-12)


def test_bad_rows_spoil_no_other():
    rows = list(rows_of(np.float64, math.inf, (0.5,), n=131))[:2]
    x, delta = (np.stack([getattr(row, name) for row in rows]) for name in ("x", "delta"))
    delta[0, 130] = np.nan
    eps = cuda.to_device(np.array([row.eps for row in rows]))
    eta = to_host(car.eta(*map(cuda.to_device, (x, delta)), eps, p=math.inf))
    assert math.isnan(eta[0])
    check(rows[1], eta[1])
    norm = to_host(car.max_norm(*map(cuda.to_device, (x, delta)), p=2))
    assert np.isnan(norm).tolist() == [True, False]
    x[1, 130] = 2
    with pytest.raises(ValueError, match="x must lie within its bounds"):
        car.eta(*map(cuda.to_device, (x, delta)), eps, p=math.inf)


def test_rows_too_long_to_sort(monkeypatch):
    monkeypatch.setattr(solver, "MOST_SORTED", 5)
    x = cuda.to_device(np.full((1, 6), 0.5))
    with pytest.raises(NotImplementedError, match='method must be "newton" for rows of more than'):
        car.eta(x, x, 0.3, method="sort")
