"""The projection for p = 1: multipliers, y and derivatives of the kernels, against exact arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest

from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, NOT_FINITE, OUTSIDE
from numba_car._cpu.l1_derivatives import l1_jvp_rows, l1_vjp_rows
from numba_car._cpu.l1_projection import project_rows, solve_rows
from tests.support import oracle
from tests.support.checks_project import check_multiplier, check_y
from tests.support.oracle_project import Row

METHODS = ("newton", "sort")
DTYPES = (np.float32, np.float64)
UNIT = 2.0**60
"""What the multipliers of huge rows are short of."""


def flat(values, shape):
    """An array as kernels take it; numbers are none."""
    if np.ndim(values) == 0:
        return float(values)
    if np.shape(values) != shape:
        values = np.array(np.broadcast_to(values, shape))
    return np.ascontiguousarray(values).reshape(-1), shape[-1]


def arguments(x, z, eps, lower, upper):
    count, n = x.shape
    bounds = flat(lower, x.shape), flat(upper, x.shape)
    eps = np.array(np.broadcast_to(np.float64(eps), count))
    return flat(x, x.shape), flat(z, x.shape), *bounds, n, eps


def solve(x, z, eps, lower=0.0, upper=1.0, method="newton"):
    count = len(x)
    lam, low, verdict = np.empty(count), np.empty(count), np.zeros(count, np.int64)
    slack = 4.0 * float(np.finfo(x.dtype).eps)
    given = arguments(x, z, eps, lower, upper)
    all_done = solve_rows(*given, slack, method == "sort", lam, low, verdict)
    assert all_done == (verdict == DONE).all()
    return lam, low, verdict


def project(x, z, eps, lower=0.0, upper=1.0, method="newton"):
    """The arrays y, lam, low and verdict of a batch."""
    lam, low, verdict = solve(x, z, eps, lower, upper, method)
    out = np.full_like(x, np.nan)
    project_rows(*arguments(x, z, eps, lower, upper), verdict, lam, low, flat(out, x.shape))
    return out, lam, low, verdict


def check(x, z, eps, lower=0.0, upper=1.0, methods=METHODS):
    """Check one row by all methods, alone and as one row of three."""
    row = Row(x, z, eps, lower, upper)
    for method in methods:
        y, lam, low, verdict = project(x[None], z[None], eps, lower, upper, method)
        unit = 2**60 if verdict[0] == NEEDS_MORE_DIGITS else 1
        assert verdict[0] in (DONE, NEEDS_MORE_DIGITS)
        multiplier = (Fraction(lam[0]) + Fraction(low[0])) * unit
        assert multiplier >= 0
        check_multiplier(row, multiplier)
        check_y(row, y[0], multiplier)
    three = [np.stack([values, values * 0.5, values]) for values in (x, z)]
    lower, upper = (np.broadcast_to(bound, x.shape).astype(x.dtype) for bound in (lower, upper))
    again = project(*three, eps, lower, upper, methods[-1])[0]
    assert np.array_equal(again[[0, 2]], [y[0], y[0]])


def random_row(rng, dtype):
    """A row that is easy or hard: ties, grids, bounds without end, elements without room, tiny and huge eps."""
    n = int(rng.integers(1, 13))
    scale = 2.0 ** rng.choice([0, 0, -40, 40])
    lower, upper = (0.0, 1.0) if rng.random() < 0.4 else (-np.inf, np.inf)
    if rng.random() < 0.3:
        lower, upper = (
            -rng.random(n).astype(dtype) * scale,
            (1 + rng.random(n)).astype(dtype) * scale,
        )
    x = rng.random(n).astype(dtype) * dtype(1 if np.ndim(lower) == 0 else scale)
    spread = rng.choice([0.01, 1.0, 1.0, 30.0])
    z = (x + spread * rng.standard_normal(n)).astype(dtype)
    kind = rng.integers(8)
    if kind == 0:  # a grid, with ties
        x, z = (np.round(values * 8) / dtype(8) for values in (x, z))
        x = np.clip(x, lower, upper).astype(dtype)
    elif kind == 1:  # all equal
        x, z = np.full_like(x, x[0]), np.full_like(z, z[0])
        x = np.clip(x, lower, upper).astype(dtype)
    elif kind == 2:  # one huge element
        z[0] *= dtype(1e6)
    elif kind == 3:  # without room, or without a step
        x = np.where(rng.random(n) < 0.5, np.clip(z, lower, upper), x).astype(dtype)
    elif kind == 4:
        z = np.where(rng.random(n) < 0.5, x, z)
    elif kind == 5:  # x = 0 keeps all digits of v
        x = np.clip(np.zeros_like(x), lower, upper).astype(dtype)
    elif kind == 6:  # sizes far apart
        z = (x + 2.0 ** rng.integers(-30, 4, n) * rng.standard_normal(n)).astype(dtype)
    reach = float(Row(x, z, 0.0, lower, upper).reached(0))
    eps = reach * rng.choice([rng.random(), rng.random(), 1e-3, 1e-9, 1e-14, 0.999999, 1.0, 2.0])
    return x, z, float(dtype(eps)), lower, upper


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_rows(dtype):
    rng = np.random.default_rng(5)
    for _ in range(400):
        check(*random_row(rng, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [784, 20_000, 150_528])
def test_long_rows(dtype, n):
    rng = np.random.default_rng(n)
    x = rng.random(n, dtype=dtype)
    for z, eps in (
        ((x + rng.standard_normal(n)).astype(dtype), n / 30),
        ((x + rng.standard_cauchy(n)).astype(dtype), n / 7),
        (np.full_like(x, 0.5), n / 1000),
        ((x + rng.standard_normal(n)).astype(dtype), 1e-6),
    )[: 1 if n > 10_000 else 4]:
        check(x, z, float(dtype(eps)), methods=METHODS if n < 1000 else METHODS[:1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_hard_rows(dtype):
    """Rows that a plain Newton's method does not solve in few passes."""
    rng = np.random.default_rng(3)
    n = 600
    start = np.zeros(n, dtype)
    geometric = (0.9 ** np.arange(n)).astype(dtype)
    wide = (2.0 ** rng.uniform(-60, 60, n)).astype(dtype)
    rooms = (2.0 ** rng.uniform(-60, 60, n)).astype(dtype)
    for z, upper in (
        (geometric, np.inf),
        (wide, np.inf),
        (wide, rooms),
        (geometric, geometric / 2),
    ):
        reach = float(Row(start, z, 0.0, -rooms, upper).reached(0))
        for share in (0.9, 0.1, 1e-3, 1e-6):
            check(
                start,
                z,
                float(dtype(reach * share)),
                -rooms,
                np.broadcast_to(upper, n).astype(dtype),
            )


@pytest.mark.parametrize("exponent", [20, 60, 90])
def test_rooms_far_smaller_than_steps(exponent):
    """phi is a staircase: both breakpoints of an element are one float64."""
    rng = np.random.default_rng(exponent)
    for _ in range(20):
        x, z = np.full(5, 0.25), 2.0**exponent * rng.standard_normal(5)
        check(x, z, rng.uniform(0.1, 3), -math.inf, 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_eps_and_no_steps(dtype):
    x = np.array([[0.25, 0.5, 0.75], [0.0, 1.0, 0.5], [0.1, 0.2, 0.3]], dtype)
    z = np.array([[0.5, -3.0, 2.0], [-1.0, 2.0, 0.5], [0.1, 0.2, 0.3]], dtype)
    for method in METHODS:
        y, lam, _, _ = project(x, z, 0.0, method=method)
        assert np.array_equal(y, x)
        assert lam.tolist() == [3.5, 0.0, 0.0]
        y, lam, _, _ = project(x, z, 1.0, method=method)
        assert np.array_equal(y[1:], x[1:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_and_subnormal_values(dtype):
    info = np.finfo(dtype)
    most, least = info.max, info.smallest_subnormal
    for x, z, eps in (
        ([-most, 0.0], [most, most], float(most)),
        ([-most / 2, 0.5, least], [most, 3.0, 0.0], float(most) * 0.75),
        ([0.0, 0.0, most], [most, most, most], 1.0),
        ([-most, most, 1.0], [-most, -most, 2.0], float(most) / 3),
        ([0.0, 0.0, 0.0], [least, 2 * least, 5 * least], 4 * float(least)),
        ([0.0, 0.0], [info.tiny, 3 * info.tiny], float(info.tiny)),
        ([0.0, 1.0], [1.0, 1.0], float(least)),
        ([0.0, 1e-12], [1.0, 1.0], 1e-12),
    ):
        row = np.array(x, dtype), np.array(z, dtype), float(dtype(eps))
        check(*row, -np.inf, np.inf)
        check(*row, -most, most)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bad_rows_spoil_only_themselves(dtype):
    rng = np.random.default_rng(0)
    for n in (5, 700):
        x = rng.random((7, n)).astype(dtype)
        z = (x + rng.standard_normal((7, n))).astype(dtype)
        expected = project(x, z, n / 50)[0]
        bad_x, bad_z = x.copy(), z.copy()
        bad_x[1, n // 2], bad_z[2, 0], bad_z[3, -1], bad_x[4, 0] = np.nan, np.inf, np.nan, -np.inf
        for method in METHODS:
            y, lam, _, verdict = project(bad_x, bad_z, n / 50, method=method)
            assert verdict.tolist() == [DONE, *[NOT_FINITE] * 4, DONE, DONE]
            assert np.isnan(y[1:5]).all()
            assert np.isnan(lam[1:5]).all()
            if method == "newton":
                assert np.array_equal(y[[0, 5, 6]], expected[[0, 5, 6]])
        bad_x = x.copy()
        bad_x[3, n // 2] = 1.5
        assert solve(bad_x, z, n / 50)[2].tolist() == [DONE] * 3 + [OUTSIDE] + [DONE] * 3
        # Outside by rounding is inside.
        bad_x[3, n // 2] = np.nextafter(dtype(1), dtype(2))
        y, _, _, verdict = project(bad_x, z, n / 50)
        assert (verdict == DONE).all()
        assert y.max() <= 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_place(dtype):
    rng = np.random.default_rng(1)
    x = rng.random((5, 40)).astype(dtype)
    z = (x + rng.standard_normal((5, 40))).astype(dtype)
    expected, lam, low, verdict = project(x, z, 2.0)
    for target in (x, z):
        given = arguments(x.copy(), z.copy(), 2.0, 0.0, 1.0)
        out = given[0] if target is x else given[1]
        project_rows(*given, verdict, lam, low, out)
        assert np.array_equal(out[0].reshape(x.shape), expected)


def vjp(x, z, eps, g, lower, upper):
    """The gradients of x, z, eps, lower and upper of a batch; of bounds that are numbers, the sums by row."""
    lam, low, verdict = solve(x, z, eps, lower, upper)
    given = arguments(x, z, eps, lower, upper)
    outputs = [np.full_like(x, np.nan) for _ in range(4)]
    targets = [flat(values, x.shape) for values in outputs]
    if not isinstance(given[2], tuple):
        targets[2:] = 0.0, 0.0
    sums = np.empty((3, len(x)))
    how = flat(g, x.shape), given[5], verdict, lam, low, float(np.finfo(x.dtype).max)
    l1_vjp_rows(*given[:5], *how, tuple(targets), sums)
    bounds = outputs[2:] if isinstance(given[2], tuple) else sums[1:]
    return *outputs[:2], sums[0], *bounds


def jvp(x, z, eps, tangents, lower, upper):
    """The tangents of y and of lam of a batch."""
    lam, low, verdict = solve(x, z, eps, lower, upper)
    given = arguments(x, z, eps, lower, upper)
    out, result = np.full_like(x, np.nan), np.empty(len(x))
    by_element = tuple(flat(values, x.shape) for values in tangents[:2])
    how = (*by_element, np.float64(tangents[2])), given[5], verdict, lam, low
    l1_jvp_rows(*given[:5], *how, flat(out, x.shape), result)
    return out, result


def slope(row, g, name, index, step):
    """The exact difference quotient of sum g y in one argument, one-sided by the sign of the step."""
    changed = {key: getattr(row, key) for key in ("x", "z", "eps", "lower", "upper")}
    if name == "eps":
        changed["eps"] = oracle.exact(row.eps) + step
    else:
        values = np.array([oracle.exact(value) for value in np.broadcast_to(changed[name], len(g))])
        values[index] += step
        changed[name] = values
    before, after = row.y, Row(**changed).y
    change = sum(oracle.exact(a) * (c - b) for a, b, c in zip(g, before, after, strict=True))
    return float(change / step)


STEP = Fraction(1, 2**200)
"""Short of every breakpoint, so that difference quotients are derivatives."""


def smooth_row(rng, dtype):
    """A row without kinks, and what is upstream of it."""
    n = int(rng.integers(1, 9))
    x = rng.uniform(0.1, 0.9, n).astype(dtype)
    z = (x + 0.5 * rng.standard_normal(n)).astype(dtype)
    lower, upper = (-rng.random(n)).astype(dtype) * dtype(0.2), (1 + rng.random(n)).astype(dtype)
    eps = float(Row(x, z, 0.0, lower, upper).reached(0)) * rng.choice([rng.random(), 1.5])
    return Row(x, z, float(dtype(eps)), lower, upper), rng.standard_normal(n).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_difference_quotients(dtype):
    rng = np.random.default_rng(2)
    close = 64 * float(np.finfo(dtype).eps)
    for _ in range(60):
        row, g = smooth_row(rng, dtype)
        batch = row.x[None], row.z[None], row.eps
        by_x, by_z, by_eps, by_lower, by_upper = vjp(
            *batch, g[None], row.lower[None], row.upper[None]
        )
        gradients = {"x": by_x[0], "z": by_z[0], "lower": by_lower[0], "upper": by_upper[0]}
        for name, found in gradients.items():
            expected = [slope(row, g, name, index, STEP) for index in range(len(g))]
            np.testing.assert_allclose(found, expected, rtol=close, atol=close)
        np.testing.assert_allclose(by_eps[0], slope(row, g, "eps", 0, STEP), rtol=close, atol=close)
        tangents = [rng.standard_normal((1, len(g))).astype(dtype) for _ in range(2)]
        of_eps = rng.standard_normal(1)
        of_y, _ = jvp(*batch, (*tangents, of_eps), row.lower[None], row.upper[None])
        expected = (by_x * tangents[0] + by_z * tangents[1]).sum() + by_eps[0] * of_eps[0]
        np.testing.assert_allclose((of_y[0] * g).sum(), expected, rtol=8 * close, atol=8 * close)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_bounds_that_are_numbers_are_sums(dtype):
    rng = np.random.default_rng(4)
    x = rng.random((6, 300)).astype(dtype)
    z = (x + rng.standard_normal(x.shape)).astype(dtype)
    eps = np.array([0.0, 1.0, 10.0, 30.0, 100.0, 1e4])
    g = rng.standard_normal(x.shape).astype(dtype)
    sums = vjp(x, z, eps, g, 0.0, 1.0)
    arrays = vjp(x, z, eps, g, np.zeros_like(x), np.ones_like(x))
    for a, b in zip(sums[:3], arrays[:3], strict=True):
        assert np.array_equal(a, b)
    for a, b in zip(sums[3:], arrays[3:], strict=True):
        np.testing.assert_allclose(a, b.sum(axis=1, dtype=np.float64), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_at_kinks_are_one_sided(dtype):
    """On a grid all is exact: ties, eps = 0, and an eps that is spent by elements at their bounds."""
    rng = np.random.default_rng(6)
    for _ in range(150):
        n = int(rng.integers(1, 7))
        x, z = (rng.integers(0, 5, n).astype(dtype), rng.integers(-2, 9, n).astype(dtype))
        row = Row(x, z, float(rng.integers(0, 8)), 0.0, 4.0)
        g = rng.standard_normal(n).astype(dtype)
        found = vjp(
            x[None], z[None], row.eps, g[None], np.zeros_like(x)[None], 4 + np.zeros_like(x)[None]
        )
        assert all(np.isfinite(values).all() for values in found)
        sides = [slope(row, g, "eps", 0, STEP)]
        if row.eps > 0:
            sides.append(slope(row, g, "eps", 0, -STEP))
        errors = [abs(float(found[2][0]) - side) for side in sides]
        assert min(errors) < 1e-6, (row, found, sides)
        # Moving x, z and both bounds together moves y alike.
        np.testing.assert_allclose(found[0] + found[1] + found[3] + found[4], g[None], atol=1e-6)
        tangent = jvp(x[None], z[None], row.eps, (0 * x[None], 0 * z[None], [1.0]), 0.0, 4.0)[0]
        np.testing.assert_allclose((tangent[0] * g).sum(), found[2][0], atol=1e-5)


def test_multipliers_of_huge_rows_have_a_unit():
    x, z = np.array([[-1e308, 0.0]]), np.array([[1e308, 1e308]])
    lam, _, verdict = solve(x, z, 1e308, -math.inf, math.inf)
    assert verdict[0] == NEEDS_MORE_DIGITS
    assert lam[0] == pytest.approx(1e308 / UNIT)
    by_x, by_z, by_eps, _, _ = vjp(x, z, 1e308, np.ones_like(x), -math.inf, math.inf)
    assert (by_x.tolist(), by_z.tolist(), by_eps.tolist()) == ([[1.0, 1.0]], [[0.0, 0.0]], [1.0])
