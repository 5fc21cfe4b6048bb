"""Leading axes of eps, and of the eta of `norm`, that the rows do not have: one solve each, with the bits of single calls."""

import math

import numpy as np
import pytest

import numba_car as car
from tests.support.steps import batch, second

POWERS = (1, 2, 3, math.inf)
powers = pytest.mark.parametrize("p", POWERS)

X, DELTA = batch((4, 30))
LEVELS = np.array([0.0, 0.3, 0.7, 1.1, 1e9])  # one more than there are rows
BY_ROW = np.linspace(0.1, 1, 12).reshape(3, 4)


def along(name):
    """The function of that name, of x, DELTA as its direction, and a sweep."""
    return lambda x, eps, **options: getattr(car, name)(x, second(name, x, DELTA), eps, **options)


NAMES = ("eta", "rescale", "solve", "norm", "project", "maximize")
names = pytest.mark.parametrize("name", NAMES)


def parts(found):
    return found if isinstance(found, tuple) else (found,)


def check(name, eps, shape, p, **options):
    """Each entry of the sweep, whose axes are `shape`, is what its call by itself gives."""
    if name == "project" and p == 3:
        return
    found = parts(along(name)(X, eps, p=p, **options))
    for place in np.ndindex(shape):
        alone = parts(along(name)(X, eps[place], p=p, **options))
        for many, one in zip(found, alone, strict=True):
            assert many.shape == (*shape, *np.shape(one))
            assert many.dtype == one.dtype
            assert many[place].tobytes() == np.asarray(one).tobytes(), place


@names
@powers
def test_levels_and_levels_by_row(name, p):
    check(name, LEVELS[:, None], (5,), p)
    check(name, BY_ROW, (3,), p)
    check(name, BY_ROW.reshape(3, 1, 4), (3, 1), p)
    check(name, np.broadcast_to(LEVELS[:, None, None], (5, 2, 4)), (5, 2), p)
    check(name, BY_ROW[..., None], (3,), p)  # with the axis of a row
    check(name, LEVELS[:, None], (5,), p, num_threads=2)


@names
def test_options(name):
    if name not in ("norm", "project", "maximize"):
        check(name, BY_ROW, (3,), 2, method="sort")
        check(name, LEVELS[:, None], (5,), 2, infeasible="nan")
    if name in ("eta", "solve", "norm"):
        check(name, BY_ROW[..., None], (3,), 2, keepdims=True)
    if name in ("rescale", "project", "maximize"):
        check(name, BY_ROW, (3,), 2, side="inside")
    bounds = np.zeros(30), np.linspace(1, 2, 30) * np.ones((4, 1))
    check(name, BY_ROW, (3,), 2, bounds=bounds)


@names
def test_axes(name):
    x, other = X.T, second(name, X, DELTA).T
    found = getattr(car, name)(x, other, BY_ROW, axis=0)
    expected = along(name)(X, BY_ROW)
    for one, wanted in zip(parts(found), parts(expected), strict=True):
        turned = np.swapaxes(one, -1, -2) if one.shape[1:] == x.shape else one
        np.testing.assert_array_equal(turned, wanted)


@names
def test_one_row(name):
    """A single row has no axis of its own in eps."""
    call = lambda eps: parts(getattr(car, name)(X[0], second(name, X, DELTA)[0], eps))
    for found, *alone in zip(call(LEVELS), *map(call, LEVELS), strict=True):
        np.testing.assert_array_equal(found, np.stack(alone))


@names
def test_one_axis_of_length_one_is_no_sweep(name):
    """A sweep has axes that the rows do not have; what broadcasts to the rows is one level for each of them."""
    number, column = (parts(along(name)(X, eps)) for eps in (0.3, np.full((4, 1), 0.3)))
    for one, other in zip(number, column, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@names
def test_shapes_that_fit_nothing(name):
    value = "eta" if name == "norm" else "eps"
    for shape in ((3,), (3, 3), (3, 2, 4, 2), (2, 4, 30)):
        with pytest.raises(ValueError, match=rf"\b{value}\b.*{shape[-1]}.*does not broadcast"):
            along(name)(X, np.full(shape, 0.3))


def test_empty_sweeps():
    for name in NAMES:
        for found in parts(along(name)(X, np.zeros((0, 4)))):
            assert found.shape[:2] in ((0, 4),)
    assert car.rescale(X, DELTA, np.zeros((2, 0, 1))).shape == (2, 0, 4, 30)


def test_a_bad_row_and_wrong_levels():
    delta = DELTA.copy()
    delta[1, 3] = np.nan
    eta = car.eta(X, delta, BY_ROW)
    assert np.isnan(eta[:, 1]).all()
    assert np.isfinite(np.delete(eta, 1, 1)).all()
    with pytest.raises(ValueError, match=r"eps.*-1.*1, 2"):
        car.eta(X, DELTA, np.where(np.arange(12).reshape(3, 4) == 6, -1, 0.5))
    with pytest.raises(ValueError, match=r"eta.*negative.*1, 2"):
        car.norm(X, DELTA, np.where(np.arange(12).reshape(3, 4) == 6, -1, 0.5))
    with pytest.raises(ValueError, match=r"4 of 20 rows.*\(4, 0\)"):
        car.eta(X, DELTA, np.repeat(LEVELS[:, None], 4, 1), infeasible="raise")
    with pytest.raises(ValueError, match=r"\bout\b.*\(3, 4, 30\)"):
        car.rescale(X, DELTA, BY_ROW, out=np.empty_like(X))


def test_out():
    out = np.empty((3, *X.shape))
    for name in ("rescale", "project", "maximize"):
        assert along(name)(X, BY_ROW, out=out) is out
        np.testing.assert_array_equal(out, along(name)(X, BY_ROW))


@pytest.mark.parametrize("name", ["eta", "rescale", "project", "maximize"])
@powers
def test_gradients_are_sums(name, p):
    if name == "project" and p == 3:
        return
    pull, rng = getattr(car, f"{name}_vjp"), np.random.default_rng(0)
    other, bounds = second(name, X, DELTA), (np.zeros(30), np.full((4, 1), 1.25))
    g = rng.standard_normal((3, 4) if name == "eta" else (3, *X.shape))
    found = pull(X, other, BY_ROW, g, p=p, bounds=bounds)
    alone = [pull(X, other, BY_ROW[i], g[i], p=p, bounds=bounds) for i in range(3)]
    for part, *each in zip(found, *alone, strict=True):
        if np.shape(part) == BY_ROW.shape:
            np.testing.assert_allclose(part, np.stack(each), rtol=1e-13)
        else:
            assert np.shape(part) == np.shape(each[0])
            np.testing.assert_allclose(part, sum(each), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["eta", "rescale", "project", "maximize"])
def test_tangents(name):
    push, rng = getattr(car, f"{name}_jvp"), np.random.default_rng(0)
    other = second(name, X, DELTA)
    tangents = rng.standard_normal(X.shape), rng.standard_normal(X.shape)
    of_eps = rng.standard_normal(BY_ROW.shape)
    found = push(X, other, BY_ROW, *tangents, of_eps)
    for i in range(3):
        np.testing.assert_array_equal(found[i], push(X, other, BY_ROW[i], *tangents, of_eps[i]))


@powers
def test_norm_is_what_eta_reaches(p):
    eta = car.eta(X, DELTA, BY_ROW, p=p)
    reach = np.minimum(BY_ROW, car.max_norm(X, DELTA, p=p))
    np.testing.assert_allclose(car.norm(X, DELTA, eta, p=p), reach, rtol=1e-14)
    np.testing.assert_array_equal(car.norm(X, DELTA, np.inf, p=p), car.max_norm(X, DELTA, p=p))
    np.testing.assert_array_equal(car.norm(X, DELTA, 0.0, p=p), np.zeros(4))
    assert np.isnan(car.norm(X, DELTA, np.nan, p=p)).all()
    single = car.solve(X, DELTA, BY_ROW[1], p=p)
    np.testing.assert_array_equal(car.norm(X, DELTA, single.eta, p=p), single.norm)
