"""What each array library can do with our functions: the table in docs/frameworks.md, cell by cell."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import numba_car as car
from numba_car._cpu import pipeline

PAGE = Path(__file__).parent.parent / "docs" / "frameworks.md"
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
    "pandas": "pandas",
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
        from tests.support.kernels import rescaled

        close(rescaled(X, DELTA, np.full(len(X), EPS), 2.0, 0.0, 1.0), EXPECTED)

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


class Pandas:
    def eager(self):
        DataFrame = importlib.import_module("pandas").DataFrame
        close(car.rescale(DataFrame(X), DataFrame(DELTA), EPS), EXPECTED)


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


FRAMEWORKS = (Numpy, Torch, Jax, Tensorflow, Xarray, Pandas, Eagerpy, Dask)
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


@pytest.fixture
def calls(monkeypatch):
    """A list that fills with the kernels called, and with the stages and the rows that each takes."""
    made = []

    def recorded(name, kernel):
        def call(*arguments):
            made.append(name)
            return kernel(*arguments)

        return call

    def staged(name, stage):
        def run(batch, block, *given, **options):
            rows = np.flatnonzero(np.isin(block.verdict, stage.takes))
            made.append((name, tuple(block.start + rows)))
            return stage.run(batch, block, *given, **options)

        return stage._replace(run=run)

    def forget():
        for cached in (pipeline._stages_of, pipeline._setup_of_small):
            cached.cache_clear()

    kernels = pipeline._KERNELS._asdict()
    wrapped = (recorded(name, kernel) for name, kernel in kernels.items())
    stages = {name: staged(name, stage) for name, stage in pipeline.STAGES.items()}
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_KERNELS", pipeline.Kernels(*wrapped))
        patch.setattr(pipeline, "STAGES", stages)
        forget()
        yield made
    forget()


def with_torch(name, x, delta, eps):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    return getattr(car, name)(*map(torch.from_numpy, (x, delta)), as_array(torch.from_numpy, eps))


def with_torch_and_gradient(name, x, delta, eps):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    delta = torch.from_numpy(delta).requires_grad_()
    found = getattr(car, name)(torch.from_numpy(x), delta, as_array(torch.from_numpy, eps))
    (found if isinstance(found, torch.Tensor) else found.eta).sum().backward()
    return [v.detach() for v in found] if name == "solve" else found.detach()


def with_jax(name, x, delta, eps, transform=lambda function: function):
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    solve = transform(
        lambda x, delta: getattr(car, name)(x, delta, as_array(jax.numpy.asarray, eps))
    )
    return jax.block_until_ready(solve(*map(jax.numpy.asarray, (x, delta))))


def with_compiled_jax(name, x, delta, eps):
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    return with_jax(name, x, delta, eps, jax.jit)


def with_tensorflow(name, x, delta, eps):
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    return getattr(car, name)(*map(tf.constant, (x, delta)), as_array(tf.constant, eps))


def as_array(convert, eps):
    """eps as it is, if it is a number, else as an array of the framework."""
    return convert(eps) if isinstance(eps, np.ndarray) else eps


@pytest.mark.parametrize(
    "call", [with_torch, with_torch_and_gradient, with_jax, with_compiled_jax, with_tensorflow]
)
@pytest.mark.parametrize("kind", ["plain", "saturated row", "eps by row"])
@pytest.mark.parametrize("name", ["eta", "rescale", "solve"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the frameworks' own, at import
def test_the_same_kernels_as_numpy(calls, call, kind, name):
    """No framework takes another way through the solver, and no stage takes a row twice."""
    rng = np.random.default_rng(0)
    x, delta = (
        array.astype(np.float32) for array in (rng.random((4, 784)), rng.standard_normal((4, 784)))
    )
    eps = np.float32([0.5, 1, 2, 3]) if kind == "eps by row" else 1.5
    if kind == "saturated row":
        x[2], delta[2] = 0.99, abs(delta[2])
    expected = getattr(car, name)(x, delta, eps)
    of_numpy = calls.copy()
    calls.clear()
    found = call(name, x, delta, eps)
    assert calls == of_numpy
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    stages = [made for made in calls if isinstance(made, tuple)]
    assert stages[0] == ("newton", (0, 1, 2, 3))
    assert ("saturate", (2,)) in stages or kind != "saturated row"
    taken = [(stage, row) for stage, rows in stages for row in rows]
    assert len(set(taken)) == len(taken)


def table():
    lines = [f"| | {' | '.join(CAPABILITIES)} |", "|---" * (1 + len(CAPABILITIES)) + "|"]
    for framework in FRAMEWORKS:
        cells = ["yes" if (framework, name) in CELLS else "-" for name in CAPABILITIES]
        lines.append(f"| {TITLES[framework.__name__.lower()]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def test_the_table_on_the_page(request):
    pattern = r"(<!-- frameworks:begin -->\n)(.*)(<!-- frameworks:end -->)"
    text = PAGE.read_text(encoding="utf-8")
    if request.config.getoption("--update-pages"):
        text = re.sub(pattern, lambda m: m[1] + table() + m[3], text, flags=re.DOTALL)
        PAGE.write_text(text, encoding="utf-8")
    assert re.search(pattern, text, re.DOTALL)[2] == table()
