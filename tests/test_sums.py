"""The sums over a row: which elements they take, exactly, and how much rounding adds to them."""

import math
from fractions import Fraction

import numpy as np
import pytest

from numba_car._core.constants import (
    BLOCK_CHAIN,
    BLOCK_FLOAT32,
    BLOCK_FLOAT64,
    BLOCK_POWERS,
    BLOCK_SMALL_P,
)
from numba_car._core.norms import STORED_POWERS, norm_of
from numba_car._cpu import newton, sums, terms
from numba_car._cpu.tuning import plan_of
from tests.support.jitted import jitted

LENGTHS = (0, 1, 7, 31, 32, 33, 415, 416, 417, 1023, 1024, 1025, 5000)
BLOCKS = (BLOCK_POWERS, BLOCK_FLOAT64, BLOCK_FLOAT32)
T, BEYOND = 0.75, 1.5  # few bits, so that a product with them is exact

length_of, add = jitted(sums.length_of), jitted(sums.add)
sum_steps, sum_terms = jitted(sums.sum_steps), jitted(newton.sum_terms)
validate_and_sum = jitted(newton.validate_and_sum)
fill_powers, fill_scaled = jitted(terms.fill_powers), jitted(terms.fill_scaled)
raise_row = jitted(terms.raise_row)

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
plain_powers = pytest.mark.parametrize("p", [1.0, 2.0])


def dyadic_row(n, dtype, bounds="numbers"):
    """Multiples of 1/64: with p = 1 and 2 every sum of a block is exact, in whatever order."""
    rng = np.random.default_rng(n)
    x, delta = rng.integers(0, 65, n) / 64, rng.integers(-64, 65, n) / 64
    if bounds == "numbers":
        return x.astype(dtype), delta.astype(dtype), dtype(0), dtype(1)
    limits = x - rng.integers(0, 33, n) / 64, x + rng.integers(0, 33, n) / 64
    return tuple(values.astype(dtype) for values in (x, delta, *limits))


def without_bounds(row):
    """The row between bounds that are infinite: arrays, for which nothing more is compiled."""
    x, delta, lower, upper = row
    return x, delta, np.full_like(lower, -np.inf), np.full_like(upper, np.inf)


def stored_powers(n, dtype):
    """Caps and weights as `fill_powers` keeps them, multiples of 1/64."""
    rng = np.random.default_rng(n)
    caps, weights = rng.integers(0, 65, (2, n)) / 64
    return caps.astype(dtype), weights.astype(dtype), dtype(0), dtype(np.inf)


def weights_and_caps(row, p):
    """The |delta|**p and room**p of each element of a dyadic row; float64 has all their bits."""
    x, delta, lower, upper = (np.asarray(values, float) for values in row)
    rooms = np.where(delta > 0, upper - x, x - lower)
    return np.abs(delta) ** int(p), rooms ** int(p)


def sums_of(weights, caps, t):
    """The caps that are reached at t, and the weights that are free."""
    clipped = weights * t >= caps
    return caps[clipped].sum(), weights[~clipped].sum()


def test_padded():
    for n in range(200):
        assert 0 <= sums.padded(n) - n < 32
        assert sums.padded(n) % 32 == 0


@pytest.mark.parametrize("p", [0.7, 1.0, 1.5, 2.0, 3.5])
def test_float64_block(p):
    expected = BLOCK_POWERS if p in (0.7, 1.5) else BLOCK_FLOAT64
    assert sums.float64_block(norm_of(p)) == expected
    assert jitted(sums.float64_block)(norm_of(p)) == expected


@pytest.mark.parametrize("block", [BLOCK_POWERS, BLOCK_FLOAT64, BLOCK_SMALL_P, BLOCK_FLOAT32, 2000])
def test_length_of(block):
    """Blocks cover a row; what is no whole number of lanes is added in chains that are short."""
    for n in range(1, 1200):
        left = n
        while left:
            length = length_of(left, block)
            assert 1 <= length <= min(left, block)
            assert length % 32 == 0 or length <= BLOCK_CHAIN or length == block
            left -= length


def strided(row, block, stride):
    """The elements of a row that are in a block at every stride."""
    taken = np.arange(row[0].size) % stride < block
    return tuple(values[taken] if np.ndim(values) else values for values in row)


STRIDES = [(32, 320, 3200), (120, 300, 900), (64, 4096, 4096), (416, 1000, 5000)]


@pytest.mark.parametrize("p", [0.7, 1.0, 2.0])
def test_steps(p):
    """The sum of (step/unit)**p, by float64 whatever the row's dtype."""
    rng, norm = np.random.default_rng(0), norm_of(p)
    for dtype in (np.float32, np.float64):
        for n in (0, 1, 100, 3000):
            x, delta = rng.random(n).astype(dtype), rng.standard_normal(n).astype(dtype)
            steps = np.abs(np.clip(x + 0.3 * delta.astype(float), 0, 1) - x)
            found = sum_steps((x, delta, 0.0, 1.0), norm, 0.3, 0.25, sums.float64_block(norm))
            np.testing.assert_allclose(found, math.fsum((steps / 0.25) ** p), rtol=1e-13)


@dtypes
def test_steps_take_each_element_once(dtype):
    for block in BLOCKS:
        for n in LENGTHS:
            row = dyadic_row(n, dtype, "arrays")
            x, delta, lower, upper = (values.astype(float) for values in row)
            expected = np.abs(np.clip(x + 0.5 * delta, lower, upper) - x).sum() / 0.25
            assert sum_steps(row, norm_of(1.0), 0.5, 0.25, block) == expected


@dtypes
@pytest.mark.parametrize("p", [0.7, 1.0, 2.0, 3.5])
def test_fill_powers(p, dtype):
    """Room and |delta| in their units, to the power p; no cap is infinite."""
    row, unit, largest = dyadic_row(1000, dtype, "arrays"), dtype(0.5), dtype(2)
    x, delta, lower, upper = (values.astype(float) for values in row)
    rooms = np.where(delta > 0, upper - x, x - lower)
    caps, weights = np.empty((2, 1000), dtype)
    fill_powers(row, norm_of(p), unit, largest, caps, weights)
    rtol = 8 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(caps, (rooms / 0.5) ** p, rtol=rtol)
    np.testing.assert_allclose(weights, (np.abs(delta) / 2) ** p, rtol=rtol)
    fill_powers(without_bounds(row), norm_of(p), unit, largest, caps, weights)
    assert np.all(caps == np.finfo(dtype).max)


@dtypes
@plain_powers
def test_fill_scaled(p, dtype):
    """Room and -|delta| in units that are powers of two, exactly; no room is infinite."""
    row = dyadic_row(1000, dtype, "arrays")
    x, delta, lower, upper = row
    rooms, deltas = np.empty((2, 1000), dtype)
    fill_scaled(row, norm_of(p), dtype(0.5), dtype(2), rooms, deltas)
    np.testing.assert_array_equal(rooms, np.where(delta > 0, upper - x, x - lower) / dtype(0.5))
    np.testing.assert_array_equal(deltas, -np.abs(delta) / dtype(2))
    fill_scaled(without_bounds(row), norm_of(p), dtype(0.5), dtype(2), rooms, deltas)
    assert np.all(rooms == np.finfo(dtype).max)


@dtypes
@pytest.mark.parametrize("n", [1, 32, 33, 1000])
def test_stored_powers_are_padded_with_zeros(n, dtype):
    row, scratch = dyadic_row(n, dtype), np.full((2, sums.padded(n)), np.nan, dtype)
    (caps, weights, *_), unit, largest = raise_row(row, norm_of(3.5), 0.75, 0.5, scratch)
    assert caps.size == weights.size == sums.padded(n)
    assert not caps[n:].any()
    assert not weights[n:].any()
    assert (unit, largest) == (0.75, 0.5)
    np.testing.assert_allclose(weights[:n], np.abs(row[1] / dtype(0.5)) ** 3.5, rtol=1e-5)


def test_add_keeps_what_rounding_loses():
    total, lost = 0.0, 0.0
    for value in (1.0, 1e16, 2.0**-30, -1e16, 1e-25):
        total, lost = add(total, lost, value)
    assert total + lost == 1 + 2.0**-30


def test_compensated_sums_of_a_million():
    """Jitted as a loop that no flag lets reorder, the sum is the exact one, rounded."""
    import numba

    inner = sums.add

    @numba.njit
    def total_of(values):
        total, lost = 0.0, 0.0
        for value in values:
            total, lost = inner(total, lost, value)
        return total + lost

    values = np.random.default_rng(0).standard_normal(10**6)
    assert total_of(values) == math.fsum(values)


@dtypes
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("n", [415, 5000, 10**6])
def test_rounding_does_not_grow_with_the_row(n, p, dtype):
    """Equal terms err alike within a block; `plan_of` makes blocks so short that it stays below this."""
    plan = plan_of(p, np.dtype(dtype))
    value = dtype(0.1)
    equal = np.full(n, value), np.full(n, value), dtype(0), dtype(np.inf)
    most = {BLOCK_POWERS: 1, BLOCK_FLOAT64: 3, BLOCK_FLOAT32: 5}[plan.block]
    for t, which in ((dtype(2), 0), (dtype(0.5), 1)):  # all are clipped, then none is
        found = sum_terms(equal, STORED_POWERS, 0.0, t, t, plan.block, plan.block)
        exact = n * Fraction(float(value))
        error = abs(Fraction(found[which]) - exact) / exact
        assert error <= most * Fraction(float(np.finfo(dtype).epsneg)), float(error)
        assert found[1 - which] == 0


@dtypes
@plain_powers
@pytest.mark.parametrize("bounds", ["numbers", "arrays"])
@pytest.mark.parametrize("block", BLOCKS)
def test_three_sums_take_each_element_once(block, bounds, p, dtype):
    for n in LENGTHS:
        row, target = dyadic_row(n, dtype, bounds), 0.125
        found = sum_terms(row, norm_of(p), target, dtype(T), dtype(BEYOND), block, block)
        terms = weights_and_caps(row, p)
        (clipped, free), (_, later) = sums_of(*terms, T), sums_of(*terms, BEYOND)
        assert found == (clipped - target, free, later)


@dtypes
@plain_powers
@pytest.mark.parametrize(("block", "stride", "n"), STRIDES)
def test_three_sums_of_a_block_at_every_stride(block, stride, n, p, dtype):
    row = dyadic_row(n, dtype, "arrays")
    found = sum_terms(row, norm_of(p), 0.125, dtype(T), dtype(BEYOND), block, stride)
    terms = weights_and_caps(strided(row, block, stride), p)
    (clipped, free), (_, later) = sums_of(*terms, T), sums_of(*terms, BEYOND)
    assert found == (clipped - 0.125, free, later)


@dtypes
@pytest.mark.parametrize("block", BLOCKS)
def test_three_sums_of_stored_powers(block, dtype):
    for n in LENGTHS:
        row = stored_powers(n, dtype)
        found = sum_terms(row, STORED_POWERS, 0.125, dtype(T), dtype(BEYOND), block, block)
        caps, weights, *_ = (np.asarray(values, float) for values in row)
        (clipped, free), (_, later) = sums_of(weights, caps, T), sums_of(weights, caps, BEYOND)
        assert found == (clipped - 0.125, free, later)


@dtypes
@plain_powers
@pytest.mark.parametrize("block", [BLOCK_POWERS, BLOCK_FLOAT64])
def test_sums_of_powers_that_are_taken_anew(block, p, dtype):
    """By float64, in the units that follow the row."""
    for n in LENGTHS:
        row = dyadic_row(n, dtype, "arrays")
        weights, caps = weights_and_caps(row, p)
        weights, caps = weights / 4 ** int(p), caps * 4 ** int(p)
        (clipped, free), (_, later) = sums_of(weights, caps, 12.0), sums_of(weights, caps, 24.0)
        given = (*row, 0.25, 4.0), norm_of(p)
        found = sum_terms(*given, 0.125, 12.0, 24.0, block, block)
        assert found == (clipped - 0.125, free, later)
        assert validate_and_sum(*given, 12.0) == (clipped, free, weights.sum())


@dtypes
@plain_powers
def test_three_sums_where_all_or_nothing_is_clipped(p, dtype):
    row = dyadic_row(1000, dtype)
    weights, caps = weights_and_caps(row, p)
    found = sum_terms(row, norm_of(p), 0.0, dtype(2**20), dtype(0), 128, 128)
    assert found == (caps[weights > 0].sum(), 0, weights[caps > 0].sum())


@dtypes
def test_the_excess_has_digits_below_those_of_the_sum(dtype):
    """The sum of the caps is 128 + 2**-53, which no float64 is."""
    x, delta, upper = np.zeros(256, dtype), np.ones(256, dtype), np.repeat([1, 2.0**-60], 128)
    row = x, delta, x.copy(), upper.astype(dtype)
    found = sum_terms(row, norm_of(1.0), 128.0, dtype(2), dtype(2), 128, 128)
    assert found == (2.0**-53, 0, 0)


@dtypes
@plain_powers
@pytest.mark.parametrize("bounds", ["numbers", "arrays"])
def test_the_first_pass_takes_each_element_once(bounds, p, dtype):
    for n in LENGTHS:
        row = dyadic_row(n, dtype, bounds)
        weights, caps = weights_and_caps(row, p)
        expected = (*sums_of(weights, caps, T), weights.sum())
        assert validate_and_sum(row, norm_of(p), dtype(T)) == expected


@dtypes
@plain_powers
@pytest.mark.parametrize(
    ("x", "delta", "lower", "upper"),
    [
        (np.nan, 0.5, 0, 1),
        (np.inf, 0.5, 0, np.inf),
        (-np.inf, -0.5, -np.inf, 1),
        (1.25, 0.5, 0, 1),
        (-0.25, 0.5, 0, 1),
        (0.5, np.nan, 0, 1),
        (0.5, np.inf, 0, 1),
        (0.5, -np.inf, 0, 1),
        (0.5, 0.5, np.nan, 1),
        (0.5, 0.5, 0, np.nan),
        (0.5, 0.5, 0.75, 0.25),
    ],
)
def test_the_first_pass_finds_what_is_not_finite_or_outside(x, delta, lower, upper, p, dtype):
    clean = tuple(np.full(2058, value, dtype) for value in (0.5, 0.25, 0, 1))
    assert math.isfinite(validate_and_sum(clean, norm_of(p), dtype(T))[2])
    for index in (0, 31, 32, 1024, 2047, 2057):
        row = tuple(values.copy() for values in clean)
        for values, value in zip(row, (x, delta, lower, upper), strict=True):
            values[index] = value
        assert not math.isfinite(validate_and_sum(row, norm_of(p), dtype(T))[2]), index
