"""CUDA on a real GPU: ``pytest -m gpu`` on a machine that has one; elsewhere these are left out."""

import ml_dtypes
import numpy as np
import pytest
from cuda_cases import *

import numba_car as car

try:
    from numba import cuda

    HAS_GPU = cuda.is_available()
except ImportError:
    HAS_GPU = False

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not HAS_GPU, reason="no CUDA device was found"),
    pytest.mark.filterwarnings("ignore:Grid size"),
]
SHAPES = ((4096, 784), (256, 3072), (8, 150528))


def batch_of(count, n, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((count, n), dtype), rng.standard_normal((count, n), dtype)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.3, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("count", "n"), SHAPES)
def test_agrees_with_the_cpu(count, n, dtype, p):
    x, delta = batch_of(count, n, dtype)
    eps = 0.3 * float(np.median(car.max_norm(x[:8], delta[:8], p=p)))
    arrays = cuda.to_device(x), cuda.to_device(delta)
    rtol = 8 * float(np.finfo(dtype).eps)
    found = car.eta(*arrays, eps, p=p).copy_to_host()
    np.testing.assert_allclose(found, car.eta(x, delta, eps, p=p), rtol=rtol)
    again = car.eta(*arrays, eps, p=p).copy_to_host()
    assert found.tobytes() == again.tobytes()
    moved = car.rescale(*arrays, eps, p=p).copy_to_host()
    np.testing.assert_allclose(moved, car.rescale(x, delta, eps, p=p), rtol=rtol, atol=rtol)
    g = np.random.default_rng(1).standard_normal(x.shape, dtype)
    ours = car.rescale_vjp(*arrays, eps, cuda.to_device(g), p=p)
    theirs = car.rescale_vjp(x, delta, eps, g, p=p)
    for name in ("x", "delta", "eps", "upper"):
        gradient = getattr(theirs, name)
        size = float(np.abs(gradient).max())
        tolerance = 1e4 * float(np.finfo(dtype).eps) * size
        np.testing.assert_allclose(getattr(ours, name).copy_to_host(), gradient, atol=tolerance)


@pytest.mark.parametrize(("count", "n"), [(64, 784), (2, 20000)])
def test_sorting_agrees_with_newton(count, n):
    x, delta = map(cuda.to_device, batch_of(count, n, np.float64))
    first, second = (
        car.eta(x, delta, 3.0, method=method).copy_to_host() for method in ("newton", "sort")
    )
    np.testing.assert_allclose(first, second, rtol=1e-14)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.3, np.inf])
def test_tangents_agree_with_the_cpu(p):
    x, delta = batch_of(256, 3072, np.float64)
    of_x, of_delta = batch_of(256, 3072, np.float64, seed=1)
    eps = 0.3 * float(np.median(car.max_norm(x[:8], delta[:8], p=p)))
    arrays = [*map(cuda.to_device, (x, delta, of_x, of_delta))]
    for function in (car.eta_jvp, car.rescale_jvp):
        expected = function(x, delta, eps, of_x, of_delta, 0.5, p=p)
        found = function(*arrays[:2], eps, *arrays[2:], 0.5, p=p).copy_to_host()
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


def test_gradients_of_channels_and_pictures_agree_with_the_cpu():
    rng = np.random.default_rng(2)
    x, delta = rng.random((3, 1, 1)), rng.standard_normal((64, 3, 40, 40))
    lower, upper, eps = np.full((64, 1, 1, 1), -0.1), 1 + rng.random((40, 40)), np.full((1,), 3.0)
    g = rng.standard_normal(delta.shape)
    expected = car.rescale_vjp(x, delta, eps, g, bounds=(lower, upper))
    on_device = [*map(cuda.to_device, (x, delta, eps, g))]
    bounds = cuda.to_device(lower), cuda.to_device(upper)
    found, again = (car.rescale_vjp(*on_device, bounds=bounds) for _ in range(2))
    for ours, second, theirs in zip(found, again, expected, strict=True):
        assert ours.copy_to_host().tobytes() == second.copy_to_host().tobytes()
        np.testing.assert_allclose(ours.copy_to_host(), theirs, rtol=1e-9, atol=1e-9)


def test_a_large_batch_of_bfloat16():
    x, delta = (values.astype(ml_dtypes.bfloat16) for values in batch_of(1024, 784, np.float32))
    found = car.rescale(*(cuda.to_device(a.view("V2")) for a in (x, delta)), 3.0).copy_to_host()
    expected = car.rescale(x, delta, 3.0).astype(np.float32)
    found = found.view(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=2**-7)


def test_streams_of_cupy():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    x, delta = batch_of(64, 784, np.float32)
    with cupy.cuda.Stream(non_blocking=True):
        arrays = cupy.asarray(x) * 1, cupy.asarray(delta) * 1
        found = car.eta(*arrays, 3.0)
    assert isinstance(found, cupy.ndarray)
    np.testing.assert_allclose(cupy.asnumpy(found), car.eta(x, delta, 3.0), rtol=1e-6)
