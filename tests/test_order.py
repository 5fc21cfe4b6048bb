"""Results lie in memory as x does, as NumPy's and PyTorch's own do."""

import numpy as np
import pytest

import numba_car as car

RNG = np.random.default_rng(0)
X = RNG.random((4, 3, 5, 6), dtype=np.float32)
DELTA = RNG.standard_normal(X.shape, dtype=np.float32)
FUNCTIONS = {
    "rescale": lambda x, d, **how: car.rescale(x, d, 1.0, **how),
    "inside": lambda x, d, **how: car.rescale(x, d, 1.0, side="inside", **how),
    "full": lambda x, d, **how: car.rescale(x, d, 1.0, full_output=True, **how).out,
    "project": lambda x, d, **how: car.project(x, x + d, 1.0, **how),
    "maximize": lambda x, d, **how: car.maximize(x, d, 1.0, **how),
}
functions = pytest.mark.parametrize("function", FUNCTIONS)


def in_order(array, order):
    """A copy whose axes have that order in memory."""
    return array.transpose(order).copy().transpose(np.argsort(order))


@functions
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 3, 1), (1, 0, 3, 2)])
def test_order_of_x_is_kept(function, order):
    x, call = in_order(X, order), FUNCTIONS[function]
    found = call(x, DELTA)
    np.testing.assert_array_equal(found, call(X, DELTA))
    assert found.strides == np.empty_like(x).strides == (x + x).strides


@pytest.mark.parametrize(
    "x",
    [X[::-1], X[::2], np.broadcast_to(X[0], X.shape), X[:, :1], X.transpose(0, 2, 3, 1)[::-1]],
    ids=["reversed", "every second", "repeated", "broadcast", "channels last, reversed"],
)
def test_views_of_x(x):
    found = car.rescale(x, DELTA[: len(x)].reshape(-1)[: x.size].reshape(x.shape), 1.0)
    repeated = 0 in x.strides
    assert found.strides == (np.empty(x.shape, x.dtype) if repeated else np.empty_like(x)).strides


def test_a_sweep_comes_first_in_memory():
    x = in_order(X, (0, 2, 3, 1))
    found = car.rescale(x, DELTA, np.array([[0.5], [1.0]]))
    assert found[0].strides == found[1].strides == x.strides
    assert found.strides[0] == x.nbytes
    np.testing.assert_array_equal(found, car.rescale(X, DELTA, np.array([[0.5], [1.0]])))


def test_integers_on_a_grid():
    pixels = in_order(np.rint(255 * X).astype(np.uint8), (3, 2, 1, 0))
    assert car.rescale(pixels, DELTA, 50.0, bounds=(0, 255), step=1).flags.f_contiguous


@pytest.mark.parametrize(
    ("way", "function"),
    [
        *((way, function) for way in ("plain", "tracked", "half") for function in FUNCTIONS),
        ("vmap", "rescale"),
        ("vmap", "project"),
        ("compiled", "rescale"),
    ],
)
def test_channels_last_of_torch(way, function):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    last = torch.channels_last
    x, delta = (torch.from_numpy(a).to(memory_format=last) for a in (X, DELTA))
    call = FUNCTIONS[function]
    expected = torch.from_numpy(call(X, DELTA))
    if way == "half":
        x, delta = x.half(), delta.half()
        expected = call(x.contiguous(), delta.contiguous())
    x.requires_grad_(way == "tracked")
    if way == "compiled":
        found = torch.compile(call, backend="aot_eager", fullgraph=True)(x, delta)
    elif way == "vmap":
        found = torch.func.vmap(lambda a, b: call(a[None], b[None])[0])(x, delta)
    else:
        found = call(x, delta)
    assert found.is_contiguous(memory_format=last)
    assert torch.equal(found.detach(), expected)
