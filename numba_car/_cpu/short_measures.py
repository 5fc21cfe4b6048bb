"""What short rows reach and where they arrive, a tile of rows at a time; see `tile`."""

import math

import numpy as np

from numba_car._core.coordinate import arrive_in_range, room, step
from numba_car._core.double_double import two_sum
from numba_car._core.newton import in_range
from numba_car._core.norms import is_float32, root, term
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, SATURATED
from numba_car._cpu.active_set import fits
from numba_car._cpu.maxima import bits_of, size_of_bits
from numba_car._cpu.row import element
from numba_car._cpu.tile import GROUP, LANES, load_tiles, place, save, save_row, tile_of, tiles_of
from numba_car._jit import kernel, loop, rows

_TOTAL, _LOST, _LARGEST, _SCALE, _STATES = range(5)
_HIGH, _REST, _PARTS = range(3)  # what of eta float32 holds, and the rest


@rows
def _power(tiles, at, eta, norm):
    """Return an element's step, and its power."""
    x, delta, lower, upper = element(tiles, at, np.float64)
    size = step(x, delta, lower, upper, eta)
    return size, term(size, norm)


@rows
def _larger(a, b):
    return a if a > b else b  # noqa: FURB136 - vectorises


@rows
def _measure_group(tiles, i, count, norm, state):
    """Add the powers of the steps of four elements of all rows; store the largest step."""
    for r in range(count):
        eta = state[place(_SCALE, r)]
        s0, p0 = _power(tiles, place(i, r), eta, norm)
        s1, p1 = _power(tiles, place(i + 1, r), eta, norm)
        s2, p2 = _power(tiles, place(i + 2, r), eta, norm)
        s3, p3 = _power(tiles, place(i + 3, r), eta, norm)
        largest = _larger(_larger(s0, s1), _larger(s2, s3))
        state[place(_LARGEST, r)] = _larger(state[place(_LARGEST, r)], largest)
        total, lost = two_sum(state[place(_TOTAL, r)], (p0 + p1) + (p2 + p3))
        state[place(_TOTAL, r)] = total
        state[place(_LOST, r)] += lost


@rows
def _measure_tile(tiles, n, count, norm, state):
    """Store the sums of the powers of the steps at the scales of a tile, and the largest steps."""
    for r in range(count):
        state[place(_TOTAL, r)] = state[place(_LOST, r)] = state[place(_LARGEST, r)] = 0.0
    for i in range(0, n, GROUP):
        _measure_group(tiles, i, count, norm, state)


@rows
def _largest_breakpoints(tiles, i, count, state):
    """Store the larger of the largest breakpoint so far and that of element i, rounded up, of all rows."""
    for r in range(count):
        x, delta, lower, upper = element(tiles, place(i, r), np.float64)
        distance = room(x, delta, lower, upper)
        eta = distance / abs(delta) if delta != 0 else 0.0
        eta = size_of_bits(bits_of(eta) + ((eta * abs(delta) < distance) & (delta != 0)))
        state[place(_LARGEST, r)] = _larger(state[place(_LARGEST, r)], eta)


@kernel
def saturate_short_rows(x, delta, lower, upper, n, norm, eps, eta, verdict):
    """Set eta of SATURATED rows to the largest breakpoint; leave rows that are not sure to be saturated."""
    tiles, state = tiles_of(x, delta, lower, upper, n), np.zeros(_STATES * LANES)
    for first in range(0, eta.size, LANES):
        count = min(LANES, eta.size - first)
        if not (verdict[first : first + count] == SATURATED).any():
            continue
        load_tiles(x, delta, lower, upper, first, count, n, tiles)
        state[_SCALE * LANES :] = math.inf
        _measure_tile(tiles, n, count, norm, state)
        for r in range(count):
            state[place(_LARGEST, r)] = 0.0
        for i in range(n):
            _largest_breakpoints(tiles, i, count, state)
        for r in range(count):
            total, found = (
                state[place(_TOTAL, r)] + state[place(_LOST, r)],
                state[place(_LARGEST, r)],
            )
            is_sure = in_range(total) and root(total, norm) <= eps[first + r] and in_range(found)
            if verdict[first + r] == SATURATED and is_sure:
                eta[first + r], verdict[first + r] = found, DONE


@kernel
def measure_short_rows(x, delta, lower, upper, n, norm, eta, reached):
    """Store the norms that a block of short rows reaches at eta; leave those whose sums need units."""
    tiles, state = tiles_of(x, delta, lower, upper, n), np.zeros(_STATES * LANES)
    for first in range(0, eta.size, LANES):
        count = min(LANES, eta.size - first)
        load_tiles(x, delta, lower, upper, first, count, n, tiles)
        state[_SCALE * LANES : _SCALE * LANES + count] = eta[first : first + count]
        _measure_tile(tiles, n, count, norm, state)
        for r in range(count):
            total, largest = (
                state[place(_TOTAL, r)] + state[place(_LOST, r)],
                state[place(_LARGEST, r)],
            )
            # Where nothing moves although eta is positive, products were too small for float64.
            is_sure = (largest == 0) & ((eta[first + r] == 0) | (eta[first + r] == math.inf))
            is_sure |= largest == math.inf
            size = largest if is_sure else root(total, norm)
            reached[first + r] = size if is_sure | in_range(total) else reached[first + r]


@loop
def _arrive_element(tiles, i, count, part, largest, out):
    """Store where an element of all rows arrives, for eta = high + rest."""
    for r in range(count):
        high, rest = part[place(_HIGH, r)], part[place(_REST, r)]
        x, delta, lower, upper = element(tiles, place(i, r), type(largest))
        out[place(i, r)] = arrive_in_range(x + rest * delta, delta, lower, upper, high, largest)


@rows
def _arrive_in_float64(tiles, n, lane, eta, largest, out):
    for i in range(n):
        x, delta, lower, upper = element(tiles, place(i, lane), np.float64)
        moved = arrive_in_range(x, delta, lower, upper, eta, largest)
        out[place(i, lane)] = eta if math.isnan(eta) else moved


@kernel
def rescale_short_rows(x, delta, lower, upper, n, verdict, eta, largest, out):
    """Rescale those of a block of short rows that are not NEEDS_MORE_DIGITS; out may be x or delta."""
    tiles, moved = tiles_of(x, delta, lower, upper, n), tile_of(x, n)
    part, dtype = np.zeros(_PARTS * LANES, moved.dtype), moved.dtype.type
    in_float32 = is_float32(dtype(0)) and largest <= np.finfo(dtype).max
    for first in range(0, eta.size, LANES):
        count = min(LANES, eta.size - first)
        load_tiles(x, delta, lower, upper, first, count, n, tiles)
        skipped = False
        for r in range(count):
            scale = eta[first + r]
            skipped |= verdict[first + r] == NEEDS_MORE_DIGITS
            high = dtype(scale * (1 - 2.0**-24)) if is_float32(dtype(0)) else dtype(scale)
            part[place(_HIGH, r)] = high
            part[place(_REST, r)] = dtype(scale - np.float64(high))
        for i in range(n):
            _arrive_element(tiles, i, count, part, dtype(min(largest, np.finfo(dtype).max)), moved)
        for r in range(count):
            scale = eta[first + r]
            if math.isnan(scale) or (is_float32(dtype(0)) and not (fits(scale) and in_float32)):
                _arrive_in_float64(tiles, n, r, scale, np.float64(largest), moved)
        if not skipped:
            save(moved, out, first, count, n)
            continue
        for r in range(count):
            if verdict[first + r] != NEEDS_MORE_DIGITS:
                save_row(moved, out, first, r, n)
