"""Derivatives of the projection for p = 1, given the threshold, as `_cpu/l1_derivatives.py`, a team a row."""

import math

import numpy as np
from numba import cuda

from numba_car._core.coordinate import room
from numba_car._core.derivative import clamp
from numba_car._core.knapsack import (
    HUGE_UNIT,
    distance_to_free,
    excess,
    is_at_bound,
    is_free,
    pull_back,
    pull_back_clipped,
    push_forward,
    push_forward_clipped,
    tangent_of_moved,
)
from numba_car._core.verdicts import NEEDS_MORE_DIGITS
from numba_car._cuda.exact import team_min
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.row import at, loaded, store
from numba_car._cuda.team import SLOTS, place_in, size_of, team_first, team_sum
from numba_car._cuda.threshold import in_units
from numba_car._cuda.vjp import store_gradients, write_nan


@device
def place_of(row, i, unit, lam):
    """Return whether z is above x, |d| - lam, and the room of element i in units."""
    x, z, lower, upper = in_units(row, i, unit)
    return z > x, excess(x, z, lam), room(x, z - x, lower, upper)


@device
def decider_of(row, unit, lam, team):
    """Return the coordinate that is nearest to being free, of a row of which none is: lam is at a kink."""
    nearest, found, i = math.inf, np.int64(-1), place_in(team)
    while i < row[5]:
        x, z, lower, upper = in_units(row, i, unit)
        away = distance_to_free(x, z, excess(x, z, lam), room(x, z - x, lower, upper))
        if away < nearest:
            nearest, found = away, i
        i += size_of(team)
    least = team_min(nearest, team)
    return max(team_first(found if nearest == least else np.int64(-1), team), np.int64(0))


@device
def mean_of_free(row, g, unit, lam, team):
    """Return the mean of sign(d) g over the free coordinates, which is the gradient of eps."""
    count, pull, i = 0.0, 0.0, place_in(team)
    while i < row[5]:
        up, over, distance = place_of(row, i, unit, lam)
        if is_free(over, distance):
            upstream = at(g, row[4], i, np.float64)
            count, pull = count + 1.0, pull + (upstream if up else -upstream)
        i += size_of(team)
    count, pull = team_sum(count, team), team_sum(pull, team)
    if count > 0:
        return pull / count
    k = decider_of(row, unit, lam, team)
    upstream = at(g, row[4], k, np.float64)
    return upstream if place_of(row, k, unit, lam)[0] else -upstream


@device
def pull_back_element(row, i, unit, lam, upstream, rate):
    """Return the gradients of x, z, lower and upper of element i."""
    if lam[0] == 0:
        _, z, lower, upper = in_units(row, i, unit)
        to_z, to_lower, to_upper = pull_back_clipped(z, lower, upper, upstream)
        return 0.0, to_z, to_lower, to_upper
    up, over, distance = place_of(row, i, unit, lam)
    return pull_back(up, over, distance, upstream, rate)


@device
def vjp_row(row, g, unit, lam, largest, outputs, team):
    """Store the gradients of one row; return that of eps, and the sums of those of the bounds."""
    rate = mean_of_free(row, g, unit, lam, team) if lam[0] > 0 else 0.0
    of_lower, of_upper, i = 0.0, 0.0, place_in(team)
    while i < row[5]:
        found = pull_back_element(row, i, unit, lam, at(g, row[4], i, np.float64), rate)
        store_gradients(outputs, row[4], i, found, largest)
        of_lower += found[2]
        of_upper += found[3]
        i += size_of(team)
    of_lower, of_upper = team_sum(of_lower, team), team_sum(of_upper, team)
    return clamp(rate, largest), clamp(of_lower, largest), clamp(of_upper, largest)


@kernel
def l1_vjp_rows(x, z, lower, upper, count, n, g, lam, low, verdict, largest, outputs, sums):
    """Store the gradients of all rows: by element, and by row those of eps and the sums of the bounds'."""
    lower, upper = loaded(lower), loaded(upper)
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        row, found = (x, z, lower, upper, r, n), (math.nan, math.nan, math.nan)
        if math.isnan(lam[r]):
            write_nan(row, outputs, team)
        else:
            unit = HUGE_UNIT if verdict[r] == NEEDS_MORE_DIGITS else 1.0
            found = vjp_row(row, g, unit, (lam[r], low[r]), largest, outputs, team)
        if cuda.threadIdx.x == 0:
            sums[0][r], sums[1][r], sums[2][r] = found
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y


@device
def tangents_of(row, tangents, i):
    """Return the tangents of x and z of element i."""
    return at(tangents[0], row[4], i, np.float64), at(tangents[1], row[4], i, np.float64)


@device
def tangent_of_threshold(row, tangents, of_eps, unit, lam, team):
    """Return the tangent of the threshold, and the coordinate that is free alone; -1 if there are others."""
    count, total, i = 0.0, 0.0, place_in(team)
    while i < row[5]:
        up, over, distance = place_of(row, i, unit, lam)
        free, (of_x, of_z) = is_free(over, distance), tangents_of(row, tangents, i)
        total += tangent_of_moved(up, free, is_at_bound(over, distance), of_x, of_z)
        count += 1.0 if free else 0.0
        i += size_of(team)
    count, total = team_sum(count, team), team_sum(total, team) - of_eps
    if count > 0:
        return total / count, np.int64(-1)
    k = decider_of(row, unit, lam, team)
    up, over, distance = place_of(row, k, unit, lam)
    is_counted, (of_x, of_z) = is_at_bound(over, distance), tangents_of(row, tangents, k)
    more = tangent_of_moved(up, True, is_counted, 0.0 if is_counted else of_x, of_z)
    return total + more, k


@device
def jvp_row(row, tangents, of_eps, unit, lam, out, team):
    """Store the tangents of y of one row."""
    rate, decider, i = 0.0, np.int64(-1), place_in(team)
    if lam[0] > 0:
        rate, decider = tangent_of_threshold(row, tangents, of_eps, unit, lam, team)
    while i < row[5]:
        of_x, of_z = tangents_of(row, tangents, i)
        if lam[0] == 0:
            _, z, lower, upper = in_units(row, i, unit)
            tangent = push_forward_clipped(z, lower, upper, of_z)
        else:
            up, over, distance = place_of(row, i, unit, lam)
            free = i == decider or is_free(over, distance)
            tangent = push_forward(up, free, is_at_bound(over, distance), of_x, of_z, rate)
        store(out, row[4], i, math.nan if math.isnan(lam[0]) else tangent)
        i += size_of(team)


@kernel
def l1_jvp_rows(x, z, lower, upper, count, n, tangents, lam, low, verdict, out):
    """Store the tangents of y of all rows, given those of x, z and eps."""
    lower, upper = loaded(lower), loaded(upper)
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        row, of_eps = (x, z, lower, upper, r, n), at(tangents[2], r, 0, np.float64)
        unit = HUGE_UNIT if verdict[r] == NEEDS_MORE_DIGITS else 1.0
        jvp_row(row, tangents, of_eps, unit, (lam[r], low[r]), out, team)
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y
