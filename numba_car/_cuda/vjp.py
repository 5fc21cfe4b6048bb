"""Gradients of eta and of clip(x + eta*delta), a team a row, in two passes: analyse, then write.

Both are one computation, as in `_cpu/vjp.py`, but in float64 only: a coordinate gets its upstream g where
it is free, plus pull times the derivative of eta, where pull is what flows into eta.
"""

import math

import numpy as np
from numba import cuda

from numba_car._core.derivative import by_decider, clamp, pull_back, rate_of_pull
from numba_car._cuda.active_set import analyse, held
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.row import at, element, loaded, store
from numba_car._cuda.team import SLOTS, place_in, size_of, team_sum


@device
def store_gradients(outputs, r, i, found, largest):
    """Store the gradients of x, delta, lower and upper of an element, within the range of their dtype."""
    store(outputs[0], r, i, clamp(found[0], largest))
    store(outputs[1], r, i, clamp(found[1], largest))
    store(outputs[2], r, i, clamp(found[2], largest))
    store(outputs[3], r, i, clamp(found[3], largest))


@device
def write(row, g, norm, inverse, eta, rate, decision, largest, outputs, team):
    """Store the gradients of a row; return the sums of those of the bounds."""
    decider, saturated, pull = decision
    sum_lower, sum_upper, i = 0.0, 0.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        upstream = at(g, row[4], i, np.float64)
        to_x, to_delta, to_lower, to_upper = pull_back(
            x, delta, lower, upper, norm, inverse, upstream, eta, eta, rate
        )
        if i == decider:
            more = by_decider(delta, pull, eta, saturated)
            to_x, to_delta = to_x + more[0], to_delta + more[1]
            to_lower, to_upper = to_lower + more[2], to_upper + more[3]
        found = to_x, to_delta, to_lower, to_upper
        store_gradients(outputs, row[4], i, found, largest)
        sum_lower += to_lower
        sum_upper += to_upper
        i += size_of(team)
    return team_sum(sum_lower, team), team_sum(sum_upper, team)


@device
def write_nan(row, outputs, team):
    """Store NaN for the gradients of a row that has no eta."""
    i = place_in(team)
    while i < row[5]:
        store(outputs[0], row[4], i, math.nan)
        store(outputs[1], row[4], i, math.nan)
        store(outputs[2], row[4], i, math.nan)
        store(outputs[3], row[4], i, math.nan)
        i += size_of(team)


@device
def vjp_row(row, g, h, norm, eps, eta, largest, outputs, team):
    """Store the gradients of one row; return those of eps, and the sums of those of the bounds."""
    if math.isnan(eta):
        write_nan(row, outputs, team)
        return math.nan, math.nan, math.nan
    eta = held(row, eps, eta, team)
    pull, rate, by_eps, decider, saturated = analyse(row, g, norm, eps, eta, team)
    pull += h
    rate, inverse = rate_of_pull(pull, rate, eps)
    decision = decider, saturated, pull
    lower, upper = write(row, g, norm, inverse, eta, rate, decision, largest, outputs, team)
    return clamp(pull * by_eps, largest), clamp(lower, largest), clamp(upper, largest)


@kernel
def vjp_rows(x, delta, lower, upper, count, n, g, h, norm, eps, eta, largest, outputs, sums):
    """Store the gradients of all rows: by element, and by row those of eps and the bounds."""
    lower, upper = loaded(lower), loaded(upper)
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        row = (x, delta, lower, upper, r, n)
        goal, upstream = at(eps, r, 0, np.float64), at(h, r, 0, np.float64)
        found = vjp_row(row, g, upstream, norm, goal, eta[r], largest, outputs, team)
        if cuda.threadIdx.x == 0:
            sums[0][r], sums[1][r], sums[2][r] = found
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y
