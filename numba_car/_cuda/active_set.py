"""The sums over a row's free coordinates, and the coordinate that decides alone: what derivatives need.

As `_cpu/active_set.py`, which says why, but by a team and in float64 only. With g upstream of
clip(x + eta*delta) and h of eta, eta takes up pull = h + sum_free g_i delta_i.
"""

import math

import numpy as np

from numba_car._core.constants import LARGEST
from numba_car._core.coordinate import breakpoint_of, room
from numba_car._core.derivative import (
    hold,
    inverse_unit,
    is_free,
    move_of,
    rates,
    slowness,
    unit_at_zero,
)
from numba_car._core.double_double import two_sum
from numba_car._core.norms import MAXIMUM, NORM_1, term
from numba_car._cuda.jit import device
from numba_car._cuda.measure import largest_delta, largest_step
from numba_car._cuda.row import at, element
from numba_car._cuda.team import place_in, size_of, team_first, team_max, team_sum

_SMALLEST = np.finfo(np.float64).smallest_subnormal


@device
def held(row, eps, eta, team):
    """Return eta, or the largest eta whose product with any |delta| float64 holds."""
    return hold(eta, largest_delta(row, LARGEST, team) if eps > LARGEST / 2 else 0.0)


@device
def gather(row, g, norm, eta, inverse, team):
    """Return the sums of (eta*|delta|*inverse)**p, without eta where it is 0, and of g*delta, over the free."""
    share, lost, pull, factor = 0.0, 0.0, 0.0, eta if eta > 0 else 1.0
    i = place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        if is_free(x, delta, lower, upper, eta):
            share, error = two_sum(share, term(move_of(delta, factor, inverse), norm))
            lost += error
            pull += at(g, row[4], i, np.float64) * delta
        i += size_of(team)
    share = team_sum(share + lost, team)
    pull = team_sum(pull, team)
    return share, pull


@device
def last_to_clip(row, team):
    """Return the coordinate with the largest breakpoint, the first of equals; -1 if none moves."""
    best, largest, i = np.int64(-1), -1.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        here = breakpoint_of(x, delta, lower, upper)
        if here > largest:
            best, largest = i, here
        i += size_of(team)
    latest = team_max(max(largest, 0.0), team)
    return team_first(best if largest == latest else np.int64(-1), team)


@device
def first_largest_with_room(row, least, team):
    """Return the first coordinate with the largest |delta| of those with that much room, and with any.

    It is -1 if none moves.
    """
    least = max(least, _SMALLEST)
    max_abs_delta = largest_delta(row, least, team)
    found, i = np.int64(-1), place_in(team)
    while i < row[5] and max_abs_delta > 0 and found < 0:
        x, delta, lower, upper = element(row, i, np.float64)
        if abs(delta) == max_abs_delta and room(x, delta, lower, upper) >= least:
            found = i
        i += size_of(team)
    return team_first(found, team)


@device
def decide(row, eps, team):
    """Return the coordinate that decides for p = inf, or -1, and whether the row is saturated."""
    decider = first_largest_with_room(row, eps, team)
    if decider >= 0 and eps > 0:
        return decider, False
    reachable = min(eps, largest_step(row, math.inf, team))
    return first_largest_with_room(row, reachable, team), eps > 0


@device
def analyse(row, g, norm, eps, eta, team):
    """Return sum_free g*delta, rate, d eta / d eps, the coordinate that decides alone (or -1), and saturation.

    The last says whether the room of that coordinate decides, as in a saturated row, or its |delta|.
    """
    none = np.int64(-1)
    if len(norm) == MAXIMUM:
        decider, saturated = decide(row, eps, team)
        _, pull = gather(row, g, NORM_1, eta, 1.0, team)
        if decider < 0 or saturated:
            return pull, 0.0, 0.0, decider, True
        max_abs_delta = abs(at(row[1], row[4], decider, np.float64))
        return pull, 0.0, slowness(max_abs_delta, 1.0, NORM_1), decider, False
    if eta == 0:
        first = first_largest_with_room(row, 0.0, team)
        unit = unit_at_zero(abs(at(row[1], row[4], first, np.float64)) if first >= 0 else 1.0)
        share, pull = gather(row, g, norm, eta, 1.0 / unit, team)
        by_eps = slowness(unit, share, norm) if first >= 0 else 0.0
        return pull, 0.0, by_eps, none, False
    share, pull = gather(row, g, norm, eta, inverse_unit(eps, 1.0), team)
    if share == 0:
        return pull, 0.0, 0.0, last_to_clip(row, team), True
    rate, by_eps = rates(share, norm, eps, eta)
    return pull, rate, by_eps, none, False
