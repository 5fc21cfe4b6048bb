"""``full_output=True`` gives what `solve` and `rescale` give; ``infeasible="warn"`` counts rows where the caller sees it."""

import inspect
import math
import warnings

import ml_dtypes
import numpy as np
import pytest

import numba_car as car
from tests.support.steps import batch

X, DELTA = batch((5, 40))
EPS = [0.0, 0.3, 0.5, 0.7, 1e9]  # a list, which goes with any library's arrays
powers = pytest.mark.parametrize("p", [0.5, 1, 2, math.inf])


def check(found, v, solution):
    assert isinstance(found, car.Rescaled)
    assert found._fields == ("out", *solution._fields)
    found, expected = ([*map(np.asarray, parts)] for parts in (found, (v, *solution)))
    for name, one, other in zip(car.Rescaled._fields, found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.astype(float), other.astype(float), err_msg=name)


@powers
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("side", ["nearest", "inside"])
def test_it_is_solve_and_rescale(dtype, p, side):
    x, delta = X.astype(dtype), DELTA.astype(dtype)
    for options in ({}, {"keepdims": True}, {"infeasible": "nan"}, {"bounds": (0, X + 0.25)}):
        v = car.rescale(x, delta, EPS, p=p, side=side, **options)
        solution = car.solve(x, delta, EPS, p=p, **options)
        found = car.rescale(x, delta, EPS, p=p, side=side, full_output=True, **options)
        check(found, v, solution)


@pytest.mark.parametrize("which", ["x", "delta", "new"])
def test_in_place(which):
    for method in ("newton", "sort"):
        x, delta = X.copy(), DELTA.copy()
        out = {"x": x, "delta": delta, "new": np.empty_like(X)}[which]
        found = car.rescale(x, delta, EPS, out=out, full_output=True, method=method)
        assert found.out is out
        v = car.rescale(X, DELTA, EPS, method=method)
        check(found, v, car.solve(X, DELTA, EPS, method=method))


def test_rows_of_every_kind():
    """A single row, a number, none, a bad one, sweeps, other axes."""
    bad = np.where(np.arange(40) == 3, np.nan, DELTA)
    for x, delta, eps, options in (
        (X[1], DELTA[1], 0.7, {}),
        (0.5, 1.0, 0.25, {}),
        (X[:0], DELTA[:0], 0.7, {}),
        (X[:, :0], DELTA[:, :0], 0.7, {}),
        (X, bad, EPS, {}),
        (X, DELTA, np.full((3, 1), 0.7), {}),
        (X.T, DELTA.T, EPS, {"axis": 0}),
    ):
        found = car.rescale(x, delta, eps, full_output=True, **options)
        v = car.rescale(x, delta, eps, **options)
        check(found, v, car.solve(x, delta, eps, **options))


def test_out_is_unchanged_after_an_error():
    out = np.full_like(X, 7)
    with pytest.raises(ValueError, match="1 of 5 rows"):
        car.rescale(X, DELTA, EPS, full_output=True, infeasible="raise", out=out)
    assert (out == 7).all()


WORDS = "eps cannot be reached in 1 of 5 rows, the first at index (4,): eps 1000000000.0 > max_norm"


def check_warned(call):
    """One RuntimeWarning, at the line of this file that calls; return the result."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found, line = call()
    caught = [w for w in caught if issubclass(w.category, RuntimeWarning)]
    assert [str(w.message)[: len(WORDS)] for w in caught] == [WORDS]
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)
    return found


def line():
    return inspect.currentframe().f_back.f_lineno


CALLS = {
    "eta": lambda x, delta: (car.eta(x, delta, EPS, infeasible="warn"), line()),
    "rescale": lambda x, delta: (car.rescale(x, delta, EPS, infeasible="warn"), line()),
    "solve": lambda x, delta: (car.solve(x, delta, EPS, infeasible="warn"), line()),
    "full": lambda x, d: (car.rescale(x, d, EPS, infeasible="warn", full_output=True), line()),
    "p = inf": lambda x, delta: (car.eta(x, delta, EPS, p=math.inf, infeasible="warn"), line()),
}
calls = pytest.mark.parametrize("name", CALLS)


@calls
def test_a_warning(name):
    found = check_warned(lambda: CALLS[name](X, DELTA))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        again = CALLS[name](X.copy(), DELTA)[0]
    for one, other in zip(
        *(f if isinstance(f, tuple) else (f,) for f in (found, again)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_warning_changes_no_result_and_none_comes_without_cause():
    with pytest.warns(RuntimeWarning, match=r"1 of 5 rows"):
        found = car.rescale(X, DELTA, EPS, infeasible="warn")
    np.testing.assert_array_equal(found, car.rescale(X, DELTA, EPS))
    car.rescale(X, DELTA, [*EPS[:-1], 0.7], infeasible="warn")
    everything = car.max_norm(X, DELTA)
    car.eta(X, DELTA, np.nextafter(everything, 0), infeasible="warn")
    with pytest.warns(RuntimeWarning, match=r"15 of 15 rows, the first at index \(0, 0\)"):
        car.eta(X, DELTA, np.full((3, 1), 1e9), infeasible="warn")


def test_a_warning_as_an_error_leaves_out_alone_or_complete():
    out = X.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            car.rescale(out, DELTA, EPS, infeasible="warn", out=out)
    assert np.array_equal(out, X) or np.array_equal(out, car.rescale(X, DELTA, EPS))


libraries = pytest.mark.parametrize(
    "library", ["torch", "jax.numpy", "tensorflow", "eagerpy", "dask.array"]
)


def torch_arrays(grad):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    return torch.from_numpy(X.copy()), torch.from_numpy(DELTA.copy()).requires_grad_(grad)


@calls
@pytest.mark.parametrize("grad", [False, True])
def test_a_warning_in_torch(name, grad):
    found = check_warned(lambda: CALLS[name](*torch_arrays(grad)))
    with pytest.warns(RuntimeWarning):
        expected = CALLS[name](X, DELTA)[0]
    pairs = zip(*(f if isinstance(f, tuple) else (f,) for f in (found, expected)), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one.detach().numpy(), other)


def converter_to(library):
    """Return the function that makes an array of a library."""
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    convert = {"tensorflow": "constant", "eagerpy": "astensor", "torch": "from_numpy"}
    return getattr(module, convert.get(library, "asarray"))


@libraries
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the frameworks' own, at import
def test_frameworks(library):
    as_array = converter_to(library)
    x, delta = X.astype(np.float32), DELTA.astype(np.float32)
    found = car.rescale(as_array(x), as_array(delta), 0.7, full_output=True)
    kind = type(as_array(x))
    assert all(isinstance(part, kind) for part in found)
    found = car.Rescaled(*(np.asarray(getattr(part, "raw", part)) for part in found))
    check(found, car.rescale(x, delta, 0.7), car.solve(x, delta, 0.7))


@libraries
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_frameworks_on_a_grid(library):
    as_array = converter_to(library)
    x, delta = np.round(64 * X.astype(np.float32)) / 64, DELTA.astype(np.float32)
    options = {"step": 1 / 64, "full_output": True}
    if library == "dask.array":
        with pytest.raises(NotImplementedError, match="full_output must be False for dask's"):
            car.rescale(as_array(x), as_array(delta), 0.7, **options)
        return
    found = car.rescale(as_array(x), as_array(delta), 0.7, **options)
    assert all(isinstance(part, type(as_array(x))) for part in found)
    for ours, expected in zip(found, car.rescale(x, delta, 0.7, **options), strict=True):
        np.testing.assert_array_equal(np.asarray(getattr(ours, "raw", ours)), expected)


def test_torch_in_place():
    x, delta = torch_arrays(False)
    found = car.rescale(x, delta, 0.7, out=x, full_output=True)
    assert found.out is x
    check(found, car.rescale(X, DELTA, 0.7), car.solve(X, DELTA, 0.7))
