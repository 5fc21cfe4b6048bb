"""Rows that have no answer, among rows that have one: NaN or inf inside, or an eps out of reach."""

import re

import numpy as np
import pytest

import numba_car as car
from tests.support.checks import METHODS
from tests.support.strategies import family_arrays

BAD = 2
"""The row of the batch that gets the bad value."""


def batch(n, dtype=np.float32):
    return family_arrays("uniform", (5, n), dtype, seed=2)


def check_only_the_bad_row_is_nan(spoiled, clean):
    spoiled, clean = np.asarray(spoiled), np.asarray(clean)
    assert spoiled.dtype == clean.dtype
    assert np.all(np.isnan(spoiled[BAD]))
    good = np.arange(len(clean)) != BAD
    assert spoiled[good].tobytes() == clean[good].tobytes()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("p", [0.5, 1, 2, 3, np.inf])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 70, 5000])
def test_nan_or_inf_in_a_row(n, value, p, method):
    x, delta = batch(n)
    options = {"p": p, "method": method}
    clean_moved = car.rescale(x, delta, 0.1, **options)
    clean = car.solve(x, delta, 0.1, **options)
    for position in {0, n // 2, n - 1}:
        for name in ("x", "delta"):
            spoiled = {"x": x.copy(), "delta": delta.copy()}
            spoiled[name][BAD, position] = value
            check_only_the_bad_row_is_nan(car.eta(**spoiled, eps=0.1, **options), clean.eta)
            check_only_the_bad_row_is_nan(car.rescale(**spoiled, eps=0.1, **options), clean_moved)
            solution = car.solve(**spoiled, eps=0.1, **options)
            for field in ("eta", "norm", "max_norm"):
                check_only_the_bad_row_is_nan(getattr(solution, field), getattr(clean, field))
            check_only_the_bad_row_is_nan(car.max_norm(**spoiled, p=p), clean.max_norm)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["x", "delta"])
def test_nan_row_whatever_else_it_holds(dtype, name, method):
    """NaN wins over every shortcut: eps of 0, a delta of 0, no bounds, saturation."""
    for delta in (1, 0):
        row = {"x": np.full((1, 9), 0.5, dtype), "delta": np.full((1, 9), delta, dtype)}
        row[name][0, 4] = np.nan
        for eps in (0.0, 0.1, 100.0):
            for bounds in ((0.0, 1.0), (None, None), (0.0, None)):
                assert np.isnan(car.eta(**row, eps=eps, bounds=bounds, method=method)).all()
                assert np.isnan(car.rescale(**row, eps=eps, bounds=bounds, method=method)).all()


def test_nan_in_a_single_row():
    x = np.array([0.5, np.nan])
    assert np.isnan(car.eta(x, np.ones(2), 0.1))
    assert np.isnan(car.rescale(x, np.ones(2), 0.1)).all()


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_nan_in_one_long_row(num_threads):
    x, delta = family_arrays("uniform", (1, 300_000), np.float32)
    delta[0, 123_456] = np.nan
    assert np.isnan(car.eta(x, delta, 1.0, num_threads=num_threads)).all()
    assert np.isnan(car.rescale(x, delta, 1.0, num_threads=num_threads)).all()


def test_nan_row_is_not_infeasible():
    x, delta = batch(70)
    delta[BAD, 3] = np.nan
    eta = car.eta(x, delta, 0.1, infeasible="raise")
    assert np.isnan(eta).tolist() == [row == BAD for row in range(5)]


X = np.full((4, 3), 0.5)
DELTA = np.ones((4, 3))
EPS = np.array([0.25, 9.0, 0.5, 7.0])
"""Each row reaches sqrt(3)/2 = 0.866: the second and the last cannot be met."""


@pytest.mark.parametrize("method", METHODS)
def test_infeasible_saturates(method):
    solution = car.solve(X, DELTA, EPS, method=method)
    assert solution.saturated.tolist() == [False, True, False, True]
    np.testing.assert_array_equal(solution.eta[[1, 3]], 0.5)
    np.testing.assert_allclose(solution.norm[[1, 3]], 0.75**0.5, rtol=1e-15)
    np.testing.assert_array_equal(car.rescale(X, DELTA, EPS, method=method)[[1, 3]], 1.0)


@pytest.mark.parametrize("method", METHODS)
def test_infeasible_nan(method):
    options = {"infeasible": "nan", "method": method}
    eta, moved = (function(X, DELTA, EPS, **options) for function in (car.eta, car.rescale))
    assert np.isnan(eta).tolist() == [False, True, False, True]
    assert np.isnan(moved).all(axis=1).tolist() == [False, True, False, True]
    solution = car.solve(X, DELTA, EPS, **options)
    np.testing.assert_array_equal(solution.eta, eta)
    np.testing.assert_array_equal(eta[::2], car.eta(X, DELTA, EPS)[::2])
    np.testing.assert_array_equal(moved[::2], car.rescale(X, DELTA, EPS)[::2])


@pytest.mark.parametrize("function", [car.eta, car.rescale, car.solve])
@pytest.mark.parametrize("method", METHODS)
def test_infeasible_raise(function, method):
    with pytest.raises(ValueError, match=r"eps") as caught:
        function(X, DELTA, EPS, infeasible="raise", method=method)
    message = str(caught.value)
    for count_index_eps_reach in (r"\b2\b", r"\b1\b", r"\b9(\.0)?\b", r"0\.866"):
        assert re.search(count_index_eps_reach, message), (count_index_eps_reach, message)
    function(X[::2], DELTA[::2], EPS[::2], infeasible="raise", method=method)


def test_infeasible_raise_names_a_row_of_two_indices():
    x, delta = np.full((2, 3, 5), 0.5), np.ones((2, 3, 5))
    eps = np.full((2, 3), 0.25)
    eps[1, 2] = 8.0
    with pytest.raises(ValueError, match=r"1, ?2"):
        car.eta(x, delta, eps, axis=2, infeasible="raise")


def test_nan_outweighs_an_x_outside():
    x, delta = batch(9)
    x[BAD, :2] = np.nan, 7.0
    assert np.isnan(car.eta(x, delta, 0.1)).tolist() == [False, False, True, False, False]


def test_what_is_known_of_rows_without_an_eta():
    x, delta = batch(9)
    eps = np.array([0.1, 0.1, 50.0, 0.1, 0.1])
    kept, solution = car.solve(x, delta, eps), car.solve(x, delta, eps, infeasible="nan")
    assert np.isnan(solution.eta).tolist() == np.isnan(solution.norm).tolist()
    assert solution.saturated.tolist() == [False, False, True, False, False]
    assert np.isnan(solution.eta).tolist() == solution.saturated.tolist()
    assert solution.max_norm.tobytes() == kept.max_norm.tobytes()
