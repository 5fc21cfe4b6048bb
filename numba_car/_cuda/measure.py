"""What a team measures on a row in memory, in float64: extremes, the norm reached, and eta by bisection.

Extremes and bisection serve the rows that Newton's method does not iterate; most never come here.
"""

import math

import numpy as np
from numba import cuda

from numba_car._core.constants import LARGEST
from numba_car._core.coordinate import arrival, room, step
from numba_car._core.double_double import two_sum
from numba_car._core.norms import MAXIMUM, root, term
from numba_car._core.verdicts import DONE
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.row import at, element
from numba_car._cuda.team import SLOTS, place_in, size_of, team_max, team_sum

_SMALLEST = np.finfo(np.float64).smallest_subnormal


@device
def largest_step(row, eta, team):
    """Max min(eta*|delta|, room): the norm reached for p = inf, and with eta = inf its R."""
    largest, i = 0.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        largest = max(largest, step(x, delta, lower, upper, eta))
        i += size_of(team)
    return team_max(largest, team)


@device
def max_abs(row, team):
    """Max |delta|."""
    largest, i = 0.0, place_in(team)
    while i < row[5]:
        largest = max(largest, abs(at(row[1], row[4], i, np.float64)))
        i += size_of(team)
    return team_max(largest, team)


@device
def largest_delta(row, least_room, team):
    """Max |delta| over the coordinates with at least that much room."""
    largest, i = 0.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        if room(x, delta, lower, upper) >= least_room:
            largest = max(largest, abs(delta))
        i += size_of(team)
    return team_max(largest, team)


@device
def largest_breakpoint(row, team):
    """Max room/|delta|, rounded so that nothing moves from there on."""
    largest, i = 0.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        if delta != 0:
            largest = max(largest, arrival(room(x, delta, lower, upper), abs(delta)))
        i += size_of(team)
    return team_max(largest, team)


@device
def norm_reached(row, norm, eta, team):
    """N(eta); with eta = inf that is R."""
    unit = largest_step(row, eta, team)
    if len(norm) == MAXIMUM or not 0.0 < unit < math.inf:
        return unit
    total, lost, i = 0.0, 0.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        total, error = two_sum(total, term(step(x, delta, lower, upper, eta) / unit, norm))
        lost += error
        i += size_of(team)
    return unit * root(team_sum(total + lost, team), norm)


@device
def bisect(row, norm, eps, team):
    """Return the least float64 eta that reaches min(eps, R), by up to 70 measurements of the row.

    Each is taken in units of its own, so that this holds wherever eta and the norm are float64s: it
    needs no arithmetic beyond their range.
    """
    wanted = min(eps, norm_reached(row, norm, math.inf, team))
    if wanted <= 0.0:
        return 0.0
    below, above = 0.0, min(largest_breakpoint(row, team), LARGEST)
    while True:
        middle = below + 0.5 * (above - below)
        if above > 4.0 * below:  # halve the exponent first
            middle = math.sqrt(max(below, _SMALLEST)) * math.sqrt(above)
        if not below < middle < above:
            return above
        if norm_reached(row, norm, middle, team) >= wanted:
            above = middle
        else:
            below = middle


@device
def solve_maximum_norm(row, eps, team):
    """Solve for p = inf: the max_abs of the coordinates with room enough decides."""
    reachable, max_abs_delta = eps, largest_delta(row, eps, team)
    if max_abs_delta == 0.0:
        reachable = min(eps, largest_step(row, math.inf, team))
        if reachable == 0.0:
            return 0.0
        max_abs_delta = largest_delta(row, reachable, team)
    return min(arrival(reachable, max_abs_delta), LARGEST)


@kernel
def measure_rows(x, delta, lower, upper, count, n, norm, verdict, eta, reached):
    """Store the norms that rows reach at eta; with eta = (inf,) that is R."""
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        scale, found = at(eta, r, 0, np.float64), math.nan
        if verdict[r] == DONE and not math.isnan(scale):
            found = norm_reached((x, delta, lower, upper, r, n), norm, scale, team)
        if cuda.threadIdx.x == 0:
            reached[r] = found
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y


@kernel
def flag_unreachable(eps, max_norm, shown, discards, eta, saturated, first):
    """Say which rows ask for more than R, be it R itself or R as the result's dtype shows it.

    Their eta becomes NaN where `discards`; `first` takes the least of their indices.
    """
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    while r < max_norm.size:
        reachable = max(max_norm[r], at(shown, r, 0, np.float64))
        beyond = at(eps, r, 0, np.float64) > reachable
        saturated[r] = beyond
        if beyond:
            cuda.atomic.min(first, 0, r)
            if discards:
                eta[r] = math.nan
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.x
