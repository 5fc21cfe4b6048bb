"""Projection for p = 1, a team a row: the threshold of |z - x|, then y, by the formulas of `_core.knapsack`.

Passes are in float64, first with a threshold of one float64, then, where that has too few digits, of two. Where
Newton's method and secants are slow, the bracket of the threshold is halved, which takes some 130 passes whatever the row.
"""

import functools
import math
from typing import Any

import numpy as np
from numba import cuda

from numba_car._core.constants import LARGEST, MAX_PASSES
from numba_car._core.coordinate import room
from numba_car._core.double_double import grid_of, on_grid, two_sum
from numba_car._core.knapsack import (
    HUGE_UNIT,
    PLAIN,
    advance,
    arrive,
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
from numba_car._core.newton import reach_of
from numba_car._core.norms import is_float32
from numba_car._core.verdicts import NEEDS_MORE_DIGITS, PENDING
from numba_car._cuda.exact import team_min
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.newton import report_number
from numba_car._cuda.row import at, element, loaded, my_element, store
from numba_car._cuda.team import SLOTS, place_in, size_of, team_max, team_sum
from numba_car._cuda.terms import NO_TERMS
from numba_car._cuda.validate import read_and_validate
from numba_car._layout import DType

_MOST_PASSES = 6 * MAX_PASSES
_MOST_EPS = 2.0**1000  # more than the sum of |d| of a row in units
_ROUGH, _SHORT, _LONG = (2.0**-46, 2.0**-46), (2.0**-26, 2.0**-40), (2.0**-53, 2.0**-52)


@device
def in_units(row, i, unit):
    """Return x, z, lower and upper of element i, multiplied by a power of two."""
    x, z, lower, upper = element(row, i, np.float64)
    return x * unit, z * unit, lower * unit, upper * unit


@device
def sum_moved(row, unit, target, lam, reach, team):
    """Return phi(lam) less the target, how many coordinates are free, and how many have a breakpoint within reach."""
    total, lost, free, close, i = 0.0, 0.0, 0.0, 0.0, place_in(team)
    while i < row[5]:
        x, z, lower, upper = in_units(row, i, unit)
        over, distance = excess(x, z, lam), room(x, z - x, lower, upper)
        total, error = two_sum(total, moved(over, distance))
        lost += error
        free += 1.0 if (over >= 0) & (over <= distance) else 0.0
        close += 1.0 if (abs(over) <= reach) | (abs(over - distance) <= reach) else 0.0
        i += size_of(team)
    high = on_grid(total, grid_of(2.0 * target))
    rest = team_sum((total - high) + lost, team)
    rest = (team_sum(high, team) - target) + rest
    return rest, team_sum(free, team), team_sum(close, team)


@device
def nearest_gap(row, unit, lam, to_right, team):
    """Return the distance to the nearest breakpoint from which a coordinate is free."""
    nearest, i = math.inf, place_in(team)
    while i < row[5]:
        x, z, lower, upper = in_units(row, i, unit)
        way = gap(excess(x, z, lam), room(x, z - x, lower, upper), to_right)
        nearest = min(nearest, way)
        i += size_of(team)
    return team_min(nearest, team)


@device
def read_as(lam, like):
    """Return a threshold as a tuple of the kind of `like`."""
    if len(like) == PLAIN:
        return (lam[0],)
    return lam


@device
def rounded(lam, like):
    """Return a threshold rounded to what a tuple of the kind of `like` holds."""
    if len(like) == PLAIN:
        return lam[0] + lam[1], 0.0
    return lam


@device
def resolution_of(like):
    """Return the relative error of |d| - lam, in units of lam."""
    return 2.0**-54 if len(like) == PLAIN else 2.0**-106


@device
def iterate(row, unit, target, like, start, step, limits, team):
    """Return the threshold, and the relative length of the last step, by a bracketed Newton's method.

    `step` is the relative length of the step that led to the start; `limits` are the relative errors of phi that a
    last step may leave, and at which there is no further step.
    """
    lam, low, high = start, (-math.inf, 0.0), (math.inf, 0.0)
    resolution = row[5] * resolution_of(like)
    before, rest_low, rest_high, length = math.inf, 0.0, 0.0, 0.0
    by_secants, jumped, passes = False, False, 0
    while passes < _MOST_PASSES:
        reach = reach_of(step, np.float64(0)) * lam[0]
        rest, free, close = sum_moved(row, unit, target, read_as(lam, like), reach, team)
        if is_settled(rest, limits[1] * target, lam, resolution):
            return lam, 0.0
        slow = is_slow(rest, before, jumped, free)
        before, jumped = rest, False
        other, rest_there = (high, rest_high) if rest > 0 else (low, rest_low)
        # After slow steps of Newton's method secants, after a slow secant the middle of the bracket.
        is_halved = passes >= MAX_PASSES or (slow and by_secants and abs(other[0]) < math.inf)
        by_secants = not is_halved and (slow or by_secants)
        is_newton = free > 0 and not is_halved and not by_secants
        step = 0.0
        if by_secants:
            step = secant(lam, other, rest, rest_there, length)
        elif is_newton:
            step = rest / free
        elif not is_halved:
            way = nearest_gap(row, unit, read_as(lam, like), rest > 0, team)
            step, jumped = (way if rest > 0 else -way), True
        rest_low, rest_high = (rest, rest_high) if rest > 0 else (rest_low, rest)
        following = rounded(stepped(lam, step), like)
        following, low, high, is_taken = advance(lam, low, high, rest, following, is_newton)
        following, is_newton = rounded(following, like), is_newton and is_taken
        length = step_length(lam, following)
        step = length / following[0] if following[0] > 0 else 1.0
        if length == 0 or (is_newton and is_last(length, reach, close, limits[0] * target)):
            return following, step
        lam = following
        passes += 1
    return lam, step


@device
def largest_distance(row, unit, team):
    """Return the largest |d| of the coordinates with room, as a pair: the threshold at eps = 0."""
    best, low, i = 0.0, 0.0, place_in(team)
    while i < row[5]:
        x, z, lower, upper = in_units(row, i, unit)
        high, lost = two_sum(z, -x)
        size, lost = abs(high), (lost if high > 0 else -lost)
        is_more = size > best or (size == best and lost > low)
        if is_more and room(x, high, lower, upper) > 0:
            best, low = size, lost
        i += size_of(team)
    most = team_max(best, team)
    is_most = best == most and best > 0
    if team_max(1.0 if is_most and low >= 0 else 0.0, team) > 0:
        return most, team_max(low if is_most and low >= 0 else 0.0, team)
    return most, -team_min(-low if is_most else math.inf, team) if most > 0 else 0.0


@device
def solve_row(row, unit, eps, like, team):
    """Return the threshold of a row that is finite and inside its bounds, as a pair in these units."""
    if eps == 0:
        return largest_distance(row, unit, team)
    target, start = min(eps * unit, _MOST_EPS), (0.0, 0.0)
    limits = _SHORT if is_float32(like) else _ROUGH
    lam, step = iterate(row, unit, target, (0.0,), start, 1.0, limits, team)
    if is_float32(like) and (lam[0] == 0 or has_digits(lam[0], row[5], target)):
        return lam
    limits = _SHORT if is_float32(like) else _LONG
    lam, step = iterate(row, unit, target, (0.0, 0.0), lam, step, limits, team)
    return lam


@device
def unit_for(row, like, team):
    """Return HUGE_UNIT for a row whose sums may overflow, else 1."""
    if is_float32(like):
        return 1.0
    largest, i = 0.0, place_in(team)
    while i < row[5]:
        x, z, _, _ = element(row, i, np.float64)
        largest = max(largest, abs(x), abs(z))
        i += size_of(team)
    return HUGE_UNIT if team_max(largest, team) > LARGEST * HUGE_UNIT else 1.0


@functools.cache
def threshold_kernel(dtype: DType) -> Any:
    """Return the kernel that finds thresholds, for rows that are computed in that dtype."""
    real = dtype.type

    @kernel
    def solve_thresholds(x, z, lower, upper, count, n, eps, slack, low, lam, verdict, first):
        """Store the thresholds lam + low of all rows; those of the verdict NEEDS_MORE_DIGITS are in HUGE_UNIT."""
        lower, upper = loaded(lower), loaded(upper)
        team, like = (cuda.shared.array(SLOTS, np.float64),), real(0)
        r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
        while r < count:
            row, goal = (x, z, lower, upper, r, n), at(eps, r, 0, np.float64)
            _, validity = read_and_validate(row, slack, like, NO_TERMS, team)
            found, unit = (0.0, 0.0), 1.0
            if validity == PENDING and 0 <= goal < math.inf:
                unit = unit_for(row, like, team)
                found = solve_row(row, unit, goal, like, team)
            report_number(r, validity, goal, found[0], lam, verdict, first)
            if cuda.threadIdx.x == 0:
                low[r] = found[1]
                if unit < 1 and found[0] > 0:
                    verdict[r] = NEEDS_MORE_DIGITS
            r += np.int64(cuda.gridDim.x) * cuda.blockDim.y

    return solve_thresholds


@device
def arrived(x, z, lower, upper, lam, unit):
    """Return y of one coordinate, given the threshold in units."""
    if lam[0] == 0:
        return min(max(z, lower), upper)
    x_there, z_there, lower, upper = x * unit, z * unit, lower * unit, upper * unit
    over, distance = excess(x_there, z_there, lam), room(x_there, z_there - x_there, lower, upper)
    y = arrive(x_there, z_there, lower, upper, over, distance)
    return y / unit if y != x_there else x


@kernel
def write_thresholds(x, z, lower, upper, count, n, lam, low, verdict, out):
    """Store y of all rows, a thread an element; out may be x or z."""
    r, i = my_element()
    if r < count and i < n:
        x_i, z_i, lower_i, upper_i = element((x, z, lower, upper, r, n), i, np.float64)
        unit = HUGE_UNIT if verdict[r] == NEEDS_MORE_DIGITS else 1.0
        y = arrived(x_i, z_i, lower_i, upper_i, (lam[r], low[r]), unit)
        store(out, r, i, math.nan if math.isnan(lam[r]) else y)
