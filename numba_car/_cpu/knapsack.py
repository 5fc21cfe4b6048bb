"""The multiplier of the projection of one row for p = 1: a bracketed Newton's method, and a sort of breakpoints.

Passes over a row in its own dtype come near the root, further ones in more digits end there: float64 for float32,
pairs of float64 for float64, and for a float32 row whose eps is tiny: `docs/derivation.md`, eq. (41) to (43). See
`numba_car._core.knapsack`.
"""

import math

import numpy as np

from numba_car._core.coordinate import is_inside, room
from numba_car._core.double_double import grid_of, on_grid
from numba_car._core.knapsack import (
    PLAIN,
    advance,
    excess,
    gap,
    has_digits,
    is_last,
    is_settled,
    is_slow,
    moved,
    secant,
    step_length,
    stepped,
)
from numba_car._core.newton import most_passes, reach_of
from numba_car._core.norms import is_float32, largest_number
from numba_car._core.verdicts import DONE, PENDING
from numba_car._cpu.maxima import bits_of, size_of_bits
from numba_car._cpu.newton import sample_of
from numba_car._cpu.row import element, parts_of
from numba_car._cpu.sums import add, length_of
from numba_car._jit import checking_loop, formula, loop, rows

_BLOCK = 1024  # elements that are summed without compensation, in pairs exactly
_SAMPLED = 512  # elements from which on a sample saves more than it costs


@formula
def read_as(lam, like):
    """Return a multiplier as a tuple of the kind and the dtype of `like`."""
    if len(like) == PLAIN:
        return (type(like[0])(lam[0]),)
    return lam


@formula
def rounded(lam, like):
    """Return a multiplier rounded to the dtype of `like`, if that is of the kind `PLAIN`."""
    if len(like) == PLAIN:
        return np.float64(type(like[0])(lam[0] + lam[1])), 0.0
    return lam


@rows
def resolution_of(like):
    """Return the relative error of |d| - lam, in units of lam."""
    if len(like) == PLAIN:
        return 2.0**-25 if is_float32(like[0]) else 2.0**-54
    return 2.0**-106


@checking_loop
def _validate_and_sum(row, lam):
    """Return the sums over a block of v, of the free coordinates, and of all |d|.

    The last is infinite or NaN if some x is not finite and inside its bounds, or some z is not finite.
    """
    dtype = type(lam[0])
    nothing, one, most = dtype(0), dtype(1), largest_number(dtype(0))
    total, free, size = nothing, nothing, nothing
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, dtype)
        over, distance = excess(x, z, lam), room(x, z - x, lower, upper)
        total += moved(over, distance)
        free += one if (over >= 0) & (over <= distance) else nothing
        size += abs(z - x) if is_inside(x, lower, upper, most) else dtype(math.inf)
    return total, free, size


@loop
def _sum_moved(row, lam, reach):
    """Return the sum of v over a block, how many coordinates are free, and how many have a breakpoint within reach.

    A coordinate at a breakpoint counts as free: the slope of phi is no larger on either side of it.
    """
    dtype = type(reach)
    nothing, one = dtype(0), dtype(1)
    total, free, close = nothing, nothing, nothing
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, dtype)
        over, distance = excess(x, z, lam), room(x, z - x, lower, upper)
        total += moved(over, distance)
        free += one if (over >= 0) & (over <= distance) else nothing
        close += one if (abs(over) <= reach) | (abs(over - distance) <= reach) else nothing
    return total, free, close


@loop
def _sum_moved_on_grid(row, lam, reach, grid):
    """Return what `_sum_moved` does, the sum of v in two parts, the first of which is exact."""
    total, rest, free, close = 0.0, 0.0, 0.0, 0.0
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, np.float64)
        over, distance = excess(x, z, lam), room(x, z - x, lower, upper)
        value = moved(over, distance)
        high = on_grid(value, grid)
        total += high
        rest += value - high
        free += 1.0 if (over >= 0) & (over <= distance) else 0.0
        close += 1.0 if (abs(over) <= reach) | (abs(over - distance) <= reach) else 0.0
    return total, rest, free, close


@rows
def validate_and_sum(row, lam):
    """Return the three sums of `_validate_and_sum` over a row, good to some 18 bits for float32."""
    total, free, size = 0.0, 0.0, 0.0
    for start in range(0, row[0].size, _BLOCK):
        stop = min(start + _BLOCK, row[0].size)
        found = _validate_and_sum(parts_of(row, start, stop), lam)
        total += np.float64(found[0])
        free += np.float64(found[1])
        size += np.float64(found[2])
    return total, free, size


@rows
def sum_moved(row, target, lam, reach, block, stride):
    """Return the three sums of `_sum_moved`, the first less the target.

    Blocks of `block` elements begin `stride` apart: all are summed if the two are equal, else a sample.
    """
    total, lost, free, close, start = -target, 0.0, 0.0, 0.0, 0
    grid = grid_of(2.0 * target)
    while start < row[0].size:
        length = length_of(row[0].size - start, block)
        here = parts_of(row, start, start + length)
        if len(lam) == PLAIN:
            found = _sum_moved(here, lam, type(lam[0])(reach))
            total, lost = add(total, lost, np.float64(found[0]))
            free += np.float64(found[1])
            close += np.float64(found[2])
        else:
            exact = _sum_moved_on_grid(here, lam, reach, grid)
            total, lost = add(total, lost + exact[1], exact[0])
            free += exact[2]
            close += exact[3]
        start += length + (stride - block)
    return total + lost, free, close


@loop
def _nearest_gap(row, lam, to_right):
    """Return the smallest `gap` of a row."""
    nearest = bits_of(math.inf)
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, np.float64)
        way = gap(excess(x, z, lam), room(x, z - x, lower, upper), to_right)
        nearest = min(nearest, bits_of(way))
    return size_of_bits(nearest)


@rows
def jump(row, lam, to_right):
    """Return the step to the nearest breakpoint that way, where no coordinate is free: phi is flat up to there."""
    return _nearest_gap(row, lam, True) if to_right else -_nearest_gap(row, lam, False)


@rows
def iterate(row, target, like, start, step, limits, block, stride):
    """Return the multiplier, the relative length of the last step, the verdict, and the bracket of the root.

    This is a bracketed Newton's method, from any start; `step` is the relative length of the step that led there,
    `like` the kind of the multiplier in passes. The slope at lam may show few of the coordinates that are free on
    the way to the root, so that steps are slow: they do not halve |phi - eps|. Then secants of the bracket follow.
    The verdict is PENDING after `most_passes(n)`. The limits are

    - the relative error of phi that a last step may leave, see `is_last`,
    - the relative error of phi at which there is no further step, and
    - the relative length of a step that is the last whatever it leaves.
    """
    lam, low, high, dtype = start, (-math.inf, 0.0), (math.inf, 0.0), row[0].dtype.type
    allowed, settled, near = limits
    resolution = row[0].size * resolution_of(like)
    before, rest_low, rest_high, length = math.inf, 0.0, 0.0, 0.0
    by_secants, jumped = False, False
    for _ in range(most_passes(row[0].size)):
        reach = reach_of(step, dtype(0)) * lam[0]
        rest, free, close = sum_moved(row, target, read_as(lam, like), reach, block, stride)
        if is_settled(rest, settled * target, lam, resolution):
            return lam, 0.0, DONE, low, high
        slow = is_slow(rest, before, jumped, free)
        before, jumped = rest, False
        other, rest_there = (high, rest_high) if rest > 0 else (low, rest_low)
        # After slow steps of Newton's method secants, after a slow secant the middle of the bracket.
        is_halved = slow and by_secants and abs(other[0]) < math.inf
        by_secants = not is_halved and (slow or by_secants)
        is_newton = free > 0 and not is_halved and not by_secants
        if is_halved:
            step = 0.0
        elif by_secants:
            step = secant(lam, other, rest, rest_there, length)
        elif is_newton:
            step = rest / free
        else:
            step, jumped = jump(row, lam, rest > 0), True
        rest_low, rest_high = (rest, rest_high) if rest > 0 else (rest_low, rest)
        following = rounded(stepped(lam, step), like)
        following, low, high, is_taken = advance(lam, low, high, rest, following, is_newton)
        following, is_newton = rounded(following, like), is_newton and is_taken
        length = step_length(lam, following)
        step = length / following[0] if following[0] > 0 else 1.0
        if length == 0 or (is_newton and length <= near * following[0]):
            return following, step, DONE, low, high
        if is_newton and is_last(length, reach, close, allowed * target):
            return following, step, DONE, low, high
        lam = following
    return lam, step, PENDING, low, high


@rows
def approach(row, eps, start, step):
    """Return a multiplier near the root and the length of the step that led there, by passes in the row's dtype."""
    like = row[0].dtype.type(0)
    limits = (2.0**-18, 2.0**-18, 2.0**-10) if is_float32(like) else (2.0**-46, 2.0**-46, 2.0**-22)
    return iterate(row, eps, (like,), start, step, limits, _BLOCK, _BLOCK)[:2]


@rows
def solve_sample(row, eps):
    """Return the multiplier of a sample of the row, good to a few bits; 0 for a short row."""
    n, like = row[0].size, row[0].dtype.type(0)
    if n < _SAMPLED:
        return 0.0
    blocks, block, stride = sample_of(n)
    target, limits = eps * (blocks * block / n), (2.0**-4, 2.0**-4, 2.0**-3)
    return iterate(row, target, (like,), (0.0, 0.0), 1.0, limits, block, stride)[0][0]


@rows
def finish(row, eps, start, step):
    """Return the multiplier with all digits, the verdict and the bracket, from a start near the root."""
    like, n = row[0].dtype.type(0), row[0].size
    if is_float32(like):
        limits = 2.0**-26, 2.0**-40, 0.0
        lam, _, verdict, low, high = iterate(row, eps, (0.0,), start, step, limits, _BLOCK, _BLOCK)
        if verdict == PENDING or lam[0] == 0 or has_digits(lam[0], n, eps):
            return lam, verdict, low, high
        start, step = lam, 0.0
    limits = (2.0**-26, 2.0**-40, 0.0) if is_float32(like) else (2.0**-53, 2.0**-52, 0.0)
    lam, _, verdict, low, high = iterate(row, eps, (0.0, 0.0), start, step, limits, _BLOCK, _BLOCK)
    return lam, verdict, low, high
