"""Blocks of rows projected for p = 1: the multipliers, then y."""

import math

import numpy as np

from numba_car._core.constants import LARGEST
from numba_car._core.coordinate import room
from numba_car._core.double_double import two_sum
from numba_car._core.knapsack import HUGE_UNIT, arrive, excess, has_digits, is_less
from numba_car._core.norms import is_float32
from numba_car._core.verdicts import (
    DONE,
    NEEDS_MORE_DIGITS,
    NOT_FINITE,
    OUTSIDE,
)
from numba_car._cpu.knapsack import approach, finish, read_as, solve_sample, validate_and_sum
from numba_car._cpu.knapsack_sort import sort_row
from numba_car._cpu.maxima import max_abs
from numba_car._cpu.row import element, row_of, rows_of
from numba_car._cpu.scaled import scaled_row
from numba_car._cpu.validate import validate_row
from numba_car._jit import kernel, loop, rows

# With sums of |d| up to this, and no less than its inverse, float32 passes are safe.
_MODERATE = 2.0**60
# The breakpoints of rooms that float64 loses beside |d| take a second sort, between the ends of the bracket.
_ATTEMPTS = 3
_MOST_EPS = 2.0**1000  # more than the sum of |d| of a row in units
_LARGEST = 2.0**900  # beyond it, a row of float64 is solved in units


@rows
def _largest_distance(row):
    """Return the largest |d| of the coordinates with room, as a pair: the multiplier at eps = 0."""
    largest = 0.0, 0.0
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, np.float64)
        high, low = two_sum(z, -x)
        here = (high, low) if high > 0 else (-high, -low)
        if room(x, high, lower, upper) > 0 and is_less(largest, here):
            largest = here
    return largest


@rows
def _solve(row, eps, lam, step, is_safe, by_sorting):
    """Return the multiplier of a row that is finite and inside its bounds, from any start."""
    if eps == 0:
        return _largest_distance(row)
    if is_safe and not by_sorting:
        lam, step = approach(row, eps, lam, step)
    low, high = (0.0, 0.0), (math.inf, 0.0)
    for _ in range(_ATTEMPTS):
        if by_sorting:
            lam, step = (sort_row(row, eps, max(low[0], 0.0), high[0]), 0.0), 0.0
        lam, verdict, low, high = finish(row, eps, lam, step)
        if verdict == DONE:
            break
        by_sorting = True
    return lam


@rows
def _after_first_pass(start, rest, free):
    """Return the multiplier after a step of Newton's method, and its relative length."""
    following = start + rest / free if free > 0 else start
    if not 0 < following < math.inf:
        return (start, 0.0), 1.0
    return (following, 0.0), abs(following - start) / following


@rows
def solve_row(row, eps, slack, by_sorting):
    """Return the multiplier of a row as a pair, and the verdict.

    It is DONE, NOT_FINITE, OUTSIDE, or NEEDS_MORE_DIGITS for a multiplier that is multiplied by HUGE_UNIT.
    """
    like = row[0].dtype.type(0)
    start = solve_sample(row, eps)
    start = start if 0 <= start < _MODERATE else 0.0  # NaN in a sample makes it arbitrary
    total, free, size = validate_and_sum(row, read_as((start, 0.0), (like,)))
    most, is_huge = (_MODERATE if is_float32(like) else _LARGEST), False
    if not size <= most:
        verdict = validate_row(row, slack)
        if verdict in (NOT_FINITE, OUTSIDE):
            return (math.nan, math.nan), verdict
        largest = max(max_abs(row[0]), max_abs(row[1]))
        is_huge = largest * HUGE_UNIT > LARGEST * HUGE_UNIT**2
    reachable = total if start == 0 else size
    if reachable * (1 + 2.0**-10) <= eps:
        return (0.0, 0.0), DONE
    lam, step = _after_first_pass(start, total - eps, free)
    if is_huge:
        row, eps, lam, step = scaled_row(row, HUGE_UNIT), eps * HUGE_UNIT, (0.0, 0.0), 1.0
    lam = _solve(row, min(eps, _MOST_EPS), lam, step, 1 / most <= size <= most, by_sorting)
    return lam, NEEDS_MORE_DIGITS if is_huge and lam[0] > 0 else DONE


@loop
def _clip(row, out):
    dtype = out.dtype.type
    for i in range(out.size):
        _, z, lower, upper = element(row, i, dtype)
        out[i] = min(max(z, lower), upper)


@loop
def _arrive(row, lam, out):
    for i in range(out.size):
        x, z, lower, upper = element(row, i, np.float64)
        over, distance = excess(x, z, lam), room(x, z - x, lower, upper)
        out[i] = arrive(x, z, lower, upper, over, distance)


@rows
def write_row(row, eps, lam, out):
    """Store y of a row in out, which may be x or z; NaN where the multiplier is NaN."""
    like, n = row[0].dtype.type(0), row[0].size
    if math.isnan(lam[0]):
        out[:] = math.nan
    elif lam[0] == 0:
        _clip(row, out)
    elif is_float32(like) and has_digits(lam[0], n, eps):
        _arrive(row, (lam[0],), out)
    else:
        _arrive(row, lam, out)


@kernel
def solve_rows(x, z, lower, upper, n, eps, slack, by_sorting, lam, low, verdict):
    """Store the multipliers lam + low and the verdicts of a block of rows; return whether all are DONE."""
    all_done = True
    for r in range(eps.size):
        row = rows_of(x, z, lower, upper, r, n)
        found, verdict[r] = solve_row(row, eps[r], slack, by_sorting)
        lam[r], low[r] = found
        all_done &= verdict[r] == DONE
    return all_done


@rows
def write_any_row(row, eps, lam, verdict, out):
    """Store y of one row, given its multiplier and verdict; out may be x or z."""
    if verdict != NEEDS_MORE_DIGITS:
        write_row(row, eps, lam, out)
        return
    scaled, found = scaled_row(row, HUGE_UNIT), np.empty_like(out)
    write_row(scaled, eps * HUGE_UNIT, lam, found)
    for i in range(out.size):
        out[i] = found[i] / HUGE_UNIT if found[i] != scaled[0][i] else row[0][i]


@kernel
def project_rows(x, z, lower, upper, n, eps, verdict, lam, low, out):
    """Store y of a block of rows, given their multipliers; out may be x or z."""
    for r in range(eps.size):
        row, target = rows_of(x, z, lower, upper, r, n), row_of(out, r, n)
        write_any_row(row, eps[r], (lam[r], low[r]), verdict[r], target)
