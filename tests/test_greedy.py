"""Best ascent for p = 1 against the exact greedy choice and a solver of linear programs."""

import math
from fractions import Fraction

import numpy as np
import pytest

from numba_car._core.verdicts import DONE, NOT_FINITE, OUTSIDE, PENDING
from numba_car._cpu import greedy, greedy_results, validate
from tests.support import oracle_maximize as oracle
from tests.support.strategies import FAMILIES, family_arrays

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
families = pytest.mark.parametrize("family", sorted(FAMILIES))
SLACK, LARGEST = 2.0**-21, {np.float32: 3.4028234663852886e38, np.float64: 1.7976931348623157e308}


def batch(values, dtype):
    return (np.ascontiguousarray(values, dtype).reshape(-1), np.shape(values)[-1])


def given(x, g, lower, upper):
    """The first arguments of kernels for rows of x; bounds are numbers or arrays."""
    dtype = x.dtype
    bounds = (batch(b, dtype) if np.ndim(b) else float(b) for b in (lower, upper))
    return batch(x, dtype), batch(g, dtype), *bounds, x.shape[-1]


def select(x, g, lower, upper, eps):
    """The pivots, the rests and the verdicts, as the stages of a pipeline find them."""
    count, rows = len(x), given(x, g, lower, upper)
    eps, scratch = np.full(count, eps, float), greedy.scratch_for(x.shape[-1])
    pivot, rest, verdict = np.zeros(count, np.int64), np.zeros(count), np.zeros(count, np.int64)
    for validated in (False, True):
        answer = pivot, rest, verdict
        if greedy.select_rows(*rows, eps, scratch, validated, *answer):
            break
        validate.validate_rows(*rows, SLACK, np.zeros(count), verdict)
    return pivot, rest, verdict


def write(x, g, lower, upper, pivot, rest):
    out, largest = np.empty_like(x), LARGEST[x.dtype.type]
    rows = given(x, g, lower, upper)
    greedy_results.write_rows(*rows, pivot, rest, largest, (out.reshape(-1), x.shape[-1]))
    return out


def moves_of(x, g, lower, upper, pivot, rest):
    """The exact |y - x| before y is rounded."""
    limits = oracle.rooms(x, g, lower, upper)
    if pivot < 0:
        return limits
    size = abs(g[pivot])
    chosen = (abs(g) > size) | ((abs(g) == size) & (np.arange(x.size) < pivot))
    moves = [limit if c else Fraction(0) for limit, c in zip(limits, chosen, strict=True)]
    moves[pivot] = oracle.exact(rest)
    return moves


def check_written(x, g, lower, upper, pivot, rest, moves):
    """Y is at its bound, at x, or for the pivot x + sign(g)*rest, rounded, and never beyond a bound."""
    (y,) = write(x[None], g[None], lower, upper, np.array([pivot]), np.array([rest]))
    low, high = (np.broadcast_to(bound, x.shape) for bound in (lower, upper))
    assert np.all((low <= y) & (y <= high))
    for i, move in enumerate(moves):
        if i == pivot:
            ends = (max(-LARGEST[x.dtype.type], low[i]), min(LARGEST[x.dtype.type], high[i]))
            aim = oracle.exact(x[i]) + (1 if g[i] > 0 else -1) * move
            aim = min(max(aim, oracle.exact(ends[0])), oracle.exact(ends[1]))
            assert abs(oracle.exact(y[i]) - aim) <= oracle.ulp(abs(aim), x.dtype)
        else:
            assert y[i] == (x[i] if move == 0 else high[i] if g[i] > 0 else low[i])


def check_row(x, g, lower, upper, eps):
    """The norm and the objective are within 4 ulps of the exact ones, and y is where they say."""
    (pivot,), (rest,), (verdict,) = select(x[None], g[None], lower, upper, eps)
    assert verdict == DONE
    expected, best_pivot, best = oracle.greedy(x, g, lower, upper, eps)
    moves = moves_of(x, g, lower, upper, pivot, rest)
    assert None not in moves
    limits = oracle.rooms(x, g, lower, upper)
    if pivot >= 0:
        assert limits[pivot] is None or rest <= limits[pivot] * (1 + Fraction(1, 2**52))
    wanted, reached = sum(expected), sum(moves)
    assert abs(reached - wanted) <= 4 * oracle.ulp(wanted, x.dtype)
    assert abs(oracle.objective(g, moves) - best) <= 4 * oracle.ulp(best, x.dtype)
    if x.dtype == np.float32:  # whose rooms are mostly exact in float64
        cut = 2 * oracle.ulp(wanted, np.float64)
        assert pivot == best_pivot or abs(reached - wanted) <= cut
    check_written(x, g, lower, upper, pivot, rest, moves)
    return pivot, rest


def targets(x, g, lower, upper):
    """Eps of every kind: 0, subnormal, partial sums and their neighbours, more than all rooms."""
    moves, _, _ = oracle.greedy(x, g, lower, upper, 1e300)
    total = float(sum(moves))
    total = total if 0 < total < 1e299 else 1.0
    some = float(sum(moves[: len(moves) // 2])) if total < 1e299 else 0.5
    near = (total, np.nextafter(total, 0), np.nextafter(total, 9e307), some, total * 2)
    return (0.0, 5e-324, 1e-3 * total, 0.1 * total, 0.5 * total, 0.9 * total, *near)


@dtypes
@families
def test_families(family, dtype):
    for n in (1, 2, 7, 65, 150):
        x, g = family_arrays(family, (n,), dtype, seed=n)
        rng = np.random.default_rng(n)
        x = np.clip(x, 0, 1)
        lower, upper = (
            (x + sign * rng.choice([0, 0.25, 1, np.inf], n)).astype(dtype) for sign in (-1, 1)
        )
        for low, high in ((0.0, math.inf if n == 7 else 1.0), (lower, upper)):
            for eps in targets(x, g, low, high):
                check_row(x, g, low, high, eps)


@dtypes
@pytest.mark.parametrize("kind", ["normal", "sign", "few sizes", "wide", "late", "one sign"])
def test_long_rows(kind, dtype):
    """The range that a sample proposes, its failure, and ties."""
    n = 3072
    rng = np.random.default_rng(n)
    x, g = rng.random(n), rng.normal(size=n)
    if kind == "sign":
        g = np.sign(g)
    elif kind == "few sizes":
        g = rng.integers(-3, 4, n) / 2
    elif kind == "wide":
        g = np.sign(g) * 10.0 ** rng.uniform(-35, 35, n)
    elif kind == "late":  # all room is where a sample does not look
        x = np.sign(g) * 0.5 + 0.5
        x[1:40] = 0.5
    elif kind == "one sign":
        g = np.full(n, 0.1)
    x, g = x.astype(dtype), g.astype(dtype)
    total = float(sum(oracle.rooms(x, g, 0.0, 1.0)))
    for share in (1e-9, 0.003, 0.7, 1.0):
        check_row(x, g, 0.0, 1.0, share * total)


@pytest.mark.parametrize("kind", ["sign", "early"])
def test_rows_too_long_to_gather(kind):
    """Neither all ties nor what a bad sample leaves are gathered at once."""
    n = greedy.MOST_SORTED + 2000
    rng = np.random.default_rng(n)
    g = np.sign(rng.normal(size=n)) if kind == "sign" else rng.normal(size=n)
    x = np.full(n, 0.5)
    x[:: n // 64 - 1 | 1] = 0 if kind == "sign" else 0.5 - 0.5 * np.sign(g[:: n // 64 - 1 | 1])
    check_row(x.astype(np.float32), g.astype(np.float32), 0.0, 1.0, 0.35 * n)


@dtypes
def test_no_sizes_beyond_the_sample(dtype):
    """Long rows of zeros but for one element, and of zeros alone."""
    x, g = np.full(3072, 0.5, dtype), np.zeros(3072, dtype)
    assert check_row(x, g, 0.0, 1.0, 0.25) == (-1, 0.0)
    g[100] = 5e-45
    assert check_row(x, g, 0.0, 1.0, 0.25) == (100, 0.25)
    assert check_row(x, g, 0.0, 1.0, 0.5) == (-1, 0.0)


@dtypes
@pytest.mark.parametrize("n", [5, 40, 100, 3000])
def test_of_equal_sizes_the_first_move_first(n, dtype):
    x, g = np.full(n, 0.5, dtype), np.where(np.arange(n) % 2, 1, -1).astype(dtype)
    g[n // 2] = 3
    order = [n // 2, *(i for i in range(n) if i != n // 2)]
    for k in (0, 1, n // 3, n - 1):
        assert check_row(x, g, 0.0, 1.0, 0.5 * k + 0.25) == (order[k], 0.25)


@dtypes
def test_extreme_values(dtype):
    """Rooms that overflow, rooms of the smallest number, eps of either kind, no bounds at all."""
    info = np.finfo(dtype)
    most, least = float(info.max), float(info.smallest_subnormal)
    x = np.array([-most, most / 2, 0, least, -most / 4, most], dtype)
    g = np.array([least, -most, 1, -2 * least, most / 8, -1e-3], dtype)
    for eps in (0.0, least, 3 * least, 1.0, most / 3, most, min(3.7 * most, 1.7e308)):
        check_row(x, g, -most, most, eps)
        check_row(x, g, -math.inf, math.inf, eps)
    x = np.arange(100, dtype=dtype) * info.smallest_subnormal
    g = np.random.default_rng(1).normal(size=100).astype(dtype)
    for eps in (0.0, least, 10 * least, 1000 * least, 1e5 * least):
        check_row(x, g, 0.0, 100 * least, eps)


@dtypes
def test_against_linear_programs(dtype):
    """The objective is that of SciPy's solver, to its tolerance."""
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(5)
    for n in (1, 2, 5, 12) * 3:
        x, g = rng.random(n).astype(dtype), rng.normal(size=n).astype(dtype)
        lower, upper = rng.uniform(-0.5, 0, n).astype(dtype), rng.uniform(1, 1.5, n).astype(dtype)
        eps = rng.uniform(0, 0.6 * n)
        (pivot,), (rest,), _ = select(x[None], g[None], lower, upper, eps)
        found = oracle.objective(g, moves_of(x, g, lower, upper, pivot, rest))
        twice = np.concatenate([g, -g]).astype(float)
        limits = np.concatenate([upper - x, x - lower]).astype(float)
        best = optimize.linprog(
            -twice, np.ones((1, 2 * n)), [eps], bounds=np.c_[np.zeros(2 * n), limits]
        )
        assert float(found) == pytest.approx(-best.fun, abs=1e-6)


@dtypes
def test_bad_rows_are_bad_alone(dtype):
    x, g = np.full((6, 70), 0.5, dtype), np.full((6, 70), 0.25, dtype)
    x[0, 3], x[1, 69], g[2, 0], g[3, 5] = math.nan, math.inf, math.nan, -math.inf
    x[4, 8] = 1.5
    pivot, rest, verdict = select(x, g, 0.0, 1.0, 0.75)
    assert verdict.tolist() == [NOT_FINITE] * 4 + [OUTSIDE, DONE]
    assert (pivot[5], rest[5]) == (1, 0.25)
    y = write(x, g, 0.0, 1.0, pivot, rest)
    assert np.isnan(y[:4]).all()
    assert np.array_equal(
        y[5], np.where(np.arange(70) == 0, 1, np.where(np.arange(70) == 1, 0.75, 0.5))
    )
    assert PENDING not in verdict


@dtypes
def test_in_place(dtype):
    rng = np.random.default_rng(3)
    x, g = rng.random((4, 100)).astype(dtype), rng.normal(size=(4, 100)).astype(dtype)
    pivot, rest, _ = select(x, g, 0.0, 1.0, 7.0)
    expected = write(x, g, 0.0, 1.0, pivot, rest)
    for place in (0, 1):
        arrays = [x.copy(), g.copy()]
        rows, out = given(*arrays, 0.0, 1.0), arrays[place]
        target = out.reshape(-1), 100
        greedy_results.write_rows(*rows, pivot, rest, LARGEST[dtype], target)
        assert np.array_equal(out, expected)


def gradients(x, g, lower, upper, u, pivot, rest):
    """Gradients of x, g, lower and upper by element, and the sums that the kernel returns by row."""
    outputs = [np.empty_like(x) for _ in range(4)]
    sums, n = np.empty((3, len(x))), x.shape[-1]
    targets = tuple((output.reshape(-1), n) for output in outputs)
    rows = given(x, g, lower, upper)
    upstream = batch(u, x.dtype)
    greedy_results.vjp_rows(*rows, upstream, pivot, rest, LARGEST[x.dtype.type], targets, sums)
    return outputs, sums


@pytest.mark.parametrize("eps", [0.4, 6.0, 1e3])
def test_derivatives(eps):
    """Gradients against differences, which are exact up to rounding: y is piecewise linear."""
    rng, n, step = np.random.default_rng(7), 40, 2.0**-20
    x, g, u = rng.uniform(0.2, 0.8, (1, n)), rng.normal(size=(1, n)), rng.normal(size=(1, n))
    lower, upper = rng.uniform(-0.2, 0, (1, n)), rng.uniform(1, 1.2, (1, n))
    g[0, :3] = 0

    def result(x, lower, upper, eps):
        pivot, rest, _ = select(x, g, lower, upper, eps)
        return write(x, g, lower, upper, pivot, rest)[0]

    pivot, rest, _ = select(x, g, lower, upper, eps)
    (of_x, of_g, of_lower, of_upper), sums = gradients(x, g, lower, upper, u, pivot, rest)
    at = [x, lower, upper]
    for place, found in enumerate((of_x, of_lower, of_upper)):
        for i in range(n):
            more, less = list(at), list(at)
            more[place], less[place] = at[place].copy(), at[place].copy()
            more[place][0, i] += step
            less[place][0, i] -= step
            slope = (result(*more, eps) - result(*less, eps)) / (2 * step)
            assert found[0, i] == pytest.approx(slope @ u[0], abs=1e-8)
    slope = (result(*at, eps + step) - result(*at, eps - step)) / (2 * step)
    expected = [slope @ u[0], of_lower.sum(), of_upper.sum()]
    np.testing.assert_allclose(sums[:, 0], expected, rtol=1e-9, atol=1e-8)
    assert not of_g.any()
    tangent_x, tangent_eps = rng.normal(size=(1, n)), np.array([0.3])
    out = np.empty_like(x)
    tangents, target = (batch(tangent_x, float), tangent_eps), (out.reshape(-1), n)
    greedy_results.jvp_rows(*given(*at[:1], g, *at[1:]), tangents, pivot, rest, target)
    assert (out @ u[0]) == pytest.approx(of_x[0] @ tangent_x[0] + 0.3 * sums[0, 0])


def test_derivatives_of_rows_that_are_not_finite():
    x, g = np.full((1, 4), 0.5), np.array([[1.0, math.nan, 1.0, 1.0]])
    pivot, rest, _ = select(x, g, 0.0, 1.0, 0.75)
    outputs, sums = gradients(x, g, 0.0, 1.0, np.ones((1, 4)), pivot, rest)
    assert np.isnan(outputs).all()
    assert np.isnan(sums).all()
