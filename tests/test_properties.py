"""What must hold between calls: order in eps, scale of delta, and the independence of rows."""

import numpy as np
import pytest
from hypothesis import given

import numba_car as car
from tests.support.checks import METHODS
from tests.support.strategies import FAMILIES, POWERS, family_arrays, rows

FLOATS = (np.float32, np.float64)


def mixed_batch(dtype, n=257):
    """Two rows of each family, and an eps of its own for each, some out of reach."""
    pairs = [family_arrays(family, (2, n), dtype, seed=5) for family in sorted(FAMILIES)]
    x = np.concatenate([np.clip(x, 0, 1) for x, _ in pairs])
    delta = np.concatenate([delta for _, delta in pairs])
    part = np.random.default_rng(6).uniform(0.01, 1.1, len(x))
    return x, delta, (part * car.max_norm(x, delta)).astype(dtype)


def bits(array):
    return np.asarray(array).tobytes()


def all_bits(found):
    """The bits of a result, or of each of its fields."""
    return [bits(field) for field in found] if isinstance(found, tuple) else bits(found)


@given(row=rows())
def test_auto_is_newton(row):
    """To the bit, alone and in a batch of one: whatever holds for "auto", the default, holds for "newton"."""
    options = {"p": row.p, "bounds": row.bounds}
    for x, delta in ((row.x, row.delta), (row.x[None], row.delta[None])):
        for function in (car.eta, car.rescale, car.solve):
            default = all_bits(function(x, delta, row.eps, **options))
            for method in ("auto", "newton"):
                assert all_bits(function(x, delta, row.eps, method=method, **options)) == default


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_auto_is_newton_among_rows_of_all_kinds(dtype, p):
    """Rows that are saturated or spoiled among them, and derivatives."""
    x, delta, eps = mixed_batch(dtype)
    g = np.cos(np.arange(x.size, dtype=dtype)).reshape(x.shape)
    x[3, 7], delta[8, 9] = np.nan, np.inf
    for given_eps in (eps, 0.3):
        given = x, delta, given_eps
        calls = [
            (car.eta, given),
            (car.rescale, given),
            (car.solve, given),
            (car.eta_vjp, (*given, 0.7)),
            (car.rescale_vjp, (*given, g)),
            (car.eta_jvp, (*given, g, g, 0.7)),
            (car.rescale_jvp, (*given, g, g, 0.7)),
        ]
        for function, arguments in calls:
            default = all_bits(function(*arguments, p=p))
            for method in ("auto", "newton"):
                assert all_bits(function(*arguments, p=p, method=method)) == default, function


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"subnormal"}))
def test_eta_grows_with_eps(family, p, method):
    x, delta = family_arrays(family, (60,), np.float64)
    x = np.clip(x, 0, 1)
    highest = car.max_norm(x, delta, p=p)
    eps = highest * np.linspace(0, 1.2, 61)
    eta = car.eta(np.tile(x, (61, 1)), np.tile(delta, (61, 1)), eps, p=p, method=method)
    reachable = eps < 0.999 * highest
    assert np.all(np.diff(eta[reachable]) > 0)
    assert np.all(np.diff(eta) >= 0)
    assert len(np.unique(eta[eps > 1.001 * highest])) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("family", ["uniform", "pixels", "sign_steps", "sparse", "cauchy"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_power_of_two_in_delta_divides_eta(dtype, family, p, method):
    x, delta = family_arrays(family, (6, 100), dtype)
    eps = 0.4 * car.max_norm(x, delta, p=p)
    eta = car.eta(x, delta, eps, p=p, method=method)
    for exponent in (-60, -7, 1, 50):
        scaled = car.eta(x, np.ldexp(delta, exponent), eps, p=p, method=method)
        np.testing.assert_array_equal(scaled, np.ldexp(eta, -exponent))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_row_does_not_see_the_others(dtype, p, method):
    x, delta, eps = mixed_batch(dtype)
    order = np.random.default_rng(0).permutation(len(x))
    together = car.solve(x, delta, eps, p=p, method=method)
    shuffled = car.solve(x[order], delta[order], eps[order], p=p, method=method)
    alone = [car.solve(*row, p=p, method=method) for row in zip(x, delta, eps, strict=True)]
    for name in together._fields:
        whole = getattr(together, name)
        assert bits(getattr(shuffled, name)) == bits(whole[order]), name
        assert bits([getattr(one, name) for one in alone]) == bits(whole), name


@pytest.mark.parametrize("p", [1, 2, 3, np.inf])
@pytest.mark.parametrize("dtype", FLOATS)
def test_rescaled_rows_do_not_see_the_others(dtype, p):
    x, delta, eps = mixed_batch(dtype)
    together = car.rescale(x, delta, eps, p=p)
    halves = [car.rescale(x[part], delta[part], eps[part], p=p) for part in np.s_[:9, 9:]]
    alone = [car.rescale(*row, p=p) for row in zip(x, delta, eps, strict=True)]
    assert bits(np.concatenate(halves)) == bits(together)
    assert bits(alone) == bits(together)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("p", [1, 1.5, 2, 3, np.inf])
@pytest.mark.parametrize("shape", [(1, 100_003), (3, 70_001), (1000, 97)])
def test_threads_change_no_bit(shape, p, method):
    x, delta = family_arrays("uniform", shape, np.float32)
    eps = 0.4 * car.max_norm(x, delta, p=p)
    arguments = {"p": p, "method": method}
    one = car.solve(x, delta, eps, num_threads=1, **arguments)
    moved = car.rescale(x, delta, eps, num_threads=1, **arguments)
    for num_threads in (2, 5, None):
        more = car.solve(x, delta, eps, num_threads=num_threads, **arguments)
        assert [bits(field) for field in more] == [bits(field) for field in one]
        again = car.rescale(x, delta, eps, num_threads=num_threads, **arguments)
        assert bits(again) == bits(moved)
        highest = car.max_norm(x, delta, p=p, num_threads=num_threads)
        assert bits(highest) == bits(one.max_norm)


@pytest.mark.parametrize("family", ["uniform", "cauchy"])
def test_threads_change_no_bit_of_one_long_row(family):
    x, delta = family_arrays(family, (1, 3_000_000), np.float32)
    eps = 0.4 * car.max_norm(x, delta)
    for method in METHODS:
        one, two = (car.eta(x, delta, eps, method=method, num_threads=k) for k in (1, 2))
        assert bits(one) == bits(two)
    one, two = (car.rescale(x, delta, eps, num_threads=k) for k in (1, 2))
    assert bits(one) == bits(two)
