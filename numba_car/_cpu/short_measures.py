"""What short rows reach and where they arrive, a tile of rows at a time; see `tile`."""

import math

import numpy as np

from numba_car._core.coordinate import arrive_in_range, room, step
from numba_car._core.double_double import two_sum
from numba_car._core.newton import in_range
from numba_car._core.norms import is_float32, largest_number, root, term
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, SATURATED
from numba_car._cpu.active_set import fits
from numba_car._cpu.maxima import bits_of, size_of_bits
from numba_car._cpu.row import element
from numba_car._cpu.tile import GROUP, LANES, load_tiles, place, save_those, tile_of, tiles_of
from numba_car._jit import kernel, loop, rows

_TOTAL, _LOST, _LARGEST, _SCALE, STATES = range(5)
_FEW = 4  # rows of a tile that take less time one by one
_HIGH, _REST, PARTS = range(3)  # what of eta float32 holds, and the rest


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
def _measure_group(tiles, i, start, stop, norm, state):
    """Add the powers of the steps of four elements of rows start to stop; store the largest step."""
    for r in range(start, stop):
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
def _measure_tile(tiles, n, start, stop, norm, state):
    """Store the sums of the powers of the steps at the scales of rows start to stop, and the largest steps."""
    for r in range(start, stop):
        state[place(_TOTAL, r)] = state[place(_LOST, r)] = state[place(_LARGEST, r)] = 0.0
    for i in range(0, n, GROUP):
        _measure_group(tiles, i, start, stop, norm, state)


@rows
def _largest_breakpoints(tiles, i, start, stop, state):
    """Store the larger of the largest breakpoint so far and that of element i, rounded up, of rows start to stop."""
    for r in range(start, stop):
        x, delta, lower, upper = element(tiles, place(i, r), np.float64)
        distance = room(x, delta, lower, upper)
        eta = distance / abs(delta) if delta != 0 else 0.0
        eta = size_of_bits(bits_of(eta) + ((eta * abs(delta) < distance) & (delta != 0)))
        state[place(_LARGEST, r)] = _larger(state[place(_LARGEST, r)], eta)


@rows
def _saturate(tiles, n, start, stop, norm, first, eps, eta, verdict, state):
    for r in range(start, stop):
        state[place(_SCALE, r)] = math.inf
    _measure_tile(tiles, n, start, stop, norm, state)
    for r in range(start, stop):
        state[place(_LARGEST, r)] = 0.0
    for i in range(n):
        _largest_breakpoints(tiles, i, start, stop, state)
    for r in range(start, stop):
        total = state[place(_TOTAL, r)] + state[place(_LOST, r)]
        found, row = state[place(_LARGEST, r)], first + r
        is_sure = in_range(total) and root(total, norm) <= eps[row] and in_range(found)
        if verdict[row] == SATURATED and is_sure:
            eta[row], verdict[row] = found, DONE


@rows
def saturate_tile(tiles, n, norm, first, count, eps, eta, verdict, state):
    """Set eta of SATURATED rows to the largest breakpoint; leave rows that are not sure to be saturated.

    The tile has the rows from `first` on; `state` has `STATES` numbers for each.
    """
    saturated = 0
    for r in range(count):
        saturated += verdict[first + r] == SATURATED
    if saturated > _FEW:
        _saturate(tiles, n, 0, count, norm, first, eps, eta, verdict, state)
    elif saturated > 0:
        for r in range(count):
            if verdict[first + r] == SATURATED:
                _saturate(tiles, n, r, r + 1, norm, first, eps, eta, verdict, state)


@kernel
def measure_short_rows(x, delta, lower, upper, n, norm, eta, reached):
    """Store the norms that a block of short rows reaches at eta; leave those whose sums need units."""
    tiles, state = tiles_of(x, delta, lower, upper, n), np.zeros(STATES * LANES)
    for first in range(0, eta.size, LANES):
        count = min(LANES, eta.size - first)
        load_tiles(x, delta, lower, upper, first, count, n, tiles)
        state[_SCALE * LANES : _SCALE * LANES + count] = eta[first : first + count]
        _measure_tile(tiles, n, 0, count, norm, state)
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
def _needs_float64(scale, in_float32, moved):
    """Return whether a scale is NaN, or not to be had from two numbers of float32."""
    is_nan = math.isnan(scale)
    if is_float32(moved.dtype.type(0)):
        return is_nan | (not (fits(scale) & in_float32))
    return is_nan


@rows
def _arrive_in_float64(tiles, n, lane, eta, largest, out):
    for i in range(n):
        x, delta, lower, upper = element(tiles, place(i, lane), np.float64)
        moved = arrive_in_range(x, delta, lower, upper, eta, largest)
        out[place(i, lane)] = eta if math.isnan(eta) else moved


@rows
def rescale_tile(tiles, n, first, count, eta, largest, part, moved):
    """Store where the rows of a tile, from `first` on, arrive; `part` has `PARTS` numbers for each."""
    dtype, is_odd = moved.dtype.type, False
    in_float32 = is_float32(dtype(0)) and largest <= largest_number(dtype(0))
    for r in range(count):
        scale = eta[first + r]
        high = dtype(scale * (1 - 2.0**-24)) if is_float32(dtype(0)) else dtype(scale)
        part[place(_HIGH, r)] = high
        part[place(_REST, r)] = dtype(scale - np.float64(high))
        is_odd |= _needs_float64(scale, in_float32, moved)
    for i in range(n):
        _arrive_element(
            tiles, i, count, part, dtype(min(largest, np.float64(largest_number(dtype(0))))), moved
        )
    for r in range(count if is_odd else 0):
        if _needs_float64(eta[first + r], in_float32, moved):
            _arrive_in_float64(tiles, n, r, eta[first + r], np.float64(largest), moved)


@kernel
def rescale_short_rows(x, delta, lower, upper, n, verdict, eta, largest, out):
    """Rescale those of a block of short rows that are not NEEDS_MORE_DIGITS; out may be x or delta."""
    tiles, moved = tiles_of(x, delta, lower, upper, n), tile_of(x, n)
    part, chosen = np.zeros(PARTS * LANES, moved.dtype), np.zeros(LANES, np.bool_)
    for first in range(0, eta.size, LANES):
        count = min(LANES, eta.size - first)
        load_tiles(x, delta, lower, upper, first, count, n, tiles)
        rescale_tile(tiles, n, first, count, eta, largest, part, moved)
        for r in range(count):
            chosen[r] = verdict[first + r] != NEEDS_MORE_DIGITS
        save_those(moved, out, first, count, n, chosen)
