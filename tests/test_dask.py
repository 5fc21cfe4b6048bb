"""Dask: lazy and blockwise, with NumPy's answers."""

import numpy as np
import pytest

import numba_car as car
from numba_car import _numpy

pytest.importorskip("dask.array", reason="dask is not installed")

import dask
import dask.array as da

RNG = np.random.default_rng(0)
X = RNG.random((10, 3, 4))
DELTA = RNG.standard_normal(X.shape)
EPS = RNG.uniform(0, 2, 10)
ROWS = {"x": da.from_array(X, chunks=(4, 3, 4)), "delta": da.from_array(DELTA, chunks=(3, 3, 4))}


def same(found, expected):
    assert isinstance(found, da.Array)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    computed = found.compute(scheduler="threads")
    assert computed.shape == expected.shape
    np.testing.assert_array_equal(computed, expected)


@pytest.mark.parametrize("function", [car.eta, car.rescale])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_it_is_numpys(function, keepdims, p):
    for eps in (0.3, EPS, EPS.reshape(-1, 1, 1)):
        lazy = eps if np.ndim(eps) == 0 else da.from_array(eps, chunks=5)
        found = function(**ROWS, eps=lazy, p=p, keepdims=keepdims)
        same(found, function(X, DELTA, eps, p=p, keepdims=keepdims))


def test_solve_and_max_norm():
    solution = car.solve(**ROWS, eps=da.from_array(EPS, chunks=2))
    for found, expected in zip(solution, car.solve(X, DELTA, EPS), strict=True):
        same(found, expected)
    same(car.max_norm(**ROWS, keepdims=True), car.max_norm(X, DELTA, keepdims=True))


def test_solve_solves_once(monkeypatch):
    calls, solve = [], _numpy.solve
    monkeypatch.setattr(_numpy, "solve", lambda *a: calls.append(1) or solve(*a))
    rows = {name: array.rechunk((5, 3, 4)) for name, array in ROWS.items()}
    dask.compute(*car.solve(**rows, eps=0.3), scheduler="sync")
    assert len(calls) == 2


def test_threads_inside_of_dasks_threads():
    x, delta = (np.tile(values.reshape(10, 12), (2000, 50)) for values in (X, DELTA))

    def work(x, delta):
        return car.rescale(x, delta, 3.0, num_threads=3)

    blocks = (da.from_array(values, chunks=(500, -1)) for values in (x, delta))
    found = da.map_blocks(work, *blocks, dtype=x.dtype).compute(scheduler="threads", num_workers=16)
    np.testing.assert_array_equal(found, car.rescale(x, delta, 3.0))


def test_nothing_is_computed_before_it_is_asked_for():
    def fail(block):
        raise AssertionError("computed")

    x = ROWS["x"].map_blocks(fail, dtype=X.dtype, meta=np.empty((0, 0, 0)))
    for found in (car.eta(x, ROWS["delta"], 0.1), *car.solve(x, ROWS["delta"], 0.1)):
        assert isinstance(found, da.Array)


def test_broadcasting_bounds_and_axes():
    row = da.from_array(DELTA[0], chunks=-1)
    low, high = np.full((3, 1), -0.5), np.linspace(1, 2, 30).reshape(10, 3, 1)
    bounds = da.from_array(low), da.from_array(high, chunks=(2, 3, 1))
    found = car.rescale(ROWS["x"], row, 0.7, bounds=bounds)
    same(found, car.rescale(X, DELTA[0], 0.7, bounds=(low, high)))
    x, delta = (array.rechunk((10, 3, 2)) for array in ROWS.values())
    same(car.eta(x, delta, 0.3, axis=(0, 1)), car.eta(X, DELTA, 0.3, axis=(0, 1)))
    same(
        car.eta(x, 1, 0.3, axis=-2, bounds=(None, 1)), car.eta(X, 1, 0.3, axis=1, bounds=(None, 1))
    )


def test_a_bound_that_is_a_number_beside_an_array():
    """Whether they are in order shows in each block; until then, no values are made up for the array."""
    bounds = 0.5, da.full((10, 3, 4), 1.5, chunks=(4, 3, 4))
    found = car.rescale(ROWS["x"] / 2 + 0.5, ROWS["delta"], 0.7, bounds=bounds)
    same(found, car.rescale(X / 2 + 0.5, DELTA, 0.7, bounds=(0.5, 1.5)))
    with pytest.raises(ValueError, match="lower <= upper"):
        car.eta(**ROWS, eps=0.7, bounds=(2, bounds[1])).compute(scheduler="sync")


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_dtypes(dtype):
    x = (X * 255).astype(dtype) if dtype == "uint8" else X.astype(dtype)
    options = {"bounds": (0, 255)} if dtype == "uint8" else {}
    delta = DELTA.astype(np.float32 if dtype == "uint8" else dtype)
    lazy = da.from_array(x, chunks=(4, 3, 4)), da.from_array(delta, chunks=(4, 3, 4))
    same(car.rescale(*lazy, 0.5, **options), car.rescale(x, delta, 0.5, **options))


def test_one_row():
    same(
        car.eta(ROWS["x"][0].reshape(-1), da.ones(12), 0.1),
        np.asarray(car.eta(X[0].ravel(), 1.0, 0.1)),
    )


def test_a_row_in_several_chunks_is_refused_with_the_cure():
    x = ROWS["x"].rechunk((4, 3, 2))
    message = (
        r"x must not be chunked along .* \(1, 2\), found \(3, 1, 2\) chunks: \.rechunk\({2: -1}\)"
    )
    with pytest.raises(ValueError, match=message):
        car.eta(x, ROWS["delta"], 0.1)
    same(car.eta(x.rechunk({2: -1}), ROWS["delta"], 0.1), car.eta(X, DELTA, 0.1))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"eps": -1.0}, ValueError, "eps must be finite"),
        ({"p": 0}, ValueError, "p must be in"),
        ({"eps": da.ones(3)}, ValueError, r"eps of shape \(3,\) does not broadcast"),
        ({"delta": da.ones((10, 3, 5))}, ValueError, "do not broadcast"),
        ({"bounds": (1, 0)}, ValueError, "lower <= upper"),
        ({"delta": DELTA}, TypeError, "of one library, found dask's in .* and numpy's in"),
        ({"x": ROWS["x"][ROWS["x"][:, 0, 0] > 0.5]}, ValueError, r"compute_chunk_sizes\(\)"),
        ({"infeasible": "no"}, ValueError, "infeasible must be one of"),
        ({"delta": ROWS["delta"].astype(complex)}, TypeError, "integers or floats"),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_errors_that_need_no_values_come_at_once(changes, error, message):
    with pytest.raises(error, match=message):
        car.eta(**ROWS | {"eps": 0.1} | changes)


def test_errors_in_values_come_from_compute():
    lazy = car.eta(ROWS["x"] + 1, ROWS["delta"], 0.1)
    with pytest.raises(ValueError, match="x must") as raised:
        lazy.compute(scheduler="sync")
    assert "start of a block" in raised.value.__notes__[0]


def test_out_is_refused():
    with pytest.raises(TypeError, match="out must be None"):
        car.rescale(**ROWS, eps=0.1, out=ROWS["x"])


def test_derivatives_are_refused():
    with pytest.raises(TypeError, match="dask"):
        car.eta_vjp(**ROWS, eps=0.1, grad_eta=1.0)
