"""What `project`, `maximize` and `norm` refuse, in messages that call the arguments what the function does."""

import re

import numpy as np
import pytest

import numba_car as car
from tests.test_errors import DELTA, EPS, NOT_REAL, Tensor, X, check_refused, replaced

SECOND = {"project": "z", "maximize": "g", "norm": "delta"}
names = pytest.mark.parametrize("name", SECOND)
steps = pytest.mark.parametrize("name", ["project", "maximize"])
derivatives = pytest.mark.parametrize(
    "name", ["project_vjp", "project_jvp", "maximize_vjp", "maximize_jvp"]
)


def call(name):
    """The function of that name, and what it calls its second and its third argument."""
    return getattr(car, name), SECOND[name], "eta" if name == "norm" else "eps"


@names
def test_x_outside_its_bounds(name):
    function = getattr(car, name)
    words = [r"\bx\b", r"\b2\b", r"1, ?3", r"1\.5", r"np\.clip\(x"]
    x = replaced(X, ((1, 3), 1.5), ((2, 0), -0.25))
    for p in (1, 2, np.inf):
        check_refused(ValueError, words, function, x, DELTA, EPS, p=p)
    x = replaced(X, ((2, 1), -0.125))
    check_refused(ValueError, [r"\bx\b", r"2, ?1"], function, x, DELTA * 0, EPS)


@names
def test_shapes(name):
    function, second, third = call(name)
    wrong = np.ones((3, 5))
    words = [r"\bx\b", rf"\b{second}\b", r"\(3, ?4\)", r"\(3, ?5\)"]
    check_refused(ValueError, words, function, X, wrong, EPS)
    for shape in ((2,), (4,), (2, 3, 4)):
        given = np.full(shape, 0.25)
        words = [rf"\b{third}\b", re.escape(str(shape)), r"rows, of shape \("]
        check_refused(ValueError, words, function, X, DELTA, given)
    check_refused(
        ValueError, ["bounds", r"\(3,\)"], function, X, DELTA, EPS, bounds=(np.zeros(3), 1)
    )
    check_refused(np.exceptions.AxisError, ["axis", "2"], function, X, DELTA, EPS, axis=2)
    check_refused(ValueError, ["axis", "repeated"], function, X, DELTA, EPS, axis=(1, -1))


@names
@pytest.mark.parametrize("wrong", NOT_REAL, ids=lambda array: array.dtype.name)
def test_values_that_are_not_real(name, wrong):
    function, second, third = call(name)
    kind = re.escape(str(wrong.dtype))
    check_refused(TypeError, [r"\bx\b", kind], function, wrong, DELTA, EPS)
    check_refused(TypeError, [rf"\b{second}\b", kind], function, X, wrong, EPS)
    check_refused(TypeError, [rf"\b{third}\b", kind], function, X, DELTA, wrong[:, 0])
    check_refused(TypeError, ["lower", kind], function, X, DELTA, EPS, bounds=(wrong, 1))


@names
@pytest.mark.parametrize("wrong", [None, "0.5", {"x": 1}, [[0.5] * 4, [0.5] * 3]])
def test_things_that_are_no_arrays(name, wrong):
    function, second, third = call(name)
    check_refused(TypeError, [r"\bx\b"], function, wrong, DELTA, EPS)
    check_refused(TypeError, [rf"\b{second}\b"], function, X, wrong, EPS)
    check_refused(TypeError, [rf"\b{third}\b"], function, X, DELTA, wrong)
    masked = np.ma.masked_array(X, mask=X > 1)
    check_refused(TypeError, [rf"\b{second}\b", "masked"], function, X, masked, EPS)


@names
def test_long_double(name):
    function, second, _ = call(name)
    longer = X.astype(np.longdouble)
    if longer.dtype != np.float64:
        check_refused(TypeError, [rf"\b{second}\b", "float64"], function, longer, DELTA, EPS)


@steps
@pytest.mark.parametrize("eps", [-0.5, np.nan, np.inf, [0.25, -0.125, 0.5]])
def test_eps(name, eps):
    value = re.escape(str(np.min(eps)))
    check_refused(ValueError, [r"\beps\b", value], getattr(car, name), X, DELTA, eps)


@pytest.mark.parametrize("eta", [-0.5, -np.inf, [0.25, -0.125, 0.5]])
def test_eta_of_norm(eta):
    value = re.escape(str(np.min(eta)))
    check_refused(ValueError, [r"\beta\b", "negative", value], car.norm, X, DELTA, eta)


@names
@pytest.mark.parametrize("p", [0, -1, np.nan])
def test_p(name, p):
    check_refused(ValueError, [r"\bp\b", str(p)], getattr(car, name), X, DELTA, EPS, p=p)


@names
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"p": None}, TypeError, [r"\bp\b", "None"]),
        ({"p": "2"}, TypeError, [r"\bp\b"]),
        ({"bounds": (1.0, 0.0)}, ValueError, ["bounds", r"1\.0"]),
        ({"bounds": (0.0, np.nan)}, ValueError, ["bounds", "nan"]),
        ({"bounds": 3}, ValueError, ["bounds", "3"]),
        ({"num_threads": 0}, ValueError, ["num_threads", "0"]),
        ({"num_threads": 1.5}, TypeError, ["num_threads", r"1\.5"]),
        ({"axis": 1.0}, TypeError, ["axis", r"1\.0"]),
    ],
)
def test_options(name, options, error, words):
    check_refused(error, words, getattr(car, name), X, DELTA, EPS, **options)


@steps
@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (np.empty((3, 5), np.float32), ValueError, [r"\(3, ?5\)", r"\(3, ?4\)"]),
        (np.empty((3, 4), np.int32), ValueError, ["int32"]),
        (np.broadcast_to(np.float32(0), (3, 4)), ValueError, ["read-only"]),
        ([[0.0] * 4] * 3, TypeError, ["list"]),
    ],
)
def test_wrong_out(name, out, error, words):
    check_refused(error, [r"\bout\b", *words], getattr(car, name), X, DELTA, EPS, out=out)


@steps
@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_out_is_unchanged_after_an_error(name, p):
    out, bad = np.full((3, 4), 7, np.float32), replaced(X, ((2, 3), 1.5))
    with pytest.raises(ValueError, match=r"\bx\b"):
        getattr(car, name)(bad, DELTA, EPS, p=p, out=out)
    assert np.all(out == 7)


@steps
@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_nothing_is_allocated_over_x_after_an_error(name, p):
    bad = replaced(X, ((2, 3), 1.5))
    before = bad.copy()
    with pytest.raises(ValueError, match=r"\bx\b"):
        getattr(car, name)(bad, DELTA, EPS, p=p, out=bad)
    np.testing.assert_array_equal(bad, before)


@derivatives
def test_derivatives(name):
    function, second = getattr(car, name), SECOND[name.partition("_")[0]]
    further = (np.ones((3, 5)),)
    tangent = "grad_out" if name.endswith("vjp") else "tangent_x"
    check_refused(ValueError, [rf"\b{tangent}\b", r"\(3, ?5\)"], function, X, DELTA, EPS, *further)
    wrong = np.full((3, 4), 1j)
    check_refused(TypeError, [rf"\b{tangent}\b", "complex"], function, X, DELTA, EPS, wrong)
    check_refused(TypeError, [rf"\b{second}\b", "complex"], function, X, wrong, EPS, X)
    check_refused(ValueError, [r"\beps\b", "-1"], function, X, DELTA, -1, X)
    order = 0.5 if name.startswith("maximize") else 3
    check_refused(ValueError, [r"\bp\b"], function, X, DELTA, EPS, X, p=order)
    if name.endswith("jvp"):
        for tangent in (f"tangent_{second}", "tangent_eps"):
            words = [rf"\b{tangent}\b", "complex"]
            check_refused(TypeError, words, function, X, DELTA, EPS, **{tangent: wrong})


@names
@pytest.mark.parametrize("place", range(4))
def test_arrays_of_another_library(name, place):
    arguments = [X, DELTA, EPS, 0.0]
    arguments[place] = Tensor()
    x, second, third, lower = arguments
    check_refused(TypeError, ["torch"], getattr(car, name), x, second, third, bounds=(lower, 1.0))
