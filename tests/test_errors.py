"""Every wrong input is refused, and the message names the argument, the rule and the value."""

import datetime as dt
import re

import numpy as np
import pytest

import numba_car as car

X = np.full((3, 4), 0.5, np.float32)
DELTA = np.tile(np.float32([1, -1, 0.5, 2]), (3, 1))
EPS = 0.25


def max_norm(x, delta, eps, **options):
    return car.max_norm(x, delta, **options)


solvers = pytest.mark.parametrize("function", [car.eta, car.rescale, car.solve])
functions = pytest.mark.parametrize("function", [car.eta, car.rescale, car.solve, max_norm])


def check_refused(error, words, function, *arguments, **options):
    """Raises `error` with every word (a regular expression) in its message."""
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    for word in words:
        assert re.search(word, str(caught.value)), (word, str(caught.value))


def replaced(array, *values):
    """A copy with (index, value) pairs put in."""
    array = array.copy()
    for index, value in values:
        array[index] = value
    return array


@functions
def test_x_outside_its_bounds(function):
    x = replaced(X, ((1, 3), 1.5), ((2, 0), -0.25))
    words = [r"\bx\b", r"\b2\b", r"1, ?3", r"1\.5", r"np\.clip\(x"]
    check_refused(ValueError, words, function, x, DELTA, EPS)


@functions
def test_x_outside_where_delta_is_zero(function):
    x, delta = replaced(X, ((2, 1), -0.125)), replaced(DELTA, ((2, 1), 0))
    words = [r"\bx\b", r"\b1\b", r"2, ?1", r"-0\.125"]
    check_refused(ValueError, words, function, x, delta, EPS)


@functions
@pytest.mark.parametrize(("dtype", "excess"), [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_x_outside_by_little_but_more_than_rounding(function, dtype, excess):
    x = replaced(X.astype(dtype), ((0, 2), 1 + excess))
    words = [r"\bx\b", r"0, ?2", r"1\.0{3}"]
    check_refused(ValueError, words, function, x, DELTA, EPS)


@functions
def test_x_outside_bounds_of_its_own_element(function):
    upper = np.full((3, 4), 0.75)
    upper[2, 3] = 0.25
    words = [r"\bx\b", r"2, ?3", r"0\.5"]
    check_refused(ValueError, words, function, X, DELTA, EPS, bounds=(0.0, upper))


@functions
@pytest.mark.parametrize(
    ("bounds", "values"),
    [
        ((1.0, 0.0), (r"1\.0|\b1\b", r"0\.0|\b0\b")),
        ((0.0, -0.5), (r"-0\.5",)),
        ((np.array([0, 0, 0.875, 0]), 0.75), (r"0\.875", r"0\.75")),
        ((np.nan, 1.0), ("nan",)),
        ((0.0, np.nan), ("nan",)),
        ((None, np.nan), ("nan",)),
        ((0.0, np.array([1, np.nan, 1, 1])), ("nan",)),
    ],
)
def test_bounds_that_are_none(function, bounds, values):
    words = [r"bound|lower|upper", *values]
    check_refused(ValueError, words, function, X, DELTA, EPS, bounds=bounds)


@functions
def test_bounds_that_do_not_broadcast(function):
    bounds, words = (np.zeros(3), np.ones(4)), [r"bounds", r"\(3,\)", r"\(4,\)"]
    check_refused(ValueError, words, function, X, DELTA, EPS, bounds=bounds)


longer = pytest.mark.skipif(
    np.finfo(np.longdouble).max == np.finfo(float).max, reason="long double is float64 here"
)


@solvers
@longer
@pytest.mark.parametrize("shape", [(), (3,)])
def test_eps_that_float64_does_not_hold(function, shape):
    eps = np.full(shape, np.longdouble(2) ** 2000)
    check_refused(ValueError, [r"\beps\b", "inf"], function, X, DELTA, eps)


@functions
@longer
def test_a_longer_float(function):
    words = [r"float32, float64", str(np.dtype(np.longdouble))]
    check_refused(TypeError, words, function, X.astype(np.longdouble), DELTA, EPS)


@functions
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("low", "value"), [(0.875, r"0\.875"), (np.nan, "nan")])
def test_one_bound_among_many(function, low, value, dtype):
    """Large bounds are looked at where x is; a row of NaN hides nothing."""
    x, delta = np.full((3, 100_000), 0.25, dtype), np.ones((3, 100_000), dtype)
    lower, upper = np.zeros_like(x), np.full_like(x, 0.75)
    upper[1, 70_000], lower[1, 70_000] = 0.5, low
    for first in (0.25, np.nan):
        x[1, 0] = first
        check_refused(ValueError, [r"bound", value], function, x, delta, EPS, bounds=(lower, upper))


@solvers
@pytest.mark.parametrize(
    ("eps", "value"),
    [
        (-0.5, r"-0\.5"),
        (np.nan, "nan"),
        (np.inf, "inf"),
        (-np.inf, "-inf"),
        (np.array([0.25, -0.125, 0.5]), r"-0\.125"),
        (np.float32([0.25, 0.125, np.nan]), "nan"),
        ([0.25, np.inf, 0.5], "inf"),
    ],
)
def test_eps(function, eps, value):
    check_refused(ValueError, [r"\beps\b", value], function, X, DELTA, eps)


@functions
@pytest.mark.parametrize(
    ("p", "value"), [(0, "0"), (0.0, "0"), (-1, "-1"), (-np.inf, "-inf"), (np.nan, "nan")]
)
def test_p(function, p, value):
    check_refused(ValueError, [r"\bp\b", value], function, X, DELTA, EPS, p=p)


@functions
@pytest.mark.parametrize("shape", [(3, 5), (2, 4), (5,), (2, 3, 5)])
def test_x_and_delta_do_not_broadcast(function, shape):
    words = [r"\(3, ?4\)", re.escape(str(shape)).replace(r",\ ", ", ?")]
    check_refused(ValueError, words, function, X, np.ones(shape), EPS)


@solvers
@pytest.mark.parametrize("shape", [(2,), (4,), (2, 4), (3, 4)])
def test_eps_does_not_broadcast_over_the_rows(function, shape):
    words = [r"\beps\b", re.escape(str(shape)).replace(r",\ ", ", ?")]
    check_refused(ValueError, words, function, X, DELTA, np.full(shape, 0.25))


@functions
@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 4)])
def test_a_bound_does_not_broadcast_over_x(function, shape):
    words = [r"bound|lower|upper", re.escape(str(shape)).replace(r",\ ", ", ?")]
    check_refused(ValueError, words, function, X, DELTA, EPS, bounds=(np.zeros(shape), 1.0))
    check_refused(ValueError, words, function, X, DELTA, EPS, bounds=(None, np.ones(shape)))


@functions
@pytest.mark.parametrize("axis", [2, -3, (0, 2), (-3,), 2**70, (0, -(2**70))])
def test_axis_out_of_range(function, axis):
    value = str(axis if isinstance(axis, int) else axis[-1])
    words = [r"\baxis\b", value]
    check_refused(np.exceptions.AxisError, words, function, X, DELTA, EPS, axis=axis)


@functions
@pytest.mark.parametrize("axis", [(0, 0), (1, -1)])
def test_axis_repeated(function, axis):
    words = [r"\baxis\b", "repeated|duplicate"]
    check_refused(ValueError, words, function, X, DELTA, EPS, axis=axis)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (np.empty((3, 5), np.float32), [r"\(3, ?5\)", r"\(3, ?4\)"]),
        (np.empty(12, np.float32), [r"\(12,\)"]),
        (np.empty((2, 3, 4), np.float32), [r"\(2, ?3, ?4\)"]),
        (np.empty((3, 4), np.int32), ["int32"]),
        (np.empty((3, 4), np.complex64), ["complex64"]),
        (np.broadcast_to(np.float32(0), (3, 4)), ["read-only|writ"]),
    ],
    ids=["columns", "dimensions", "larger", "integer", "complex", "read-only"],
)
def test_wrong_out(out, words):
    check_refused(ValueError, [r"\bout(put)?\b", *words], car.rescale, X, DELTA, EPS, out=out)


NOT_REAL = [
    np.full((3, 4), 0.5 + 0j),
    np.full((3, 4), 0.5, object),
    np.full((3, 4), "0.5"),
    np.full((3, 4), np.datetime64("2020-01-01")),
    np.full((3, 4), np.timedelta64(1, "s")),
]
not_real = pytest.mark.parametrize("wrong", NOT_REAL, ids=lambda array: array.dtype.name)


@functions
@not_real
def test_x_or_delta_is_not_real(function, wrong):
    kind = re.escape(str(wrong.dtype))
    check_refused(TypeError, [r"\bx\b", kind], function, wrong, DELTA, EPS)
    check_refused(TypeError, [r"\bdelta\b", kind], function, X, wrong, EPS)


@solvers
@not_real
def test_eps_is_not_real(function, wrong):
    words = [r"\beps\b", re.escape(str(wrong.dtype))]
    check_refused(TypeError, words, function, X, DELTA, wrong[:, 0])


@functions
@not_real
def test_a_bound_is_not_real(function, wrong):
    words = [r"bound|lower|upper", re.escape(str(wrong.dtype))]
    check_refused(TypeError, words, function, X, DELTA, EPS, bounds=(wrong, 1.0))
    check_refused(TypeError, words, function, X, DELTA, EPS, bounds=(0.0, wrong))


@functions
def test_a_ragged_list(function):
    ragged = [[0.5] * 4, [0.5] * 3, [0.5] * 4]
    check_refused(TypeError, [r"\bx\b"], function, ragged, DELTA, EPS)
    check_refused(TypeError, [r"\bdelta\b"], function, X, ragged, EPS)


@functions
@pytest.mark.parametrize("wrong", [None, "0.5", {"x": 1}, dt.date(2020, 1, 1)])
def test_something_that_is_no_array(function, wrong):
    check_refused(TypeError, [r"\bx\b"], function, wrong, DELTA, EPS)
    check_refused(TypeError, [r"\bdelta\b"], function, X, wrong, EPS)


@solvers
@pytest.mark.parametrize("option", ["method", "infeasible"])
def test_unknown_choice(function, option):
    words = [rf"\b{option}\b", "bisect"]
    check_refused(ValueError, words, function, X, DELTA, EPS, **{option: "bisect"})


@functions
@pytest.mark.parametrize("num_threads", [0, -1])
def test_num_threads(function, num_threads):
    words = [r"\bnum_threads\b", str(num_threads)]
    check_refused(ValueError, words, function, X, DELTA, EPS, num_threads=num_threads)


@pytest.mark.parametrize(
    "change",
    [
        {"x": replaced(X, ((2, 3), 1.5))},
        {"delta": np.ones((3, 5))},
        {"delta": np.full((3, 4), 1j)},
        {"eps": np.array([0.1, 0.1, -0.1])},
        {"eps": np.array([0.1, 0.1, 5.0]), "infeasible": "raise"},
        {"p": -2},
        {"bounds": (0.0, np.array([1, 1, 1, -1]))},
        {"axis": 2},
        {"method": "bisect"},
        {"num_threads": 0},
    ],
    ids=", ".join,
)
def test_out_is_unchanged_after_an_error(change):
    out = np.full((3, 4), 7, np.float32)
    with pytest.raises((ValueError, TypeError)):
        car.rescale(**{"x": X, "delta": DELTA, "eps": EPS, **change}, out=out)
    assert np.all(out == 7)


@functions
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_x_may_be_outside_by_its_own_rounding(function, dtype):
    """Bounds normalised in float64, x in float32: the bound rounds to one side, x to the other."""
    mean, std = 0.485, 0.229
    pixels = np.array([[0.0, 1.0, 0.25]], np.float32)
    x = (pixels - np.float32(mean)) / np.float32(std)
    bounds = ((0 - mean) / std, (1 - mean) / std)
    delta = np.ones_like(x, dtype)
    assert np.isfinite(function(x, delta, 0.1, bounds=bounds)[0]).all()
    moved = car.rescale(x, delta, 0.1, bounds=bounds)
    assert (moved <= moved.dtype.type(bounds[1])).all()


@functions
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"p": None}, TypeError, [r"\bp\b", "None"]),
        ({"p": 1j}, (TypeError, ValueError), [r"\bp\b", "1j"]),
        ({"p": -(10**400)}, ValueError, [r"\bp\b", "-1000"]),
        ({"axis": 1.0}, TypeError, ["axis", "1.0"]),
        ({"num_threads": 1.5}, TypeError, ["num_threads", "1.5"]),
        ({"num_threads": np.array([1, 2])}, TypeError, ["num_threads", r"\[1, 2\]"]),
        ({"bounds": (0, 1j)}, TypeError, ["upper", "complex"]),
    ],
)
def test_arguments_of_a_wrong_kind(function, options, error, words):
    check_refused(error, words, function, X, DELTA, EPS, **options)


@solvers
def test_a_method_that_is_no_word(function):
    check_refused(ValueError, ["method"], function, X, DELTA, EPS, method=np.array(["newton"] * 2))


def test_numbers_of_any_kind_and_size():
    expected = car.eta(X, DELTA, EPS)
    for options in ({"p": np.uint8(2)}, {"p": np.array(2, np.uint64)}, {"num_threads": 2**70}):
        np.testing.assert_allclose(car.eta(X, DELTA, EPS, **options), expected, rtol=1e-6)


def test_a_huge_p_is_the_largest_element():
    assert car.eta(X, DELTA, EPS, p=10**400).tobytes() == car.eta(X, DELTA, EPS, p=np.inf).tobytes()


@functions
def test_masked_arrays(function):
    masked = np.ma.masked_array(X, mask=X > 1)
    check_refused(TypeError, [r"\bx\b", "masked"], function, masked, DELTA, EPS)
    check_refused(TypeError, ["delta", "masked"], function, X, masked, EPS)


class Tensor:
    """An array of another library, which NumPy could take for one of its own."""

    __module__ = "torch"

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("requires grad")


@solvers
@pytest.mark.parametrize("place", range(4))
def test_arrays_of_another_library(function, place):
    arguments = [X, DELTA, EPS, 0.0]
    arguments[place] = Tensor()
    x, delta, eps, lower = arguments
    check_refused(TypeError, ["torch"], function, x, delta, eps, bounds=(lower, 1.0))
