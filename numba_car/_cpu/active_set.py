"""Sums over the free coordinates of a row, from which its derivatives follow, and the coordinate that decides alone.

With g the gradient of clip(x + eta*delta) and h that of eta, the gradient of eta in all is
pull = h + sum_free g_i delta_i. Sums are taken in the dtype of eta: float32 rows try float32 first.
"""

import math

import numpy as np

from numba_car._core.constants import BLOCK_FLOAT32, BLOCK_FLOAT64, LARGEST
from numba_car._core.coordinate import breakpoint_of, room
from numba_car._core.derivative import (
    hold,
    inverse_unit,
    is_free,
    move_of,
    rates,
    slowness,
    unit_at_zero,
)
from numba_car._core.norms import MAXIMUM, NORM_1, is_float32, term
from numba_car._cpu.maxima import bits_of, largest_delta, largest_step, max_abs
from numba_car._cpu.row import at, element, part, parts_of
from numba_car._cpu.sums import add
from numba_car._jit import loop, rows

_SMALLEST = np.finfo(np.float64).smallest_subnormal
_RANGE = 2.0**60
_SEARCHED = 128  # elements that are compared at once in search of the largest |delta|


@rows
def fits(value):
    """Return whether float32 holds a value, its inverse, and its product with another such value."""
    return value == 0 or 1 / _RANGE < abs(value) < _RANGE


@rows
def held(row, eps, eta):
    """Return an eta whose products with |delta| float64 holds, which matters for eps near the largest float64."""
    return hold(eta, largest_delta(row, LARGEST) if eps > LARGEST / 2 else 0.0)


@rows
def arrived_at(eta):
    """Return eta, in float32 raised past the breakpoints that rounding makes equal to it."""
    return eta * type(eta)(1 + 2.0**-22) if is_float32(eta) else eta


@loop
def _gather_block(row, g, norm, eta, inverse):
    """Return the sums of (eta*|delta|*inverse)**p, without eta where it is 0, and of g*delta over the free."""
    dtype = type(eta)
    share, pull, arrived = dtype(0), dtype(0), arrived_at(eta)
    scale = eta if eta > 0 else dtype(1)
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, dtype)
        free = is_free(x, delta, lower, upper, arrived)
        share += dtype(term(move_of(delta, scale, inverse), norm)) if free else dtype(0)
        pull += dtype(at(g, i)) * delta if free else dtype(0)
    return share, pull


@rows
def block_of(like):
    """Return how many elements are summed without compensation in the dtype of `like`."""
    return BLOCK_FLOAT32 if is_float32(like) else BLOCK_FLOAT64


@rows
def _gather(row, g, norm, eta, inverse):
    """Return the two sums of `_gather_block` over a row."""
    share, share_lost, pull, pull_lost = 0.0, 0.0, 0.0, 0.0
    block = block_of(eta)
    for start in range(0, row[0].size, block):
        stop = min(start + block, row[0].size)
        here = parts_of(row, start, stop), part(g, start, stop)
        a, b = _gather_block(here[0], here[1], norm, eta, type(eta)(inverse))
        share, share_lost = add(share, share_lost, np.float64(a))
        pull, pull_lost = add(pull, pull_lost, np.float64(b))
    return share + share_lost, pull + pull_lost


@loop
def _largest_breakpoint(row):
    """Return the bits of the largest breakpoint of a block, -1 if nothing moves."""
    largest = np.int64(-1)
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        # Of a coordinate that never moves the breakpoint is -1, whose bits are less than -1 as an integer.
        largest = max(largest, bits_of(breakpoint_of(x, delta, lower, upper)))
    return largest


@rows
def _last_to_clip(row):
    """Return the coordinate with the largest breakpoint, the first of equals; -1 if none moves."""
    first, largest, n = 0, np.int64(-1), row[0].size
    for start in range(0, n, _SEARCHED):
        here = _largest_breakpoint(parts_of(row, start, min(start + _SEARCHED, n)))
        if here > largest:
            first, largest = start, here
    for i in range(first, min(first + _SEARCHED, n)):
        if largest >= 0 and _largest_breakpoint(parts_of(row, i, i + 1)) == largest:
            return i
    return -1


@rows
def _first_largest_with_room(row, least):
    """Return the first coordinate with the largest |delta| of those with at least that much room; -1 for none."""
    least = max(least, _SMALLEST)
    max_abs_delta = largest_delta(row, least)
    if max_abs_delta > 0:
        for start in range(0, row[0].size, _SEARCHED):
            stop = min(start + _SEARCHED, row[0].size)
            if max_abs(row[1][start:stop]) >= max_abs_delta:  # much faster than one after the other
                for i in range(start, stop):
                    x, delta, lower, upper = element(row, i, np.float64)
                    if abs(delta) == max_abs_delta and room(x, delta, lower, upper) >= least:
                        return i
    return -1


@rows
def _decide(row, eps):
    """Return the coordinate that decides for p = inf, or -1, and whether the row is saturated."""
    decider = _first_largest_with_room(row, eps)
    if decider >= 0 and eps > 0:
        return decider, False
    return _first_largest_with_room(row, min(eps, largest_step(row, math.inf))), eps > 0


@rows
def analyse(row, g, norm, eps, eta):
    """Return share, sum_free g*delta, rate, d eta / d eps, the coordinate that decides alone, and saturation.

    The coordinate is -1 where none decides alone.
    """
    if len(norm) == MAXIMUM:
        decider, saturated = _decide(row, eps)
        share, pull = _gather(row, g, NORM_1, eta, 1.0)
        if decider < 0 or saturated:
            return share, pull, 0.0, 0.0, decider, True
        by_eps = slowness(abs(np.float64(row[1][decider])), 1.0, NORM_1)
        return share, pull, 0.0, by_eps, decider, False
    if eta == 0:
        # eta = eps / ||delta|| there, over all that has room; nothing else moves eta away from 0.
        # It may also be an eta that float64 does not hold.
        first = _first_largest_with_room(row, 0.0)
        unit = unit_at_zero(abs(np.float64(row[1][first])) if first >= 0 else 1.0)
        share, pull = _gather(row, g, norm, eta, 1.0 / unit)
        by_eps = slowness(unit, share, norm) if first >= 0 else 0.0
        return share, pull, 0.0, by_eps, -1, False
    share, pull = _gather(row, g, norm, eta, inverse_unit(eps, 1.0))
    if share == 0:
        # In float32 the sum may have underflowed: the caller asks again, in float64.
        last = -1 if is_float32(eta) else _last_to_clip(row)
        return share, pull, 0.0, 0.0, last, True
    rate, by_eps = rates(share, norm, eps, eta)
    return share, pull, rate, by_eps, -1, False
