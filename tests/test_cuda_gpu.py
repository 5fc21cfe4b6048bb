"""CUDA on a real GPU: ``pytest -m gpu`` on a machine that has one; elsewhere these are left out.

test_ptx_device.py runs them on a device made of the CPU, with a few rows each.
"""

import gc

import ml_dtypes
import numpy as np
import pytest

import numba_car as car
from tests.cuda_cases import *
from tests.cuda_digits_cases import *
from tests.cuda_grid_cases import *
from tests.cuda_step_cases import *
from tests.cuda_step_derivative_cases import *

try:
    from numba import cuda

    HAS_GPU = cuda.is_available()
    IS_PTX_DEVICE = HAS_GPU and "PTX" in str(getattr(cuda.get_current_device(), "name", ""))
except ImportError:
    HAS_GPU = IS_PTX_DEVICE = False

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not HAS_GPU, reason="no CUDA device was found"),
]
SHAPES = ((4096, 784), (256, 3072), (300, 7000), (8, 150528))


def batch_of(count, n, dtype, seed=0):
    rng, count = np.random.default_rng(seed), min(count, 5) if IS_PTX_DEVICE else count
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


def torch_on_the_gpu():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch was built without CUDA")
    return torch


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_tensors_of_torch(dtype):
    torch = torch_on_the_gpu()
    x, delta = (torch.tensor(a).to(getattr(torch, dtype)) for a in batch_of(64, 784, np.float64))
    close = 4 * torch.finfo(x.dtype).eps
    found = (car.rescale(x.cuda(), delta.cuda(), 3.0), *car.solve(x.cuda(), delta.cuda(), 3.0))
    expected = (car.rescale(x, delta, 3.0), *car.solve(x, delta, 3.0))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.is_cuda
        torch.testing.assert_close(ours.cpu(), theirs, rtol=close, atol=close)
    with pytest.raises(ValueError, match="x must lie within its bounds"):
        car.eta(x.cuda() + 3, delta.cuda(), 1.0)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5, np.inf])
def test_derivatives_of_torch(p):
    torch = torch_on_the_gpu()
    x, delta = (torch.tensor(a, device="cuda") for a in batch_of(3, 6, np.float64))
    eps, upper = torch.rand(3, device="cuda").double() + 0.1, torch.ones(6, device="cuda").double()
    arrays = tuple(tensor.requires_grad_() for tensor in (x, delta, eps, upper))

    def rescale(x, delta, eps, upper):
        return car.rescale(x, delta, eps, p=p, bounds=(0.0, upper))

    assert torch.autograd.gradcheck(rescale, arrays)
    assert torch.autograd.gradgradcheck(rescale, arrays)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
def test_torch_on_a_stream_of_its_own_and_compiled():
    torch = torch_on_the_gpu()
    x, delta = (torch.tensor(a) for a in batch_of(512, 3072, np.float32))
    expected = car.rescale(x, delta, 3.0).mean()

    def mean(x, delta):
        return car.rescale(x * 1, delta * 1, 3.0).mean()

    for function in (mean, torch.compile(mean, fullgraph=True)):
        with torch.cuda.stream(torch.cuda.Stream()):
            x_there, delta_there = x.cuda(), delta.cuda()
            for _ in range(5):  # what runs on another stream would read memory that is in use again
                torch.testing.assert_close(function(x_there, delta_there).cpu(), expected)


def fill(values, value):
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    while i < values.size:
        values[i] = value
        i += np.int64(cuda.gridDim.x) * cuda.blockDim.x


def memory_for(gigabytes):
    gc.collect()
    context = cuda.current_context()
    context.memory_manager.deallocations.clear()  # numba frees memory when it has to
    free = context.get_memory_info().free
    if free < gigabytes * 1e9:
        pytest.skip(f"needs {gigabytes} GB of device memory, of which {free / 1e9:.0f} are free")


@pytest.mark.parametrize(("count", "n"), [(3, 2**30), (2**31 + 5, 1)])
def test_more_elements_and_rows_than_32_bits_can_tell(count, n):
    """Rows of one element, or few long ones, all alike but for the last: x is read from one place."""
    memory_for(60)
    x = cuda.to_device(np.full((count, 1), 0.5, np.float32) if n > 1 else np.full(1, 0.5, "f4"))
    delta = cuda.device_array((count, n), np.float32)
    cuda.jit(fill)[4096, 256](delta.reshape(-1), np.float32(1.0))
    last = (count - 1) * n  # where the last row begins
    delta.reshape(-1)[last : last + 1].copy_to_device(np.full(1, -1.0, np.float32))
    found = car.rescale(x, delta, 0.25 * n**0.5).reshape(-1)
    places = 0, last - 1, last, count * n - 1
    values = [found[i : i + 1].copy_to_host()[0] for i in places]
    np.testing.assert_allclose(values, [0.75, 0.75, 0.25, 0.75 if n > 1 else 0.25], rtol=1e-6)
