"""EagerPy tensors: the values of what is inside, wrapped again, whatever the framework."""

from importlib import import_module

import numpy as np
import pytest

import numba_car as car
from tests.support.strategies import family_arrays

ep = pytest.importorskip("eagerpy", reason="EagerPy is not installed")

# What makes a framework's tensor, and its module.
BACKENDS = {
    "numpy": ("numpy", "asarray"),
    "torch": ("torch", "as_tensor"),
    "jax": ("jax.numpy", "asarray"),
    "tensorflow": ("tensorflow", "convert_to_tensor"),
}


@pytest.fixture(params=BACKENDS)
def tensor(request):
    name = request.param
    module, function = BACKENDS[name]
    pytest.importorskip(module, reason=f"{name} is not installed")
    make = getattr(import_module(module), function)
    return lambda array: ep.astensor(make(array))


@pytest.fixture
def arrays():
    x, delta = family_arrays("cauchy", (3, 2, 4, 5), np.float32)
    return x, delta, np.float32([0.1, 0.5, 9.0])


def check(found, expected, tensor):
    assert type(found) is type(tensor(np.float32([0])))
    assert found.numpy().dtype == expected.dtype
    np.testing.assert_allclose(found.numpy(), expected, rtol=3e-7)


@pytest.mark.parametrize("options", [{}, {"p": 1}, {"axis": (2, 3)}, {"keepdims": True}], ids=str)
def test_values(tensor, arrays, options):
    x, delta, _ = arrays
    wrapped = tensor(x), tensor(delta), 0.5
    check(car.eta(*wrapped, **options), car.eta(x, delta, 0.5, **options), tensor)
    check(car.rescale(*wrapped, **options), car.rescale(x, delta, 0.5, **options), tensor)
    check(car.max_norm(*wrapped[:2], **options), car.max_norm(x, delta, **options), tensor)
    found, expected = car.solve(*wrapped, **options), car.solve(x, delta, 0.5, **options)
    for one, other in zip(found, expected, strict=True):
        check(one, other, tensor)


def test_eps_and_bounds_may_be_tensors_too(tensor, arrays):
    x, delta, eps = arrays
    lower, upper = -np.ones((2, 1, 1), np.float32), np.float32([[[1.5]], [[2]]])
    found = car.eta(*map(tensor, arrays), bounds=(tensor(lower), tensor(upper)))
    check(found, car.eta(x, delta, eps, bounds=(lower, upper)), tensor)
    found = car.eta(*map(tensor, arrays), bounds=(None, tensor(upper)))
    check(found, car.eta(x, delta, eps, bounds=(None, upper)), tensor)


def test_a_single_row(tensor, arrays):
    x, delta = (array[0, 0, 0] for array in arrays[:2])
    assert car.eta(tensor(x), tensor(delta), 0.1).shape == ()
    check(car.eta(tensor(x), tensor(delta), 0.1), car.eta(x, delta, 0.1), tensor)


def test_out():
    x, delta = family_arrays("uniform", (2, 5), np.float64)
    out = ep.astensor(np.empty_like(x))
    assert car.rescale(ep.astensor(x), ep.astensor(delta), 0.5, out=out).raw is out.raw
    np.testing.assert_array_equal(out.raw, car.rescale(x, delta, 0.5))


@pytest.mark.parametrize("other", [np.ones((2, 5)), [[1.0] * 5] * 2], ids=["array", "list"])
def test_what_is_not_wrapped(other):
    x, _ = family_arrays("uniform", (2, 5), np.float64)
    if isinstance(other, list):
        check(car.eta(ep.astensor(x), other, 0.1), car.eta(x, other, 0.1), ep.astensor)
    else:
        with pytest.raises(TypeError, match=r"one library, found eagerpy's in .* and numpy's in"):
            car.eta(ep.astensor(x), other, 0.1)


def test_two_frameworks_inside():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = np.full((2, 5), 0.5)
    with pytest.raises(TypeError, match=r"one library, found numpy's in .* and torch's in"):
        car.eta(ep.astensor(x), ep.astensor(torch.ones(2, 5)), 0.1)


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("function", [car.eta, car.rescale])
def test_gradients_through_eagerpy(framework, function):
    pytest.importorskip(framework, reason=f"{framework} is not installed")
    module, name = BACKENDS[framework]
    make = getattr(import_module(module), name)
    x, delta = family_arrays("uniform", (3, 20), np.float32)
    vjp = car.eta_vjp if function is car.eta else car.rescale_vjp
    ones = np.ones(3 if function is car.eta else (3, 20), np.float32)
    expected = vjp(x, delta, 0.5, ones).delta
    wrapped = ep.astensor(make(x))
    _, found = ep.value_and_grad(
        lambda d: function(wrapped, d, 0.5).sum(), ep.astensor(make(delta))
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
