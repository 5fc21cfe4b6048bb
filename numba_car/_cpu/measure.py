"""The norm that a scale reaches, measured on a row, and the scale of saturated rows."""

import math

import numpy as np

from numba_car._core.coordinate import is_inside
from numba_car._core.newton import in_range
from numba_car._core.norms import MAXIMUM, TWO, root, term, unit_of
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, SATURATED
from numba_car._cpu.maxima import largest_breakpoint, largest_step
from numba_car._cpu.row import element, parts_of, rows_of
from numba_car._cpu.sums import add, length_of, sum_steps
from numba_car._jit import checking_loop, kernel, rows


@checking_loop
def _sum_steps_and_rooms(row, norm, eta, largest):
    """Return sum step**p at eta, and sum room**p of all that moves, over a block; eta may be inf for the second alone.

    Both are infinite if some x is not finite and inside its bounds, or delta is not finite.
    """
    step_sum, room_sum, infinite = 0.0, 0.0, math.inf
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        valid = is_inside(x, lower, upper, largest) & (abs(delta) <= largest)
        way = (upper if delta > 0 else lower) - x
        distance, reach = abs(way) if delta != 0 else 0.0, eta * abs(delta)
        size = distance if distance < reach else reach  # noqa: FURB136 - vectorises
        step_sum += term(size, norm) if valid else infinite
        room_sum += term(distance, norm) if valid else infinite
    return step_sum, room_sum


@rows
def sum_steps_and_rooms(row, norm, eta, block):
    """Return the sums of `_sum_steps_and_rooms` over a row, for p = 1 or 2."""
    steps, steps_lost, rooms, rooms_lost, start = 0.0, 0.0, 0.0, 0.0, 0
    largest = np.float64(np.finfo(row[0].dtype).max)
    while start < row[0].size:
        length = length_of(row[0].size - start, block)
        here = parts_of(row, start, start + length)
        step_sum, room_sum = _sum_steps_and_rooms(here, norm, eta, largest)
        steps, steps_lost = add(steps, steps_lost, step_sum)
        rooms, rooms_lost = add(rooms, rooms_lost, room_sum)
        start += length
    return steps + steps_lost, rooms + rooms_lost  # NaN where a sum is infinite


@rows
def norm_reached(row, norm, eta, block):
    """Return N(eta); with eta = inf that is R."""
    if len(norm) <= TWO:
        steps, rooms = sum_steps_and_rooms(row, norm, eta, block)
        total = rooms if eta == math.inf else steps
        if in_range(total):
            return root(total, norm)
    size = largest_step(row, eta)
    if len(norm) == MAXIMUM or not 0.0 < size < math.inf:
        return size
    unit = unit_of(size, norm, False)
    return unit * root(sum_steps(row, norm, eta, unit, block), norm)


@rows
def saturate_row(row, norm, eps, block):
    """Return the largest breakpoint, 0 if R > eps, and the verdict: NEEDS_MORE_DIGITS if R > eps or out of range."""
    # A row whose free weights all underflowed is SATURATED, too.
    if norm_reached(row, norm, math.inf, block) > eps:
        return 0.0, NEEDS_MORE_DIGITS
    eta = largest_breakpoint(row)
    return eta, DONE if eta == 0 or in_range(eta) else NEEDS_MORE_DIGITS


@kernel
def saturate_rows(x, delta, lower, upper, n, eps, norm, block, eta, verdict):
    """Solve the SATURATED of a block of rows."""
    for r in range(eps.size):
        if verdict[r] == SATURATED:
            row = rows_of(x, delta, lower, upper, r, n)
            eta[r], verdict[r] = saturate_row(row, norm, eps[r], block)


@kernel
def measure_rows(x, delta, lower, upper, n, norm, block, eta, reached):
    """Store the norms that a block of rows reaches at eta."""
    for r in range(eta.size):
        reached[r] = norm_reached(rows_of(x, delta, lower, upper, r, n), norm, eta[r], block)


@kernel
def measure_both_rows(x, delta, lower, upper, n, norm, block, eta, verdict, reached, max_norm):
    """Store N(eta) and R of a block of rows for p = 1 or 2, -1 where the sums of a row are out of range.

    Return whether all rows are DONE, and all norms large enough that no step lost digits, or 0 for eta = 0.
    """
    all_known = True
    for r in range(eta.size):
        row = rows_of(x, delta, lower, upper, r, n)
        steps, rooms = sum_steps_and_rooms(row, norm, eta[r], block)
        is_sure = eta[r] < math.inf and in_range(rooms) and (in_range(steps) or eta[r] == 0)
        reached[r] = root(steps, norm) if is_sure else -1.0
        max_norm[r] = root(rooms, norm) if is_sure else -1.0
        all_known &= is_sure and verdict[r] == DONE
    return all_known


@kernel
def max_norm_rows(x, delta, lower, upper, n, norm, block, max_norm):
    """Store R of the ordinary of a block of rows, -1 for others, for p = 1 or 2; return whether all are ordinary."""
    all_known = True
    for r in range(max_norm.size):
        row = rows_of(x, delta, lower, upper, r, n)
        rooms = sum_steps_and_rooms(row, norm, math.inf, block)[1]
        is_known = in_range(rooms)
        max_norm[r] = root(rooms, norm) if is_known else -1.0
        all_known &= is_known
    return all_known
