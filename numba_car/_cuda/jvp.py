"""Tangents of eta and of clip(x + eta*delta), a team a row, in three passes in float64, as `_cpu/jvp.py`."""

import math

import numpy as np
from numba import cuda

from numba_car._core.derivative import decider_tangent, eta_tangent, inverse_unit, moved_tangent
from numba_car._cuda.active_set import analyse, held
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.row import at, element, loaded, store
from numba_car._cuda.team import SLOTS, place_in, size_of, team_sum


@device
def sum_tangents(row, tangents, norm, inverse, eta, rate, team):
    """Return the tangent of eta that follows from those of x and delta, where no coordinate decides alone."""
    total, i = 0.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        of_x = at(tangents[0], row[4], i, np.float64)
        of_delta = at(tangents[1], row[4], i, np.float64)
        total += eta_tangent(x, delta, lower, upper, norm, inverse, of_x, of_delta, eta, rate)
        i += size_of(team)
    return team_sum(total, team)


@device
def jvp_row(row, tangents, of_eps, norm, eps, eta, out, team):
    """Return the tangent of eta, and store that of clip(x + eta*delta)."""
    tangent = math.nan
    if not math.isnan(eta):
        eta = held(row, eps, eta, team)
        _, rate, by_eps, decider, saturated = analyse(row, (0.0,), norm, eps, eta, team)
        inverse = inverse_unit(eps, rate)
        tangent = sum_tangents(row, tangents, norm, inverse, eta, rate, team) + by_eps * of_eps
        if decider >= 0:
            delta = at(row[1], row[4], decider, np.float64)
            of_x = at(tangents[0], row[4], decider, np.float64)
            of_delta = at(tangents[1], row[4], decider, np.float64)
            tangent += decider_tangent(delta, of_x, of_delta, eta, saturated)
    i = place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        of_x = at(tangents[0], row[4], i, np.float64)
        of_delta = at(tangents[1], row[4], i, np.float64)
        moved = moved_tangent(x, delta, lower, upper, of_x, of_delta, eta, tangent)
        store(out, row[4], i, math.nan if math.isnan(eta) else moved)
        i += size_of(team)
    return tangent


@kernel
def jvp_rows(x, delta, lower, upper, count, n, tangents, norm, eps, eta, out, result):
    """Store the tangents of all rows: of eta, and of clip(x + eta*delta)."""
    lower, upper = loaded(lower), loaded(upper)
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        row, goal = (x, delta, lower, upper, r, n), at(eps, r, 0, np.float64)
        of_eps = at(tangents[2], r, 0, np.float64)
        found = jvp_row(row, tangents, of_eps, norm, goal, eta[r], out, team)
        if cuda.threadIdx.x == 0:
            result[r] = found
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y
