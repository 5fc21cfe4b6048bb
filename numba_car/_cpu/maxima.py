"""The largest values of a row.

Sizes are compared as bit patterns, which order as non-negative floats do: LLVM vectorises a largest
integer; a largest float stays scalar, 2 to 3 times slower, since numba marks no select as nnan.
"""

import math

import numpy as np
from numba import types

from numba_car._core.coordinate import is_inside, room, step
from numba_car._core.norms import is_float32, largest_number
from numba_car._cpu.row import element, parts_of
from numba_car._jit import checking_loop, loop, overload, rows

_SMALLEST_ROOM = 2.0**-100  # and its inverse: rounding to float32 is relative in between
_SURELY_LESS = 1 - 2.0**-20  # times another ratio: more than what float32 ratios are off by
_BLOCK = 128  # elements whose largest breakpoint is found at once


def bits_of(size):
    """Return the bit pattern of a float as an integer."""
    return size.view(np.int32) if isinstance(size, np.float32) else np.float64(size).view(np.int64)


@overload(bits_of)
def _bits_of(size):
    if size == types.float32:
        return lambda size: np.float32(size).view(np.int32)
    return lambda size: np.float64(size).view(np.int64)


def size_of_bits(bits):
    """Return the float64 that a bit pattern stands for."""
    if isinstance(bits, np.int32):
        return np.float64(bits.view(np.float32))
    return np.int64(bits).view(np.float64)


@overload(size_of_bits)
def _size_of_bits(bits):
    if bits == types.int32:
        return lambda bits: np.float64(np.int32(bits).view(np.float32))
    return lambda bits: np.int64(bits).view(np.float64)


@loop
def largest_step(row, eta):
    """Return max min(eta*|delta|, room): the norm reached for p = inf, and with eta = inf its R."""
    largest = np.int64(0)
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        largest = max(largest, bits_of(step(x, delta, lower, upper, eta)))
    return size_of_bits(largest)


@loop
def max_abs(delta):
    """Return max |delta|."""
    largest = bits_of(delta.dtype.type(0))
    for i in range(delta.size):
        largest = max(largest, bits_of(abs(delta[i])))
    return size_of_bits(largest)


@checking_loop
def _largest_deltas(row, least_room, sure_room):
    """Return max |delta| over coordinates with at least `least_room`, with at least `sure_room`, and over all.

    The maximum over all is infinite or NaN if x is not finite and inside its bounds, or delta is not finite.
    """
    dtype = type(least_room)
    nothing, most, infinite = dtype(0), largest_number(dtype(0)), dtype(math.inf)
    largest = sure = any_room = bits_of(nothing)
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, dtype)
        distance, abs_delta = room(x, delta, lower, upper), abs(delta)
        largest = max(largest, bits_of(abs_delta if distance >= least_room else nothing))
        sure = max(sure, bits_of(abs_delta if distance >= sure_room else nothing))
        any_room = max(
            any_room, bits_of(abs_delta if is_inside(x, lower, upper, most) else infinite)
        )
    return size_of_bits(largest), size_of_bits(sure), size_of_bits(any_room)


@rows
def largest_deltas(row, least_room):
    """Return max |delta| over the coordinates with at least that much room, and over all: see `_largest_deltas`."""
    like = row[0].dtype.type(0)
    if is_float32(like) and _SMALLEST_ROOM < least_room < 1 / _SMALLEST_ROOM:
        # The room of a coordinate is rounded there.
        less, more = least_room * (1 - 2.0**-22), least_room * (1 + 2.0**-22)
        largest, sure, any_room = _largest_deltas(row, type(like)(less), type(like)(more))
        if largest == sure:
            return largest, any_room
    largest, _, any_room = _largest_deltas(row, least_room, least_room)
    return largest, any_room


@rows
def largest_delta(row, least_room):
    """Return max |delta| over the coordinates with at least that much room."""
    return largest_deltas(row, least_room)[0]


@loop
def _largest_breakpoint(row):
    largest = np.int64(0)
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        distance = room(x, delta, lower, upper)
        eta = distance / abs(delta) if delta != 0 else 0.0
        largest = max(largest, bits_of(eta) + (eta * abs(delta) < distance and delta != 0))
    return size_of_bits(largest)


@loop
def _largest_ratio(row):
    """Return max room/|delta| in the dtype of the row, in half the time in float32."""
    dtype = row[0].dtype.type
    largest = bits_of(dtype(0))
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, dtype)
        ratio = room(x, delta, lower, upper) / abs(delta)
        largest = max(largest, bits_of(ratio if delta != 0 else dtype(0)))
    return size_of_bits(largest)


@rows
def largest_breakpoint(row):
    """Return max room/|delta|, rounded up so that eta*|delta| >= room holds everywhere."""
    if not is_float32(row[0].dtype.type(0)):
        return _largest_breakpoint(row)
    largest = 0.0
    for start in range(0, row[0].size, _BLOCK):
        block = parts_of(row, start, min(start + _BLOCK, row[0].size))
        ratio = _largest_ratio(block)
        if not _SMALLEST_ROOM < ratio < largest * _SURELY_LESS:
            largest = max(largest, _largest_breakpoint(block))
    return largest
