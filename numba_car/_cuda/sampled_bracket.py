"""Narrowing: a sample tells about where a long row's t lies, and one pass over the row does the rest.

That pass adds up the elements that are clipped, or free, wherever t lies within a bracket, and sets
the few others aside. Newton's method, from the bracket's low end, then goes on among those: as long as
it stays inside, its sums are those of the whole row. Else the last of its steps is one of the row's, too,
and the next pass goes on from there. So the sample changes the number of passes, not the answer.

A bracket is (low, high, width), all of them t but the width, which is relative; `units` are
(unit, max_abs_delta, target), as `solve_finite` has them.
"""

import math

import numpy as np
from numba import cuda

from numba_car._core.constants import MAX_PASSES
from numba_car._core.coordinate import room
from numba_car._core.double_double import two_sum
from numba_car._core.newton import in_range
from numba_car._core.norms import TWO, divisor, is_float32, relative, root, term, unit_of
from numba_car._core.verdicts import NEEDS_MORE_DIGITS, PENDING, SATURATED
from numba_car._cuda.jit import device
from numba_car._cuda.newton import (
    chain_of,
    iterate,
    newton_sums,
    next_step,
    raise_powers,
    weight_and_cap_at,
)
from numba_car._cuda.row import element, four
from numba_car._cuda.team import ALL, WARP, place_in, size_of, team_max, team_sum
from numba_car._cuda.validate import worst

ROUGH = 2.0**-10  # how near a step must be to be the last on a sample, which is no nearer itself
_DEVIATIONS = 5.0  # of a sample's t, on either side: fewer fail more often, more set more aside


@device
def draw(row, stride, size, like, terms, team):
    """Store room and |delta| of a sample, see `launch.sample_size`; return the largest |delta|."""
    max_abs_delta, i = type(like)(0), place_in(team)
    while i < size:
        x, delta, lower, upper = element(row, i // WARP * WARP * stride + i % WARP, type(like))
        terms[0][np.uint64(terms[2] + i)] = room(x, delta, lower, upper)
        terms[1][np.uint64(terms[2] + i)] = abs(delta)
        max_abs_delta = max(max_abs_delta, abs(delta))
        i += size_of(team)
    return team_max(max_abs_delta, team)


@device
def deviation(size, t, terms, team):
    """Return the relative standard deviation of a t at which a sample of that size settles."""
    total, squares, free, i = 0.0, 0.0, 0.0, place_in(team)
    while i < size:
        weight, cap = weight_and_cap_at(terms, i, t)
        moved = min(np.float64(weight * t), np.float64(cap))
        total += moved
        squares += moved * moved
        free += moved if weight * t < cap else 0.0
        i += size_of(team)
    total, squares, free = team_sum(total, team), team_sum(squares, team), team_sum(free, team)
    variance = max(0.0, squares - total * total / size)
    return math.sqrt(variance) / free if free > 0 else math.inf


@device
def around(t, width):
    """Return the bracket of that relative width on either side of t; of no t, that of a plain pass."""
    if not (0 < t < math.inf and width < math.inf):
        return 0.0, 0.0, 1.0
    return t * max(0.0, 1.0 - width), t * (1.0 + width), width


@device
def guess(row, norm, eps, stride, size, like, terms, team):
    """Return the units of a row, and the bracket that a sample of it suggests."""
    float32, max_abs = is_float32(like), draw(row, stride, size, like, terms, team)
    max_abs_delta = unit_of(max_abs if 0 < max_abs < math.inf else 1.0, norm, float32)
    unit = unit_of(eps, norm, float32)
    target = term(eps / unit, norm)
    units = unit, max_abs_delta, target
    if not in_range(target):
        return units, around(0.0, 1.0)
    share = target * size / row[5]
    weight = raise_powers(size, norm, unit, max_abs_delta, like, terms, team)
    start = share / weight if weight > 0 else 0.0
    t, verdict = iterate(size, share, start, ROUGH, like, terms, team)
    if verdict == SATURATED:
        return units, (t, math.inf, 1.0)
    return units, around(t, _DEVIATIONS * deviation(size, type(like)(t), terms, team))


@device
def sift(found, values, is_there, numbers, norm, aside, column):
    """Add an element to the sums that are certain; set it aside where it is neither clipped nor free.

    All threads of a warp have to come here, also those that have no element: they agree on places.
    """
    clipped, free, middle, max_abs_delta, bad, kept = found
    by_unit, by_speed, low, high, slack = numbers
    x, delta, lower, upper = values
    cap, weight = relative(room(x, delta, lower, upper), by_unit, norm), abs(delta)
    weight = relative(weight, by_speed, norm)
    is_clipped, may_clip = weight * low >= cap, weight * high >= cap
    is_open = is_there & may_clip & (not is_clipped)
    power, nothing = term(cap if is_clipped else weight, norm), type(low)(0)
    if is_there:
        max_abs_delta, bad = max(max_abs_delta, abs(delta)), worst(bad, values, slack)
        clipped += power if is_clipped else nothing
        free += nothing if is_clipped | is_open else power
    votes = cuda.ballot_sync(ALL, is_open)
    if votes != 0:
        caps, weights, _, slot, layers, columns = aside
        place = column % WARP
        before = np.uint32(votes) & ((np.uint32(1) << np.uint32(place)) - np.uint32(1))
        at = np.uint32(kept + cuda.popc(before))
        if is_open:
            middle += np.float64(power)
        if is_open & (at < layers * WARP):
            layer = np.int64(at // np.uint32(WARP))
            where = slot * layers * columns + (column - place) + layer * columns
            where = np.uint64(where + np.int64(at % np.uint32(WARP)))
            caps[where], weights[where] = term(cap, norm), power
        kept = np.uint32(kept + cuda.popc(np.uint32(votes)))
    return clipped, free, middle, max_abs_delta, bad, kept


@device
def sift_four(found, values, numbers, norm, aside, column):
    """Sift four elements, which are there."""
    found = sift(found, values[0], True, numbers, norm, aside, column)
    found = sift(found, values[1], True, numbers, norm, aside, column)
    found = sift(found, values[2], True, numbers, norm, aside, column)
    return sift(found, values[3], True, numbers, norm, aside, column)


@device
def narrow(row, column, stride, units, bracket, norm, slack, like, aside, team):
    """Take the sums of a row, or of a sample of it, or of a block's part; set aside what is open.

    Returns the caps of what is clipped, the weights of what is free, those of what is set aside, the
    largest |delta|, what is worst, and the most that a warp had to set aside.
    """
    n, columns = row[5], aside[5]
    numbers = (
        divisor(type(like)(units[0]), norm),
        divisor(type(like)(units[1]), norm),
        type(like)(root(bracket[0], norm)),
        type(like)(root(bracket[1], norm)),
        slack,
    )
    place, nothing = column % WARP, type(like)(0)
    start, step = (column - place) * stride, columns * stride  # a warp's
    found = (nothing, nothing, 0.0, nothing, nothing, np.uint32(0))
    clipped, clipped_lost, free, free_lost = 0.0, 0.0, 0.0, 0.0
    # Loads under way are worth registers, but for powers; bounds and float64 take some themselves.
    ahead = 8 if is_float32(like) and len(norm) <= TWO and len(row[2]) == 1 else 4
    most = max(1, chain_of(like) // ahead)
    while start < n:
        rounds, i = 0, start + place
        while rounds < most and start + (ahead - 1) * step + WARP <= n:
            these = four(row, i, step, type(like))
            those = four(row, i + (ahead - 4) * step, step, type(like))
            found = sift_four(found, these, numbers, norm, aside, column)
            if ahead == 8:
                found = sift_four(found, those, numbers, norm, aside, column)
            rounds, start, i = rounds + 1, start + ahead * step, i + ahead * step
        if rounds == 0:
            values = element(row, min(i, n - 1), type(like))
            found = sift(found, values, i < n, numbers, norm, aside, column)
            start += step
        clipped, error = two_sum(clipped, np.float64(found[0]))
        clipped_lost += error
        free, error = two_sum(free, np.float64(found[1]))
        free_lost += error
        found = (nothing, nothing, found[2], found[3], found[4], found[5])
    if place == 0:
        aside[2][np.uint64((aside[3] * columns + column) // WARP)] = found[5]
    sums = team_sum(clipped + clipped_lost, team), team_sum(free + free_lost, team)
    largest = team_max(found[3], team), team_max(found[4], team), team_max(found[5], team)
    return sums[0], sums[1], team_sum(found[2], team), largest[0], largest[1], largest[2]


@device
def close_in(sums, target, bracket, is_first, near, like, aside, team):
    """Go on among what was set aside, given the sums of `narrow`: return the t before, t, the verdict.

    The verdict is PENDING where the bracket was left, or more was open than there was memory for, and NEEDS_MORE_DIGITS
    after too many passes.
    """
    clipped, free, middle, _, _, most = sums
    layers, before = np.int64(most + WARP - 1) // WARP, bracket[0]
    t, verdict = next_step(before, target, clipped, free + middle, is_first, near, like)
    passes = 0
    while verdict == PENDING and layers <= aside[4] and bracket[0] <= t <= bracket[1]:
        a, b = newton_sums(layers * aside[5], type(like)(t), aside, team)
        before, passes = t, passes + 1
        t, verdict = next_step(t, target, clipped + a, free + b, False, near, like)
        if passes == MAX_PASSES and verdict == PENDING:
            verdict = NEEDS_MORE_DIGITS
    return before, t, verdict


@device
def bracket_of_step(before, t):
    """Return where t may lie after a step to its left: by no more than that step, where all is well."""
    return t, t + abs(t - before), 1.0
