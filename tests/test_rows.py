"""What makes a row: `axis="all"` and `dim=`, in every library. The results are those of one row of a table."""

import importlib

import numpy as np
import pytest

import numba_car as car

RNG = np.random.default_rng(0)
X = RNG.random((3, 8, 8), dtype=np.float32)
DELTA = RNG.standard_normal(X.shape, dtype=np.float32)
EPS = 2.0

MAKERS = {
    "numpy": ("numpy", np.asarray),
    "torch": ("torch", lambda a: importlib.import_module("torch").tensor(a)),
    "jax": ("jax", lambda a: importlib.import_module("jax.numpy").asarray(a)),
    "tensorflow": ("tensorflow", lambda a: importlib.import_module("tensorflow").constant(a)),
    "xarray": (
        "xarray",
        lambda a: importlib.import_module("xarray").DataArray(a, dims=("c", "y", "x")),
    ),
    "dask": ("dask.array", lambda a: importlib.import_module("dask.array").from_array(a)),
    "eagerpy": ("eagerpy", lambda a: importlib.import_module("eagerpy").astensor(a)),
}
FUNCTIONS = {
    "eta": lambda x, d, **how: car.eta(x, d, EPS, **how),
    "rescale": lambda x, d, **how: car.rescale(x, d, EPS, **how),
    "max_norm": car.max_norm,
    "norm": lambda x, d, **how: car.norm(x, d, 0.1, **how),
    "project": lambda x, d, **how: car.project(x, x + d, EPS, **how),
    "maximize": lambda x, d, **how: car.maximize(x, d, EPS, **how),
    "solve": lambda x, d, **how: car.solve(x, d, EPS, **how).norm,
}


def arrays_of(library):
    name, make = MAKERS[library]
    pytest.importorskip(name, reason=f"{name} is not installed")
    return make(X), make(DELTA)


def values_of(found):
    return np.asarray(getattr(found, "raw", found))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("library", MAKERS)
def test_all_is_one_row(library, function):
    x, delta = arrays_of(library)
    call = FUNCTIONS[function]
    expected = call(X.reshape(1, -1), DELTA.reshape(1, -1))
    shape = X.shape if expected.ndim == 2 else ()
    found = values_of(call(x, delta, axis="all"))
    assert found.shape == shape
    np.testing.assert_allclose(found, expected.reshape(shape), rtol=1e-6)


@pytest.mark.parametrize("library", MAKERS)
def test_dim_is_axis(library):
    x, delta = arrays_of(library)
    kept = (1,) * 3
    for dim, axis in (("all", "all"), (-1, -1), ((0, 2), (0, 2))):
        for call in FUNCTIONS.values():
            found, same = call(x, delta, dim=dim), call(x, delta, axis=axis)
            np.testing.assert_array_equal(values_of(found), values_of(same))
    assert car.max_norm(x, delta, dim="all", keepdims=True).shape == kept
    with pytest.raises(TypeError, match=r"axis=1 and dim=\(0, 1\)"):
        car.eta(x, delta, EPS, axis=1, dim=(0, 1))


def test_all_in_a_sweep_and_in_derivatives():
    rows = X.reshape(1, -1), DELTA.reshape(1, -1)
    sweep = np.array([1.0, 2.0, 3.0])
    found = car.rescale(X, DELTA, sweep, axis="all")
    np.testing.assert_array_equal(
        found.reshape(3, 1, -1), car.rescale(*rows, sweep[:, None]), strict=True
    )
    upstream = np.ones_like(X)
    one = car.rescale_vjp(X, DELTA, EPS, upstream, axis="all")
    same = car.rescale_vjp(*rows, EPS, upstream.reshape(1, -1))
    np.testing.assert_array_equal(one.delta.ravel(), same.delta.ravel())
    assert one.eps == same.eps


@pytest.mark.parametrize("axis", ["al", "ALL", "channels", ("all",)])
def test_another_word(axis):
    with pytest.raises(TypeError, match="'all' or None, found"):
        car.eta(X, DELTA, EPS, axis=axis)


def test_a_dimension_of_that_name():
    xr = pytest.importorskip("xarray", reason="xarray is not installed")
    x, delta = (xr.DataArray(a, dims=("c", "all", "x")) for a in (X, DELTA))
    assert car.eta(x, delta, EPS, axis="all").dims == ("c", "x")
    assert car.eta(x, delta, EPS, dim=("c", "x")).dims == ("all",)
    assert car.eta(x, xr.DataArray(DELTA[0, 0], dims="x"), EPS, axis="x").dims == ("c", "all")


@pytest.mark.parametrize("spread", [0, 1])
def test_all_counts_the_dimensions_of_delta(spread):
    xr = pytest.importorskip("xarray", reason="xarray is not installed")
    x, delta = xr.DataArray(X[0], dims=("y", "x")), xr.DataArray(DELTA, dims=("c", "y", "x"))
    arrays = (x, delta) if spread else (delta * 0 + x, delta)
    found = car.eta(*arrays, EPS, axis="all")
    alone = car.eta(np.broadcast_to(X[0], X.shape).reshape(1, -1), DELTA.reshape(1, -1), EPS)
    np.testing.assert_allclose(found.values, alone[0], rtol=1e-6)
