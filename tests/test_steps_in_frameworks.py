"""`norm`, `project` and `maximize` in PyTorch, JAX, TensorFlow, EagerPy and Dask: NumPy's answers and its derivatives."""

import math

import numpy as np
import pytest

import numba_car as car
from tests.support.steps import batch, second

CALLS = [("project", 1), ("project", 2), ("project", math.inf)]
CALLS += [("maximize", 1), ("maximize", 2), ("maximize", 3), ("maximize", math.inf), ("norm", 2)]
calls = pytest.mark.parametrize(("name", "p"), CALLS)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the frameworks' own
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
]


def problem(name, dtype=np.float64):
    """x, the second argument and eps, or eta, of rows without kinks near by; the last is out of reach."""
    rng = np.random.default_rng(8)
    x, direction = batch((4, 6), seed=2)
    x, direction = 0.05 + 0.9 * x, direction + rng.choice([-1, 1], x.shape) * rng.random(x.shape)
    x += 0.01 * rng.random(x.shape)
    eps = np.array([0.1, 0.4, 0.7, 0.2 if name == "norm" else 50])
    return tuple(v.astype(dtype) for v in (x, second(name, x, direction), eps))


def expected_gradients(name, p):
    """Of (v**3).sum(), by NumPy: those of `norm` by differences."""
    given = problem(name)
    v = getattr(car, name)(*given, p=p)
    if name != "norm":
        return getattr(car, f"{name}_vjp")(*given, 3 * v**2, p=p)[:3]
    found = []
    for place, values in enumerate(given):
        gradient = np.empty_like(values)
        for index in np.ndindex(values.shape):
            ends = []
            for step in (-1e-6, 1e-6):
                moved = [array.copy() for array in given]
                moved[place][index] += step
                ends.append((car.norm(*moved, p=p) ** 3).sum())
            gradient[index] = (ends[1] - ends[0]) / 2e-6
        found.append(gradient)
    return found


def close(found, expected, tolerance=1e-10):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=tolerance, atol=tolerance)


def tolerance_of(name):
    return 1e-6 if name == "norm" else 1e-10


class TestTorch:
    @pytest.fixture(autouse=True)
    def library(self):
        self.torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def tensors(self, name, dtype=np.float64, grad=False):
        given = problem(name, dtype)
        return [self.torch.from_numpy(values).requires_grad_(grad) for values in given]

    @calls
    @pytest.mark.parametrize("grad", [False, True])
    def test_values(self, name, p, grad):
        for dtype in (np.float32, np.float64):
            found = getattr(car, name)(*self.tensors(name, dtype, grad), p=p)
            expected = getattr(car, name)(*problem(name, dtype), p=p)
            np.testing.assert_array_equal(found.detach().numpy(), expected, strict=True)

    @calls
    def test_gradients(self, name, p):
        given = self.tensors(name, grad=True)
        (getattr(car, name)(*given, p=p) ** 3).sum().backward()
        close([v.grad for v in given], expected_gradients(name, p), tolerance_of(name))

    @calls
    def test_gradcheck(self, name, p):
        from torch.autograd import gradcheck, gradgradcheck

        call = lambda *given: getattr(car, name)(*given, p=p)
        given = self.tensors(name, grad=True)
        assert gradcheck(call, given, check_forward_ad=True)
        assert gradgradcheck(call, given)

    @calls
    def test_gradients_of_bounds(self, name, p):
        from torch.autograd import gradcheck

        bounds = [self.torch.full((6,), end, dtype=self.torch.float64) for end in (0.0, 1.0)]
        bounds = [bound.requires_grad_() for bound in bounds]
        x, other, eps = self.tensors(name)
        call = lambda low, high: getattr(car, name)(x, other, eps, p=p, bounds=(low, high))
        assert gradcheck(call, bounds)

    @calls
    def test_vmap_and_jvp(self, name, p):
        call = lambda *given: getattr(car, name)(*given, p=p)
        given = self.tensors(name)
        mapped = self.torch.func.vmap(call)(*given)
        close([mapped], [call(*given).numpy()], 1e-14)
        tangents = [self.torch.ones_like(values) for values in given]
        pushed = self.torch.func.jvp(call, tuple(given), tuple(tangents))[1]
        if name != "norm":
            expected = getattr(car, f"{name}_jvp")(*problem(name), 1.0, 1.0, 1.0, p=p)
            close([pushed], [expected])

    @pytest.mark.parametrize(("name", "p"), [("project", 2), ("maximize", 1), ("norm", 2)])
    def test_compiled(self, name, p):
        call = lambda *given: getattr(car, name)(*given, p=p)
        compiled = self.torch.compile(call, fullgraph=True, backend="aot_eager")
        given = self.tensors(name, grad=True)
        found = compiled(*given)
        close([found.detach()], [getattr(car, name)(*problem(name), p=p)], 1e-14)
        (found**3).sum().backward()
        close([v.grad for v in given], expected_gradients(name, p), tolerance_of(name))

    @calls
    def test_sides_sweeps_and_out(self, name, p):
        x, other, _ = self.tensors(name, np.float32)
        values = x.numpy(), other.numpy()
        levels = np.linspace(0.1, 1, 8).reshape(2, 4)
        found = getattr(car, name)(x, other, self.torch.from_numpy(levels), p=p)
        np.testing.assert_array_equal(found, getattr(car, name)(*values, levels, p=p))
        if name == "norm":
            return
        halves = x.bfloat16(), other.bfloat16()
        inside = getattr(car, name)(*halves, 0.7, p=p, side="inside")
        assert inside.dtype == self.torch.bfloat16
        reached = (inside.double() - halves[0].double()).norm(p, dim=1)
        assert (reached <= 0.7 * (1 + 1e-15)).all()
        out = self.torch.empty_like(x)
        assert getattr(car, name)(x, other, 0.7, p=p, out=out) is out
        np.testing.assert_array_equal(out, getattr(car, name)(*values, 0.7, p=p))

    def test_errors_name_the_arguments(self):
        x, _, _ = self.tensors("project")
        wrong = self.torch.zeros(4, 5)
        for name, of in (("project", "z"), ("maximize", "g"), ("norm", "delta")):
            with pytest.raises(ValueError, match=rf"\b{of}\b"):
                getattr(car, name)(x, wrong, 0.5)
            with pytest.raises(TypeError, match=rf"\b{of}\b"):
                getattr(car, name)(x, wrong.to(self.torch.complex64), 0.5)
        with pytest.raises(ValueError, match=r"\beta\b.*negative"):
            car.norm(x, x, self.torch.tensor(-1.0))


class TestJax:
    @pytest.fixture(autouse=True)
    def library(self):
        self.jax = pytest.importorskip("jax", reason="JAX is not installed")
        with self.jax.enable_x64(True):
            yield

    def arrays(self, name, dtype=np.float64):
        return [self.jax.numpy.asarray(values) for values in problem(name, dtype)]

    @calls
    def test_values_and_gradients(self, name, p):
        call = lambda *given: getattr(car, name)(*given, p=p)
        given = self.arrays(name)
        expected = call(*problem(name))
        np.testing.assert_array_equal(call(*given), expected)
        np.testing.assert_array_equal(self.jax.jit(call)(*given), expected)
        close([self.jax.vmap(call)(*given)], [expected], 1e-14)
        total = self.jax.jit(self.jax.grad(lambda *v: (call(*v) ** 3).sum(), (0, 1, 2)))
        close(total(*given), expected_gradients(name, p), tolerance_of(name))

    @pytest.mark.parametrize(("name", "p"), [("project", 1), ("maximize", 2), ("norm", 2)])
    def test_second_derivatives(self, name, p):
        from jax.test_util import check_grads

        x, other, eps = self.arrays(name)
        call = lambda *given: getattr(car, name)(*given, p=p)
        check_grads(call, (x, other, eps), order=2, rtol=1e-4, atol=1e-4, eps=1e-5)


class TestTensorflow:
    @pytest.fixture(autouse=True)
    def library(self):
        self.tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")

    @calls
    def test_values_and_gradients(self, name, p):
        call = lambda *given: getattr(car, name)(*given, p=p)
        given = [self.tf.constant(values) for values in problem(name)]
        expected = call(*problem(name))
        for one in (call, self.tf.function(call)):
            with self.tf.GradientTape() as tape:
                tape.watch(given)
                found = one(*given)
                total = self.tf.reduce_sum(found**3)
            np.testing.assert_array_equal(found.numpy(), expected)
            close(tape.gradient(total, given), expected_gradients(name, p), tolerance_of(name))


@calls
def test_eagerpy(name, p):
    ep = pytest.importorskip("eagerpy", reason="EagerPy is not installed")
    found = getattr(car, name)(*(ep.astensor(values) for values in problem(name)), p=p)
    np.testing.assert_array_equal(found.raw, getattr(car, name)(*problem(name), p=p))


@calls
def test_dask(name, p):
    da = pytest.importorskip("dask.array", reason="Dask is not installed")
    x, other, eps = problem(name)
    lazy = [da.from_array(values, chunks=(2, 6)) for values in (x, other)]
    found = getattr(car, name)(*lazy, da.from_array(eps, chunks=2), p=p)
    assert isinstance(found, da.Array)
    np.testing.assert_array_equal(found.compute(), getattr(car, name)(x, other, eps, p=p))
    found = getattr(car, name)(*lazy, 0.3, p=p)
    np.testing.assert_array_equal(found.compute(), getattr(car, name)(x, other, 0.3, p=p))


def test_dask_names_the_arguments():
    da = pytest.importorskip("dask.array", reason="Dask is not installed")
    x = da.zeros((4, 6), chunks=(2, 6))
    for name, of in (("project", "z"), ("maximize", "g"), ("norm", "delta")):
        with pytest.raises(ValueError, match=rf"\b{of}\b"):
            getattr(car, name)(x, da.zeros((4, 5)), 0.5)
        with pytest.raises(ValueError, match=rf"\b{of}\b.*chunk"):
            getattr(car, name)(x, da.zeros((4, 6), chunks=(2, 3)), 0.5)
        value = "eta" if name == "norm" else "eps"
        with pytest.raises(ValueError, match=rf"\b{value}\b.*does not broadcast"):
            getattr(car, name)(x, x, da.zeros(3))
    found = car.norm(x, x + 1, math.inf).compute()
    np.testing.assert_array_equal(found, np.full(4, 6**0.5))
