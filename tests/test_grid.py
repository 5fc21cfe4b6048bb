"""Results on a grid against all values of the staircase."""

import math
from fractions import Fraction

import numpy as np
import pytest

from numba_car._core.norms import norm_of
from numba_car._cpu import grid
from tests.support import oracle_grid as oracle

powers = pytest.mark.parametrize("p", [1.0, 2.0, math.inf, 3.0, 0.5])
LEVELS = 255


def solve(x, delta, lower, upper, eps, p, step, eta, inside=False):
    """The rates and the results of rows."""
    count, n = x.shape
    bounds = (
        (b.astype(x.dtype).reshape(-1), n) if isinstance(b, np.ndarray) else float(b)
        for b in (lower, upper)
    )
    rows = (x.reshape(-1), n), (delta.reshape(-1), n), *bounds, n
    rate, out, scratch = np.empty(count), np.empty_like(x), np.empty((grid.SCRATCH_ROWS, n))
    eps, eta = np.full(count, eps, float), np.full(count, eta)
    grid.solve_rows(*rows, eps, norm_of(p), float(step), inside, scratch, eta, rate)
    grid.write_rows(*rows, float(step), rate, (out.reshape(-1), n))
    return rate, out


def steps_between(x, y, step):
    return [round((float(b) - float(a)) / float(step)) for a, b in zip(x, y, strict=True)]


def check(ks, delta, eps, norms, p, step, eta, dtype=np.float32):
    """The norm of the result is the best of the staircase, nearest and inside."""
    lower, upper = 0.0, float(dtype(LEVELS * step))
    x = (np.asarray(ks) * step).astype(dtype)
    wanted = eps / step
    for inside in (False, True):
        _, (y,) = solve(x[None], delta[None], lower, upper, eps, p, step, eta, inside)
        moved = steps_between(x, y, step)
        assert all(0 <= k + m <= LEVELS for k, m in zip(ks, moved, strict=True))
        assert all(m * d >= 0 for m, d in zip(moved, delta, strict=True))
        found = oracle.norm([abs(m) for m in moved], p)
        expected = oracle.best(norms, wanted, inside)
        near = abs(found - wanted), abs(expected - wanted)
        assert found == pytest.approx(expected, rel=1e-13) or near[0] == pytest.approx(near[1])
        assert np.array_equal(y, ((np.asarray(ks) + moved) * step).astype(dtype))


@powers
@pytest.mark.parametrize("step", [1.0, 1 / 255])
@pytest.mark.parametrize("kind", ["normal", "sign", "whole", "saturated"])
def test_small_rows(kind, step, p):
    rng = np.random.default_rng(11)
    for n in (1, 4, 12):
        ks = rng.integers(0, LEVELS + 1, n).tolist()
        delta = rng.normal(size=n) * step
        if kind == "sign":
            delta = np.sign(delta) * step
        elif kind == "whole":
            delta = rng.integers(-2, 3, n) * step
        elif kind == "saturated":
            ks = [LEVELS if d > 0 else 0 for d in delta[:-1]] + ks[-1:]
        step = float(np.float32(step))
        delta = delta.astype(np.float32)
        speeds = [Fraction(float(d)) / Fraction(step) for d in delta]
        moves = oracle.staircase(ks, [LEVELS] * n, speeds)
        norms = [oracle.norm(steps, p) for steps in moves]
        for eps in (0.0, 0.3, 0.5, 1.0, 2.5, 7.3, 40.0, 300.0, 2000.0):
            for eta in (0.0, 1.0, 3 * eps):
                check(ks, delta, eps * step, norms, p, step, eta)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_of_each_element(dtype):
    """Each element has a grid of its own; the last point is below an upper that is not on it."""
    lower, upper = np.array([[0, -1, 0.5, 0]]), np.array([[0.99, 1.26, 3.5, np.inf]])
    x, delta = np.array([[0.5, 0, 3, 0.25]], dtype), np.array([[1, 2, -1, 4]], dtype)
    _, out = solve(x, delta, lower, upper, 1e3, math.inf, 0.25, 3.0)
    assert out.tolist() == [[0.75, 1.25, 0.5, 1000.25]]
    _, out = solve(x, delta, lower, upper, 0.1, math.inf, 0.25, 3.0)
    assert out.tolist() == x.tolist()


def test_halves_are_rounded_to_even():
    """At the eta of the continuous problem both elements are halfway: k = 2 stays, k = 3 becomes 4."""
    x, delta = np.array([[2, 3]], np.float32), np.ones((1, 2), np.float32)
    rate, out = solve(x, delta, 0.0, 255.0, 1.0, 1.0, 1.0, 0.5)
    assert (rate.tolist(), out.tolist()) == ([0.5], [[2, 4]])


def test_integers_and_rows_of_nan():
    rng = np.random.default_rng(2)
    x, delta = rng.integers(0, 256, (2, 50)).astype(np.float32), rng.normal(size=(2, 50))
    eta = np.array([4.0, math.nan])
    rate, out = solve(x, delta.astype(np.float32), 0.0, 255.0, 30.0, 2.0, 1.0, eta)
    assert np.isnan(rate[1])
    assert np.isnan(out[1]).all()
    rows = (x[0], 50), (delta[0].astype(np.float32), 50), 0.0, 255.0, 50
    pixels = np.empty(50, np.uint8)
    grid.write_rows(*rows, 1.0, rate[:1], (pixels, 50))
    assert pixels.tolist() == out[0].tolist()


@powers
@pytest.mark.parametrize("step", [1.0, 1 / 255])
def test_long_rows_do_not_depend_on_the_start(step, p):
    """Far from the eta of the continuous problem, too, the search ends at the same result, near eps."""
    rng, n = np.random.default_rng(4), 3072
    step = float(np.float32(step))
    x = (rng.integers(0, 256, (1, n)) * step).astype(np.float32)
    upper = float(np.float32(255 * step))
    for drawn in (rng.normal(size=(1, n)), rng.choice([-1.0, 1.0], (1, n))):
        delta = drawn.astype(np.float32)
        eps = step * (7.3 if p == math.inf else 20.0 * n ** (1 / p))
        results = [
            solve(x, delta, 0.0, upper, eps, p, step, eta)[1]
            for eta in (0.0, 1e-30, 20 * step, 25 * step, 1e30)
        ]
        for result in results:
            assert np.array_equal(result, results[0])
        moved = np.abs((results[0] - x).astype(float))
        reached = moved.max() if p == math.inf else (moved**p).sum() ** (1 / p)
        assert reached == pytest.approx(eps, rel=0.2)
