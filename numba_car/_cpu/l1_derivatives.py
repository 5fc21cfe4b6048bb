"""Derivatives of the projection for p = 1, given the multiplier: `docs/derivation.md`, eq. (44).

At kinks they are those for a growing eps: a coordinate with |d| = lam is free.
"""

import math

import numpy as np

from numba_car._core.coordinate import room
from numba_car._core.derivative import clamp
from numba_car._core.knapsack import (
    HUGE_UNIT,
    distance_to_free,
    excess,
    has_digits,
    is_at_bound,
    is_free,
    pull_back,
    pull_back_clipped,
    push_forward,
    push_forward_clipped,
    tangent_of_moved,
)
from numba_car._core.norms import is_float32
from numba_car._core.verdicts import NEEDS_MORE_DIGITS
from numba_car._cpu.row import at, element, part, parts_of, row_of, rows_of, store, store_all
from numba_car._cpu.scaled import scaled_row
from numba_car._cpu.sums import add
from numba_car._jit import kernel, loop, rows

_BLOCK = 128  # elements that are summed without compensation


@loop
def _gather_block(row, g, lam):
    """Return how many coordinates of a block are free, and the sum of sign(d) g over them."""
    free_count, pull = 0.0, 0.0
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, np.float64)
        free = is_free(excess(x, z, lam), room(x, z - x, lower, upper))
        is_counted = 1.0 if free else 0.0  # a select of sums would stay a branch
        free_count += is_counted
        pull += is_counted * (1.0 if z > x else -1.0) * np.float64(at(g, i))
    return free_count, pull


@rows
def _decider(row, lam):
    """Return the coordinate that is nearest to being free, of a row of which none is: lam is at a kink."""
    nearest, found = math.inf, 0
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, np.float64)
        away = distance_to_free(x, z, excess(x, z, lam), room(x, z - x, lower, upper))
        if away < nearest:
            nearest, found = away, i
    return found


@rows
def _rate(row, g, lam):
    """Return the mean of sign(d) g over the free coordinates, which is the gradient of eps."""
    count, pull, lost = 0.0, 0.0, 0.0
    for start in range(0, row[0].size, _BLOCK):
        stop = min(start + _BLOCK, row[0].size)
        found = _gather_block(parts_of(row, start, stop), part(g, start, stop), lam)
        count += found[0]
        pull, lost = add(pull, lost, found[1])
    if count > 0:
        return (pull + lost) / count
    k = _decider(row, lam)
    upstream = np.float64(at(g, k))
    return upstream if row[1][k] > row[0][k] else -upstream


@loop
def _write_block(row, g, lam, rate, largest, outputs):
    """Store the gradients of a block; return the sums of those of the bounds."""
    sum_lower, sum_upper = 0.0, 0.0
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, np.float64)
        over, distance = excess(x, z, lam), room(x, z - x, lower, upper)
        to_x, to_z, to_lower, to_upper = pull_back(
            z > x, over, distance, np.float64(at(g, i)), rate
        )
        found = clamp(to_x, largest), clamp(to_z, largest)
        store_all(outputs, i, *found, clamp(to_lower, largest), clamp(to_upper, largest))
        sum_lower += to_lower
        sum_upper += to_upper
    return sum_lower, sum_upper


@loop
def _write_clipped_block(row, g, largest, outputs):
    """Store the gradients of a block where lam is 0; return the sums of those of the bounds."""
    sum_lower, sum_upper = 0.0, 0.0
    for i in range(row[0].size):
        _, z, lower, upper = element(row, i, np.float64)
        to_z, to_lower, to_upper = pull_back_clipped(z, lower, upper, np.float64(at(g, i)))
        of_bounds = clamp(to_lower, largest), clamp(to_upper, largest)
        store_all(outputs, i, 0.0, clamp(to_z, largest), *of_bounds)
        sum_lower += to_lower
        sum_upper += to_upper
    return sum_lower, sum_upper


@rows
def _backward(row, g, lam, rate, largest, outputs):
    """Store the gradients of a row; return the sums of those of the bounds."""
    lower, lower_lost, upper, upper_lost = 0.0, 0.0, 0.0, 0.0
    for start in range(0, row[0].size, _BLOCK):
        stop = min(start + _BLOCK, row[0].size)
        here, upstream = parts_of(row, start, stop), part(g, start, stop)
        targets = parts_of(outputs, start, stop)
        if lam[0] == 0:
            a, b = _write_clipped_block(here, upstream, largest, targets)
        else:
            a, b = _write_block(here, upstream, lam, rate, largest, targets)
        lower, lower_lost = add(lower, lower_lost, a)
        upper, upper_lost = add(upper, upper_lost, b)
    return lower + lower_lost, upper + upper_lost


@rows
def vjp_row(row, g, eps, lam, largest, outputs):
    """Store the gradients of one row; return that of eps, and the sums of those of the bounds."""
    if math.isnan(lam[0]):
        for i in range(row[0].size):
            store_all(outputs, i, math.nan, math.nan, math.nan, math.nan)
        return math.nan, math.nan, math.nan
    rate = 0.0
    if is_float32(row[0].dtype.type(0)) and has_digits(lam[0], row[0].size, eps):
        rate = _rate(row, g, (lam[0],)) if lam[0] > 0 else 0.0
        to_lower, to_upper = _backward(row, g, (lam[0],), rate, largest, outputs)
    else:
        rate = _rate(row, g, lam) if lam[0] > 0 else 0.0
        to_lower, to_upper = _backward(row, g, lam, rate, largest, outputs)
    return clamp(rate, largest), clamp(to_lower, largest), clamp(to_upper, largest)


@kernel
def l1_vjp_rows(x, z, lower, upper, n, g, eps, verdict, lam, low, largest, outputs, sums):
    """Store the gradients of a block of rows: by element, and by row those of eps and the sums of the bounds'."""
    for r in range(eps.size):
        row, unit = rows_of(x, z, lower, upper, r, n), 1.0
        if verdict[r] == NEEDS_MORE_DIGITS:
            row, unit = scaled_row(row, HUGE_UNIT), HUGE_UNIT
        out = rows_of(outputs[0], outputs[1], outputs[2], outputs[3], r, n)
        upstream, multiplier = row_of(g, r, n), (lam[r], low[r])
        found = vjp_row(row, upstream, eps[r] * unit, multiplier, largest, out)
        sums[0, r], sums[1, r], sums[2, r] = found


@loop
def _tangent_block(row, tangent_x, tangent_z, lam):
    """Return how many coordinates of a block are free, and the sum of the tangents of |d| and of the rooms."""
    count, total = 0.0, 0.0
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, np.float64)
        over, distance = excess(x, z, lam), room(x, z - x, lower, upper)
        of_x, of_z = np.float64(at(tangent_x, i)), np.float64(at(tangent_z, i))
        free = is_free(over, distance)
        total += tangent_of_moved(z > x, free, is_at_bound(over, distance), of_x, of_z)
        count += 1.0 if free else 0.0
    return count, total


@rows
def _tangent_of_decider(row, tangent_x, tangent_z, lam, k):
    """Return what coordinate k adds to the sum of `_tangent_block` if it is free."""
    x, z, lower, upper = element(row, k, np.float64)
    of_x, of_z = np.float64(at(tangent_x, k)), np.float64(at(tangent_z, k))
    is_counted = is_at_bound(excess(x, z, lam), room(x, z - x, lower, upper))
    return tangent_of_moved(z > x, True, is_counted, 0.0 if is_counted else of_x, of_z)


@rows
def _tangent(row, tangent_x, tangent_z, tangent_eps, lam):
    """Return the tangent of the multiplier, and the coordinate that is free alone; -1 if there are others."""
    count, total, lost = 0.0, 0.0, 0.0
    for start in range(0, row[0].size, _BLOCK):
        stop = min(start + _BLOCK, row[0].size)
        here = part(tangent_x, start, stop), part(tangent_z, start, stop)
        found = _tangent_block(parts_of(row, start, stop), here[0], here[1], lam)
        count += found[0]
        total, lost = add(total, lost, found[1])
    if count > 0:
        return ((total - tangent_eps) + lost) / count, -1
    k = _decider(row, lam)
    more = _tangent_of_decider(row, tangent_x, tangent_z, lam, k)
    return ((total - tangent_eps) + lost) + more, k


@rows
def jvp_row(row, tangent_x, tangent_z, tangent_eps, lam, out):
    """Store the tangents of y; return that of the multiplier."""
    if math.isnan(lam[0]):
        for i in range(row[0].size):
            store(out, i, math.nan)
        return math.nan
    rate, decider = 0.0, -1
    if lam[0] > 0:
        rate, decider = _tangent(row, tangent_x, tangent_z, tangent_eps, lam)
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, np.float64)
        of_x, of_z = np.float64(at(tangent_x, i)), np.float64(at(tangent_z, i))
        over, distance = excess(x, z, lam), room(x, z - x, lower, upper)
        if lam[0] == 0:
            tangent = push_forward_clipped(z, lower, upper, of_z)
        else:
            free = i == decider or is_free(over, distance)
            at_bound = is_at_bound(over, distance)
            tangent = push_forward(z > x, free, at_bound, of_x, of_z, rate)
        store(out, i, tangent)
    return rate


@kernel
def l1_jvp_rows(x, z, lower, upper, n, tangents, eps, verdict, lam, low, out, result):
    """Store the tangents of y of a block of rows, and of their multipliers."""
    tangent_x, tangent_z, tangent_eps = tangents
    for r in range(eps.size):
        row = rows_of(x, z, lower, upper, r, n)
        if verdict[r] == NEEDS_MORE_DIGITS:
            row = scaled_row(row, HUGE_UNIT)
        given = row_of(tangent_x, r, n), row_of(tangent_z, r, n), tangent_eps[r]
        multiplier, target = (lam[r], low[r]), row_of(out, r, n)
        result[r] = jvp_row(row, given[0], given[1], given[2], multiplier, target)
