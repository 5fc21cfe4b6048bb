"""The largest values of a row, against fractions: a largest of rounded values is the rounded largest."""

import math

import numpy as np
import pytest

from numba_car._cpu import maxima
from tests.support import oracle
from tests.support.jitted import jitted
from tests.support.strategies import FAMILIES, family_arrays

LENGTHS = (0, 1, 2, 31, 33, 100)
bits_of, size_of_bits = jitted(maxima.bits_of), jitted(maxima.size_of_bits)
largest_step, max_abs = jitted(maxima.largest_step), jitted(maxima.max_abs)
largest_deltas, largest_delta = jitted(maxima.largest_deltas), jitted(maxima.largest_delta)
largest_breakpoint = jitted(maxima.largest_breakpoint)

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
families = pytest.mark.parametrize("family", sorted(FAMILIES))


def rows(family, dtype):
    """Rows of every length, within bounds of each kind: numbers, infinities, arrays."""
    for n in LENGTHS:
        x, delta = family_arrays(family, (n,), dtype, seed=n)
        rng = np.random.default_rng(n)
        x = np.clip(x, 0, 1)
        yield x, delta, 0.0, 1.0
        yield x, delta, 0.0, math.inf
        lower, upper = (x + sign * rng.choice([0, 0.25, 1, np.inf], n) for sign in (-1, 1))
        yield x, delta, lower.astype(dtype), upper.astype(dtype)


def rooms_of(row):
    """What is exactly left to the bound that each delta points to, rounded to float64."""
    x, delta, lower, upper = row
    lower, upper = (np.broadcast_to(bound, x.shape) for bound in (lower, upper))
    bounds = np.where(delta > 0, upper, lower)
    return [
        float(abs(oracle.exact(bound) - oracle.exact(value))) if np.isfinite(bound) else math.inf
        for bound, value in zip(bounds, x, strict=True)
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_order_as_the_sizes_do(dtype):
    info = np.finfo(dtype)
    sizes = np.array(
        [0, info.smallest_subnormal, info.tiny, 0.5, 1 - info.epsneg, 1, 1.5, info.max, np.inf]
    ).astype(dtype)
    bits = [bits_of(size) for size in sizes]
    assert bits == sorted(set(bits))
    assert bits[0] == 0
    for size, pattern in zip(sizes, sizes.view(f"i{info.bits // 8}"), strict=True):
        found = size_of_bits(pattern)
        assert (type(found), found) == (float, size)


@dtypes
@families
def test_largest_step(family, dtype):
    for row in rows(family, dtype):
        _, delta, *_ = row
        rooms = rooms_of(row)
        for eta in (0.0, 1e-3, 0.4, 1.0, 1e4):
            reaches = [float(oracle.exact(eta) * abs(oracle.exact(d))) for d in delta]
            assert largest_step(row, eta) == max(map(min, reaches, rooms), default=0.0)
        moving = [room for room, d in zip(rooms, delta, strict=True) if d != 0]
        assert largest_step(row, math.inf) == max(moving, default=0.0)


@dtypes
@families
def test_max_abs(family, dtype):
    for _, delta, *_ in rows(family, dtype):
        assert max_abs(delta) == np.abs(delta).max(initial=0)


@dtypes
def test_max_abs_looks_at_every_element(dtype):
    for index in range(100):
        delta = np.full(100, 0.5, dtype)
        delta[index] = -0.75
        assert max_abs(delta) == 0.75
        delta[index] = -np.inf
        assert max_abs(delta) == np.inf


def check_largest_deltas(row, rooms, least_room):
    _, delta, *_ = row
    enough = np.array(rooms) >= least_room
    expected = np.abs(delta).max(where=enough, initial=0)
    assert largest_deltas(row, least_room) == (expected, np.abs(delta).max(initial=0))
    assert largest_delta(row, least_room) == expected


@dtypes
@families
def test_largest_deltas(family, dtype):
    """For any least room, also within the rounding of some element's, and where float32 has no such."""
    for row in rows(family, dtype):
        rooms = rooms_of(row)
        for least in (0.0, 1e-40, 2.0**-101, 0.1, 0.5, 1.0, 3.0, 1e31, math.inf):
            check_largest_deltas(row, rooms, least)
        for room in sorted(room for room in rooms if math.isfinite(room))[::7]:
            nearly = (room * (1 + sign * 2.0**-k) for sign in (-1, 1) for k in (22, 24, 40, 52))
            for least in (room, *nearly):
                check_largest_deltas(row, rooms, least)


def test_largest_deltas_where_float32_rounds_the_room():
    """The largest delta's room lacks of the least what only float64 shows, once, and has it, once."""
    for short, deltas in ((2.0**-30, (0.5, 1.0)), (-(2.0**-30), (1.0, 1.0))):
        x = np.array([0.25, 0.25], np.float32)
        delta, upper = np.array([[0.5, 1.0], [1.25, 1.0]], np.float32)
        row = x, delta, np.full(2, -1, np.float32), upper
        assert largest_deltas(row, 0.75 + short) == deltas


@dtypes
@pytest.mark.parametrize(
    ("x", "delta", "lower", "upper"),
    [
        (np.nan, 0.5, 0, 1),
        (np.inf, 0.5, 0, np.inf),
        (-np.inf, 0.5, -np.inf, 1),
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
def test_largest_deltas_of_what_is_not_finite_or_outside(x, delta, lower, upper, dtype):
    for index in (0, 15, 31, 32, 99):
        row = tuple(np.full(100, value, dtype) for value in (0.5, 0.25, 0, 1))
        for values, value in zip(row, (x, delta, lower, upper), strict=True):
            values[index] = value
        assert not np.isfinite(largest_deltas(row, 0.1)[1]), index


@dtypes
@families
def test_largest_breakpoint(family, dtype):
    """The least float64 from which on no element moves, or the one after where its product rounds up."""
    for row in rows(family, dtype):
        _, delta, *_ = row
        speeds, rooms = np.abs(delta, dtype=float), np.array(rooms_of(row))
        moving = speeds > 0
        found = largest_breakpoint(row)
        with np.errstate(over="ignore"):
            quotients = rooms[moving] / speeds[moving]
            assert found >= quotients.max(initial=0)
            assert found <= np.nextafter(quotients.max(initial=0), np.inf)
            assert np.all(found * speeds[moving] >= rooms[moving])
