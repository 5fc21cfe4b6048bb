"""What each array library can do with our functions: the table in the README, cell by cell."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import numba_car as car

README = Path(__file__).parent.parent / "README.md"
CAPABILITIES = (
    "eager",
    "compiled",
    "vmap",
    "first derivative",
    "second derivative",
    "forward mode",
)
TITLES = {
    "numpy": "NumPy",
    "torch": "PyTorch",
    "jax": "JAX",
    "tensorflow": "TensorFlow",
    "xarray": "xarray",
    "eagerpy": "EagerPy",
    "dask": "Dask",
}
H = 1e-6


def batch():
    rng = np.random.default_rng(0)
    return rng.random((3, 4)), rng.standard_normal((3, 4)), 0.3


X, DELTA, EPS = batch()
EXPECTED = car.rescale(X, DELTA, EPS)


def of_delta(delta):
    """A number to differentiate, in NumPy."""
    return float((car.rescale(X, delta, EPS) ** 3).sum())


def gradient(delta):
    return car.rescale_vjp(X, delta, EPS, 3 * car.rescale(X, delta, EPS) ** 2).delta


def along(function):
    """Central difference of a function of delta along delta itself turned around."""
    tangent = DELTA[::-1] * H
    return (function(DELTA + tangent) - function(DELTA - tangent)) / (2 * H)


def close(found, expected):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=1e-5)


class Numpy:
    """Derivatives are functions of their own; jitted code calls `numba_car.kernels`."""

    def eager(self):
        close(car.rescale(X, DELTA, EPS), EXPECTED)

    def compiled(self):
        from numba import njit

        from numba_car import kernels

        @njit
        def rescale(x, delta, eps, out):
            for row in range(len(x)):
                kernels.rescale(x[row], delta[row], eps, 2.0, 0.0, 1.0, out[row])
            return out

        close(rescale(X, DELTA, EPS, np.empty_like(X)), EXPECTED)

    def first_derivative(self):
        close((gradient(DELTA) * DELTA[::-1]).sum(), along(of_delta))

    def forward_mode(self):
        tangent = car.rescale_jvp(X, DELTA, EPS, tangent_delta=DELTA[::-1])
        close(tangent, along(lambda delta: car.rescale(X, delta, EPS)))


class Torch:
    def __init__(self):
        self.torch = importlib.import_module("torch")
        self.x, self.delta = self.torch.from_numpy(X), self.torch.from_numpy(DELTA)

    def rescale(self, delta):
        return car.rescale(self.x, delta, EPS)

    def total(self, delta):
        return (self.rescale(delta) ** 3).sum()

    def eager(self):
        close(self.rescale(self.delta), EXPECTED)

    def compiled(self):
        compiled = self.torch.compile(self.rescale, fullgraph=True, backend="aot_eager")
        close(compiled(self.delta), EXPECTED)

    def vmap(self):
        close(self.torch.vmap(lambda x, d: car.rescale(x, d, EPS))(self.x, self.delta), EXPECTED)

    def first_derivative(self):
        delta = self.delta.clone().requires_grad_()
        (found,) = self.torch.autograd.grad(self.total(delta), delta)
        close(found, gradient(DELTA))

    def second_derivative(self):
        delta = self.delta.clone().requires_grad_()
        (first,) = self.torch.autograd.grad(self.total(delta), delta, create_graph=True)
        (found,) = self.torch.autograd.grad((first * self.delta.flip(0)).sum(), delta)
        close(found, along(gradient))

    def forward_mode(self):
        tangent = self.torch.func.jvp(self.rescale, (self.delta,), (self.delta.flip(0),))[1]
        close(tangent, along(lambda delta: car.rescale(X, delta, EPS)))


class Jax:
    def __init__(self):
        self.jax = importlib.import_module("jax")
        with self.jax.enable_x64(True):
            self.x, self.delta = self.jax.numpy.asarray(X), self.jax.numpy.asarray(DELTA)

    def rescale(self, delta):
        return car.rescale(self.x, delta, EPS)

    def total(self, delta):
        return (self.rescale(delta) ** 3).sum()

    def check(self, function, expected):
        with self.jax.enable_x64(True):
            close(function(self.delta), expected)

    def eager(self):
        self.check(self.rescale, EXPECTED)

    def compiled(self):
        self.check(self.jax.jit(self.rescale), EXPECTED)

    def vmap(self):
        one = self.jax.vmap(lambda x, delta: car.rescale(x, delta, EPS))
        self.check(lambda delta: one(self.x, delta), EXPECTED)

    def first_derivative(self):
        self.check(self.jax.grad(self.total), gradient(DELTA))

    def second_derivative(self):
        first = self.jax.grad(self.total)
        again = self.jax.grad(lambda delta: (first(delta) * self.delta[::-1]).sum())
        self.check(again, along(gradient))

    def forward_mode(self):
        expected = along(lambda delta: car.rescale(X, delta, EPS))
        self.check(lambda d: self.jax.jvp(self.rescale, (d,), (d[::-1],))[1], expected)


class Tensorflow:
    def __init__(self):
        self.tf = importlib.import_module("tensorflow")
        self.x, self.delta = self.tf.constant(X), self.tf.constant(DELTA)

    def rescale(self, delta):
        return car.rescale(self.x, delta, EPS)

    def first(self, delta):
        with self.tf.GradientTape() as tape:
            tape.watch(delta)
            total = self.tf.reduce_sum(self.rescale(delta) ** 3)
        return tape.gradient(total, delta)

    def eager(self):
        close(self.rescale(self.delta), EXPECTED)

    def compiled(self):
        close(self.tf.function(self.rescale)(self.delta), EXPECTED)

    def vmap(self):
        found = self.tf.vectorized_map(
            lambda pair: car.rescale(pair[0], pair[1], EPS), (self.x, self.delta)
        )
        close(found, EXPECTED)

    def first_derivative(self):
        close(self.first(self.delta), gradient(DELTA))

    def second_derivative(self):
        with self.tf.GradientTape() as tape:
            tape.watch(self.delta)
            product = self.tf.reduce_sum(self.first(self.delta) * self.delta.numpy()[::-1])
        close(tape.gradient(product, self.delta), along(gradient))

    def forward_mode(self):
        tangent = self.tf.constant(DELTA[::-1].copy())
        with self.tf.autodiff.ForwardAccumulator(self.delta, tangent) as accumulator:
            found = self.rescale(self.delta)
        close(accumulator.jvp(found), along(lambda delta: car.rescale(X, delta, EPS)))


class Xarray:
    def eager(self):
        DataArray = importlib.import_module("xarray").DataArray
        close(car.rescale(DataArray(X), DataArray(DELTA), EPS), EXPECTED)


class Eagerpy:
    """What a tensor holds differentiates; EagerPy is a way to call it."""

    def eager(self):
        ep = importlib.import_module("eagerpy")
        close(car.rescale(ep.astensor(X), ep.astensor(DELTA), EPS).raw, EXPECTED)


class Dask:
    """Lazy: what runs is NumPy's, a block of rows at a time."""

    def eager(self):
        da = pytest.importorskip("dask.array", reason="Dask is not installed")
        rows = (da.from_array(array, chunks=(2, 4)) for array in (X, DELTA))
        close(car.rescale(*rows, EPS), EXPECTED)


FRAMEWORKS = (Numpy, Torch, Jax, Tensorflow, Xarray, Eagerpy, Dask)
CELLS = [
    (framework, capability)
    for framework in FRAMEWORKS
    for capability in CAPABILITIES
    if hasattr(framework, capability.replace(" ", "_"))
]


@pytest.mark.parametrize(
    ("framework", "capability"), CELLS, ids=lambda v: getattr(v, "__name__", v)
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the frameworks' own, at import
def test_cell(framework, capability):
    name = framework.__name__.lower()
    pytest.importorskip(name, reason=f"{TITLES[name]} is not installed")
    getattr(framework(), capability.replace(" ", "_"))()


def table():
    lines = [f"| | {' | '.join(CAPABILITIES)} |", "|---" * (1 + len(CAPABILITIES)) + "|"]
    for framework in FRAMEWORKS:
        cells = ["yes" if (framework, name) in CELLS else "-" for name in CAPABILITIES]
        lines.append(f"| {TITLES[framework.__name__.lower()]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def test_the_table_in_the_readme(request):
    pattern = r"(<!-- frameworks:begin -->\n)(.*)(<!-- frameworks:end -->)"
    text = README.read_text(encoding="utf-8")
    if request.config.getoption("--update-readme"):
        text = re.sub(pattern, lambda m: m[1] + table() + m[3], text, flags=re.DOTALL)
        README.write_text(text, encoding="utf-8")
    assert re.search(pattern, text, re.DOTALL)[2] == table()
