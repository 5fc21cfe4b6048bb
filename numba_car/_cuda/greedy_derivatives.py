"""Derivatives of best ascent for p = 1, given the pivots, as `_cpu/greedy_results.py` has them, a team a row."""

import math

import numpy as np
from numba import cuda

from numba_car._core.derivative import clamp
from numba_car._core.selection import pull_back, tangent_of_room
from numba_car._cuda.greedy import takes_all
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.row import at, loaded, store
from numba_car._cuda.team import SLOTS, place_in, size_of, team_sum
from numba_car._cuda.vjp import store_gradients, write_nan


@device
def ways_of(row, i, size, pivot):
    """Return whether element i takes all its room upwards, and whether downwards."""
    g = at(row[1], row[4], i, np.float64)
    taken = takes_all(abs(g), size, i, pivot)
    return taken and g > 0, taken and g < 0


@device
def vjp_row(row, u, size, pivot, largest, outputs, team):
    """Store the gradients of one row; return that of eps, and the sums of those of the bounds; u is upstream."""
    push, of_lower, of_upper, i = 0.0, 0.0, 0.0, place_in(team)
    if pivot >= 0:
        upstream = at(u, row[4], pivot, np.float64)
        push = upstream if at(row[1], row[4], pivot, np.float64) > 0 else -upstream
    while i < row[5]:
        up, down = ways_of(row, i, size, pivot)
        to_x, to_lower, to_upper = pull_back(up, down, at(u, row[4], i, np.float64), push)
        store_gradients(outputs, row[4], i, (to_x, 0.0, to_lower, to_upper), largest)
        of_lower += to_lower
        of_upper += to_upper
        i += size_of(team)
    of_lower, of_upper = team_sum(of_lower, team), team_sum(of_upper, team)
    return clamp(push, largest), clamp(of_lower, largest), clamp(of_upper, largest)


@kernel
def greedy_vjp_rows(x, g, lower, upper, count, n, u, pivot, size, rest, largest, outputs, sums):
    """Store the gradients of all rows: by element, and by row those of eps and the sums of the bounds'."""
    lower, upper = loaded(lower), loaded(upper)
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        row, found = (x, g, lower, upper, r, n), (math.nan, math.nan, math.nan)
        if math.isnan(rest[r]):
            write_nan(row, outputs, team)
        else:
            found = vjp_row(row, u, size[r], pivot[r], largest, outputs, team)
        if cuda.threadIdx.x == 0:
            sums[0][r], sums[1][r], sums[2][r] = found
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y


@device
def jvp_row(row, tangents, size, pivot, rest, out, team):
    """Store the tangents of y of one row, whose bounds are constant."""
    total, i = 0.0, place_in(team)
    while i < row[5]:
        up, down = ways_of(row, i, size, pivot)
        total += tangent_of_room(up, down, at(tangents[0], row[4], i, np.float64))
        i += size_of(team)
    of_rest = at(tangents[2], row[4], 0, np.float64) - team_sum(total, team)
    i = place_in(team)
    while i < row[5]:
        (up, down), tangent = ways_of(row, i, size, pivot), at(tangents[0], row[4], i, np.float64)
        if i == pivot:
            tangent += of_rest if at(row[1], row[4], i, np.float64) > 0 else -of_rest
        tangent = 0.0 if up or down else tangent
        store(out, row[4], i, math.nan if math.isnan(rest) else tangent)
        i += size_of(team)


@kernel
def greedy_jvp_rows(x, g, lower, upper, count, n, tangents, pivot, size, rest, out):
    """Store the tangents of y of all rows, given those of x, g and eps."""
    lower, upper = loaded(lower), loaded(upper)
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        row = (x, g, lower, upper, r, n)
        jvp_row(row, tangents, size[r], pivot[r], rest[r], out, team)
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y
