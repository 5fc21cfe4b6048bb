"""Measurements of a row by a team, in float64: maxima, the norm reached, and eta from these.

Maxima solve the rows for p = inf; bisection serves the few rows that Newton's method cannot solve.
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
from numba_car._cuda.row import at, element, loaded
from numba_car._cuda.team import SLOTS, place_in, size_of, team_max, team_sum

_SMALLEST = np.finfo(np.float64).smallest_subnormal


@device
def largest_step(row, eta, team):
    """Return max min(eta*|delta|, room): the norm reached for p = inf, and with eta = inf its R."""
    largest, i = 0.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        largest = max(largest, step(x, delta, lower, upper, eta))
        i += size_of(team)
    return team_max(largest, team)


@device
def max_abs(row, team):
    """Return max |delta|."""
    largest, i = 0.0, place_in(team)
    while i < row[5]:
        largest = max(largest, abs(at(row[1], row[4], i, np.float64)))
        i += size_of(team)
    return team_max(largest, team)


@device
def largest_delta(row, least_room, team):
    """Return max |delta| over the coordinates with at least that much room."""
    largest, i = 0.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        if room(x, delta, lower, upper) >= least_room:
            largest = max(largest, abs(delta))
        i += size_of(team)
    return team_max(largest, team)


@device
def largest_breakpoint(row, team):
    """Return max room/|delta|, rounded up to an eta at which every coordinate is clipped."""
    largest, i = 0.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        if delta != 0:
            largest = max(largest, arrival(room(x, delta, lower, upper), abs(delta)))
        i += size_of(team)
    return team_max(largest, team)


@device
def sum_steps(row, norm, eta, unit, team):
    """Return the sum of the p-th powers of min(eta*|delta|, room) in a unit."""
    total, lost, i = 0.0, 0.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        total, error = two_sum(total, term(step(x, delta, lower, upper, eta) / unit, norm))
        lost += error
        i += size_of(team)
    return team_sum(total + lost, team)


@device
def is_norm(unit, norm):
    """Return whether the largest step is the norm."""
    return len(norm) == MAXIMUM or not 0.0 < unit < math.inf


@device
def norm_reached(row, norm, eta, team):
    """Return N(eta); with eta = inf that is R."""
    unit = largest_step(row, eta, team)
    if is_norm(unit, norm):
        return unit
    return unit * root(sum_steps(row, norm, eta, unit, team), norm)


@device
def bisect(row, norm, eps, team):
    """Return the least float64 eta that reaches min(eps, R), from up to 70 measurements of the norm.

    Each norm is measured in a unit of its own, so that no sum leaves the range of float64.
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
    """Return eta for p = inf: the largest |delta| among the coordinates with room enough decides."""
    reachable, max_abs_delta = eps, largest_delta(row, eps, team)
    if max_abs_delta == 0.0:
        reachable = min(eps, largest_step(row, math.inf, team))
        if reachable == 0.0:
            return 0.0
        max_abs_delta = largest_delta(row, reachable, team)
    return min(arrival(reachable, max_abs_delta), LARGEST)


@kernel
def measure_rows(x, delta, lower, upper, count, n, norm, verdict, eta, reached):
    """Store the norms that the rows that are DONE reach at eta, NaN for others; with eta = (inf,), R."""
    lower, upper = loaded(lower), loaded(upper)
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
def flag_unreachable(eps, max_norm, rounded, discards, eta, saturated, first):
    """Store which rows have an eps above R, and above R rounded to the result's dtype (`rounded`).

    Their eta becomes NaN where `discards`; `first` takes the least of their indices.
    """
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    while r < max_norm.size:
        reachable = max(max_norm[r], at(rounded, r, 0, np.float64))
        beyond = at(eps, r, 0, np.float64) > reachable
        saturated[r] = beyond
        if beyond:
            cuda.atomic.min(first, 0, r)
            if discards:
                eta[r] = math.nan
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.x


@kernel
def flag_negative(eta, count, first):
    """Have `first` take the least index of a row whose scale is negative."""
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    while r < count:
        if at(eta, r, 0, np.float64) < 0:
            cuda.atomic.min(first, 0, r)
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.x
