"""PyTorch's operators over the CUDA kernels, in the simulator: see test_cuda_simulator.py.

There, tensors on the host stand for those of a GPU, once the fixture below has all of them solved as if
they were. tests/test_cuda_gpu.py has tensors that are on one.
"""

import math
import sys

import numpy as np
import pytest
import torch

import numba_car as car
from numba_car.interop import backend_cpu, torch_operators
from numba_car.interop import torch as entry
from tests.test_torch import (  # noqa: F401 - tests of the host's tensors that run here as well
    problem,
    rescale,
    test_a_bad_row_spoils_no_other,
    test_bad_input,
    test_dtypes_promote_as_in_torch,
    test_gradients_of_one_argument_alone,
    test_no_silent_trip_to_the_host,
    test_nothing_to_do,
    test_opcheck_of_the_gradients,
    test_out,
    test_the_operators_give_the_same_values,
    test_vmap_of_a_gradient,
    test_without_bounds,
    test_x_may_be_out_by_its_own_rounding,
    with_bounds,
)

sys.setswitchinterval(1e-5)  # as in cuda_cases.py


@pytest.fixture(autouse=True)
def on_the_device(monkeypatch):
    def refuse(*_):
        raise AssertionError("no trip to the host is wanted")

    for module in (torch_operators, entry):
        monkeypatch.setattr(module, "is_on_host", lambda tensor: False)
    monkeypatch.setattr(entry, "_as_numpy", lambda *values: None)
    monkeypatch.setattr(entry, "serves", lambda *tensors: False)
    monkeypatch.setattr(backend_cpu, "differentiate", refuse)


@pytest.mark.parametrize("p", [0.7, 1, 2, 3.5, math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_close_to_those_of_numpy(dtype, p):
    x, delta, eps = problem(dtype, (3, 7))
    given, close = (x.numpy(), delta.numpy(), eps.numpy()), 16 * torch.finfo(dtype).eps
    found = (car.rescale(x, delta, eps, p=p), *car.solve(x, delta, eps, p=p))
    expected = (car.rescale(*given, p=p), *car.solve(*given, p=p))
    for ours, theirs in zip(found, expected, strict=True):
        assert isinstance(ours, torch.Tensor)
        assert ours.numpy().dtype == theirs.dtype
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=close, atol=close)
    np.testing.assert_allclose(car.max_norm(x, delta, p=p), car.max_norm(*given[:2], p=p), close)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats(dtype):
    x, delta, eps = problem(dtype, (2, 40))
    moved = car.rescale(x, delta, eps)
    assert moved.dtype == dtype
    reached = (moved.double() - x.double()).norm(dim=1)
    torch.testing.assert_close(reached, eps[:2], rtol=4 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize(("axis", "keepdims"), [((0, 2), True), (1, False), ((), False)])
def test_axes_and_broadcasting(axis, keepdims):
    x, delta, _ = problem(shape=(2, 3, 4))
    delta, lower = delta[:, :, :1].requires_grad_(), torch.full((3, 1), -0.1, requires_grad=True)
    given = x.numpy(), delta.detach().numpy(), 0.3
    options = {"axis": axis, "keepdims": keepdims}
    bounds = lower.detach().numpy(), 1.0
    expected = car.rescale(*given, bounds=bounds, **options)
    found = car.rescale(x, delta, 0.3, bounds=(lower, 1.0), **options)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-13)
    found.square().sum().backward()
    pulled = car.rescale_vjp(*given, 2 * expected, bounds=bounds, axis=axis)
    np.testing.assert_allclose(delta.grad.numpy(), pulled.delta, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(lower.grad.numpy(), pulled.lower, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_derivatives(p):
    arrays = tuple(array.requires_grad_() for array in with_bounds(2, 3))
    assert torch.autograd.gradcheck(lambda *a: rescale(*a, p=p), arrays)


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_projections_and_best_ascent(p):
    x, delta, eps = problem(torch.float64, (3, 7))
    z = (x + delta).requires_grad_()
    for function, along in ((car.project, z), (car.maximize, delta)):
        found = function(x, along, eps, p=p)
        expected = function(x.numpy(), along.detach().numpy(), eps.numpy(), p=p)
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-13)
    car.project(x, z, eps, p=p).square().sum().backward()
    given = x.numpy(), z.detach().numpy(), eps.numpy()
    pulled = car.project_vjp(*given, 2 * car.project(*given, p=p), p=p)
    np.testing.assert_allclose(z.grad.numpy(), pulled.z, rtol=1e-11, atol=1e-12)
    found = car.norm(x, delta, 0.3, p=p)
    np.testing.assert_allclose(found.numpy(), car.norm(*given[:1], delta.numpy(), 0.3, p=p), 1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("p", [1, 2])
def test_short_floats_inside(dtype, p):
    x, delta, _ = problem(dtype, (2, 40))
    moved = car.rescale(x, delta, 0.7, p=p, side="inside")
    assert moved.dtype == dtype
    assert ((moved.double() - x.double()).norm(p, dim=1) <= 0.7).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_results_on_a_grid(dtype):
    rng = np.random.default_rng(5)
    pixels, delta = rng.integers(0, 256, (2, 9)).astype(np.uint8), rng.standard_normal((2, 9))
    x, delta = torch.tensor(pixels).to(dtype), torch.tensor(delta).float()
    options = {"bounds": (0, 255), "step": 1}
    found = car.rescale(x, delta, torch.tensor([30.7, 90.2]), **options)
    assert found.dtype == dtype
    expected = car.rescale(pixels, delta.numpy(), np.array([30.7, 90.2], np.float32), **options)
    np.testing.assert_array_equal(found.numpy(), expected)
    out = torch.empty_like(x)
    assert car.rescale(x, delta, torch.tensor([30.7, 90.2]), out=out, **options) is out
    assert torch.equal(out, found)
    with pytest.raises(TypeError, match="step must be None where a gradient is required"):
        car.rescale(x, delta.requires_grad_(), 30.0, **options)


def test_sweeps():
    x, delta, _ = problem(shape=(2, 4))
    eps = torch.tensor([[[0.1]], [[0.4]]], dtype=torch.float64)
    found = car.rescale(x, delta, eps)
    assert torch.equal(found, torch.stack([car.rescale(x, delta, float(e)) for e in eps]))


def test_vmap_over_the_second_argument():
    x, delta, eps = problem(shape=(2, 4))
    deltas = torch.stack([delta, 0.9 * delta, -delta])
    found = torch.vmap(car.rescale, in_dims=(None, 0, None))(x, deltas, eps)
    assert torch.equal(found, torch.stack([car.rescale(x, d, eps) for d in deltas]))


def test_parameters_and_subclasses():
    class Image(torch.Tensor):
        pass

    x, delta, eps = problem(torch.float64, (2, 5))
    expected = car.rescale(x, delta, eps)
    parameter = torch.nn.Parameter(delta)
    found = car.rescale(x.as_subclass(Image), parameter, eps)
    assert isinstance(found, torch.Tensor)
    assert torch.equal(found.detach().as_subclass(torch.Tensor), expected)
    found.sum().backward()
    assert parameter.grad is not None
