"""Results of best ascent for p = 1, given the pivots: the arrays that are reached, and their derivatives.

With pivot k, s = sign(g) and the rest r = eps - sum of the rooms of the elements that come before k, y is at its bound
for these, x_k + s_k*r for the pivot, and x for all others. Without a pivot (k = -1) all elements with g != 0 are
at their bounds. NaN as the rest makes a row NaN. The derivatives are `docs/derivation.md`, eq. (47).
"""

import math

import numpy as np

from numba_car._core.derivative import clamp
from numba_car._core.norms import largest_number
from numba_car._core.selection import pull_back, tangent_of_room
from numba_car._cpu.maxima import bits_of, size_of_bits
from numba_car._cpu.row import at, element, part, parts_of, row_of, rows_of, store_all
from numba_car._cpu.sums import add
from numba_car._jit import formula, kernel, loop, rows

_BLOCK = 128  # elements that are summed without compensation


@formula
def _next_size(size):
    """Return the number after a size in its dtype."""
    return type(size)(size_of_bits(type(bits_of(size))(bits_of(size) + 1)))


@rows
def _thresholds(g, pivot):
    """Return the least |g| of the elements that take all their room: before the pivot, and after it."""
    size = abs(g[pivot]) if pivot >= 0 else g.dtype.type(0)
    return size, _next_size(size)


@formula
def _ends(lower, upper, largest):
    return max(lower, -largest), min(upper, largest)


@loop
def _write(row, least, largest, out):
    """Store the bounds of the elements with |g| >= least, and x of the others."""
    for i in range(out.size):
        x, g, lower, upper = element(row, i, type(least))
        low, high = _ends(lower, upper, largest)
        bound = high if g > 0 else low
        out[i] = bound if abs(g) >= least else min(max(x, low), high)


@rows
def write_row(row, pivot, rest, largest, out):
    """Store y of one row; out may be x or g."""
    if math.isnan(rest):
        out[:] = math.nan
        return
    dtype = row[0].dtype.type
    most, n = dtype(min(largest, np.float64(largest_number(dtype(0))))), row[0].size
    before, after = _thresholds(row[1], pivot)
    if pivot >= 0:
        x, g, lower, upper = element(row, pivot, np.float64)
        low, high = _ends(lower, upper, np.float64(most))
        arrived = min(max(x + (rest if g > 0 else -rest), low), high)
        _write(parts_of(row, 0, pivot), before, most, out[:pivot])
        out[pivot] = arrived
    _write(parts_of(row, pivot + 1, n), after, most, out[pivot + 1 :])


@kernel
def write_rows(x, g, lower, upper, n, pivot, rest, largest, out):
    """Store y of a block of rows; out may be x or g."""
    for r in range(pivot.size):
        row = rows_of(x, g, lower, upper, r, n)
        write_row(row, pivot[r], rest[r], largest, row_of(out, r, n))


@loop
def _pull_back(row, u, least, push, largest, outputs):
    """Store the gradients of a block but for the pivot; return the sums of those of the bounds.

    `push` is the gradient of the rest.
    """
    sum_lower, sum_upper = 0.0, 0.0
    for i in range(row[0].size):
        _, g, _, _ = element(row, i, np.float64)
        upstream = np.float64(at(u, i))
        up, down = (abs(g) >= least) & (g > 0), (abs(g) >= least) & (g < 0)
        to_x, to_lower, to_upper = pull_back(up, down, upstream, push)
        of_bounds = clamp(to_lower, largest), clamp(to_upper, largest)
        store_all(outputs, i, clamp(to_x, largest), 0.0, *of_bounds)
        sum_lower += to_lower
        sum_upper += to_upper
    return sum_lower, sum_upper


@rows
def _pull_back_part(row, u, least, push, largest, outputs, start, stop, sums):
    """Store the gradients of elements start to stop as `_pull_back` does, and add those of bounds to two pairs."""
    lower, lower_lost, upper, upper_lost = sums
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        here, targets = parts_of(row, first, last), parts_of(outputs, first, last)
        a, b = _pull_back(here, part(u, first, last), least, push, largest, targets)
        lower, lower_lost = add(lower, lower_lost, a)
        upper, upper_lost = add(upper, upper_lost, b)
    return lower, lower_lost, upper, upper_lost


@rows
def vjp_row(row, u, pivot, rest, largest, outputs):
    """Store the gradients of one row; return those of eps, and the sums of those of the bounds."""
    if math.isnan(rest):
        for i in range(row[0].size):
            store_all(outputs, i, math.nan, math.nan, math.nan, math.nan)
        return math.nan, math.nan, math.nan
    n, push, sums = row[0].size, 0.0, (0.0, 0.0, 0.0, 0.0)
    before, after = _thresholds(row[1], pivot)
    if pivot >= 0:
        upstream = np.float64(at(u, pivot))
        push = upstream if row[1][pivot] > 0 else -upstream
        how = push, largest, outputs
        sums = _pull_back_part(row, u, np.float64(before), *how, 0, pivot, sums)
        store_all(outputs, pivot, clamp(upstream, largest), 0.0, 0.0, 0.0)
    given = np.float64(after), push, largest, outputs, pivot + 1, n, sums
    lower, lower_lost, upper, upper_lost = _pull_back_part(row, u, *given)
    to_lower, to_upper = lower + lower_lost, upper + upper_lost
    return clamp(push, largest), clamp(to_lower, largest), clamp(to_upper, largest)


@kernel
def vjp_rows(x, g, lower, upper, n, u, pivot, rest, largest, outputs, sums):
    """Store the gradients of a block of rows: by element, and by row those of eps and the bounds; u is upstream."""
    for r in range(pivot.size):
        row = rows_of(x, g, lower, upper, r, n)
        out = rows_of(outputs[0], outputs[1], outputs[2], outputs[3], r, n)
        given = row_of(u, r, n), pivot[r], rest[r], largest
        sums[0, r], sums[1, r], sums[2, r] = vjp_row(row, *given, out)


@loop
def _push_forward(g, tangent_x, least, out):
    """Store the tangents of a block but for the pivot; return the sum of those of the rooms that are taken whole."""
    total = 0.0
    for i in range(g.size):
        size, of_x = np.float64(abs(g[i])), np.float64(at(tangent_x, i))
        taken = size >= least
        out[i] = 0.0 if taken else of_x
        total += tangent_of_room(taken & (g[i] > 0), taken & (g[i] < 0), of_x)
    return total


@rows
def _push_forward_part(g, tangent_x, least, out, start, stop, total, lost):
    """Store the tangents of elements start to stop as `_push_forward` does, and add those of rooms to a pair."""
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        here = g[first:last], part(tangent_x, first, last), least, out[first:last]
        total, lost = add(total, lost, _push_forward(*here))
    return total, lost


@rows
def jvp_row(row, tangent_x, tangent_eps, pivot, rest, out):
    """Store the tangents of one row, whose bounds are constant."""
    if math.isnan(rest):
        out[:] = math.nan
        return
    g, n, total, lost = row[1], row[0].size, 0.0, 0.0
    before, after = _thresholds(g, pivot)
    if pivot >= 0:
        given = g, tangent_x, np.float64(before), out
        total, lost = _push_forward_part(*given, 0, pivot, total, lost)
    given = g, tangent_x, np.float64(after), out
    total, lost = _push_forward_part(*given, pivot + 1, n, total, lost)
    if pivot >= 0:
        of_rest = (tangent_eps - total) - lost
        of_x = np.float64(at(tangent_x, pivot))
        out[pivot] = of_x + (of_rest if g[pivot] > 0 else -of_rest)


@kernel
def jvp_rows(x, g, lower, upper, n, tangents, pivot, rest, out):
    """Store the tangents of y of a block of rows, given those of x and of eps."""
    tangent_x, tangent_eps = tangents
    for r in range(pivot.size):
        row, by_x = rows_of(x, g, lower, upper, r, n), row_of(tangent_x, r, n)
        jvp_row(row, by_x, tangent_eps[r], pivot[r], rest[r], row_of(out, r, n))
