"""Newton's method on a long row within a bracket of t that a sample of the row suggests.

The kernels of `long_rows` and `multi_block` call `guess` once for a row, then for each round `narrow`, `iterate_in`
and `bracket_of_step`. `narrow` passes over the row: it adds up the elements that are clipped, or free, for every t in
the bracket, and sets the few others aside. `iterate_in` takes Newton steps from the bracket's low end over those set
aside: while t is inside the bracket, the sums are those of the whole row. So the step that leaves the bracket is a
step for the whole row, from which the next round starts: the sample changes the number of rounds, not the answer.

A bracket is (low, high, width): low and high are values of t, and the width is relative to t. `units` are
(unit, max_abs_delta, target), see `_core.newton.units_of`. `aside` is memory, laid out as terms SET_ASIDE.
"""

import math

import numpy as np
from numba import cuda

from numba_car._core.coordinate import is_clipped, room
from numba_car._core.double_double import two_sum
from numba_car._core.newton import in_range, start_of, units_of
from numba_car._core.norms import TWO, divisor, is_float32, relative, root, term
from numba_car._core.verdicts import SATURATED
from numba_car._cuda.jit import device
from numba_car._cuda.newton import NO_REST, iterate
from numba_car._cuda.row import NUMBER, element, four
from numba_car._cuda.team import ALL, WARP, place_in, size_of, team_max, team_sum
from numba_car._cuda.terms import chain_of, keep, raise_powers, weight_and_cap_at
from numba_car._cuda.validate import NO_FAULT, worst

ROUGH = 2.0**-10  # relative length of the last step on a sample, whose t has a larger error
_DEVIATIONS = 5.0  # half a bracket: fewer miss the root more often, more set more aside


@device
def draw(row, stride, size, like, terms, team):
    """Store a sample of `size` elements, whole warps `stride` warps apart, in `terms`; return its largest |delta|."""
    max_abs_delta, i = type(like)(0), place_in(team)
    while i < size:
        values = element(row, i // WARP * WARP * stride + i % WARP, type(like))
        keep(terms, i, values)
        max_abs_delta = max(max_abs_delta, abs(values[1]))
        i += size_of(team)
    return team_max(max_abs_delta, team)


@device
def deviation(size, t, terms, team):
    """Return the relative standard deviation of t, the root of a sample of `size` elements in `terms`."""
    total, squares, free, i = 0.0, 0.0, 0.0, place_in(team)
    while i < size:
        weight, cap = weight_and_cap_at(terms, i, t)
        moved = min(np.float64(weight * t), np.float64(cap))
        total += moved
        squares += moved * moved
        free += 0.0 if is_clipped(weight, cap, t) else moved
        i += size_of(team)
    total, squares, free = team_sum(total, team), team_sum(squares, team), team_sum(free, team)
    variance = max(0.0, squares - total * total / size)
    return math.sqrt(variance) / free if free > 0 else math.inf


@device
def around(t, width):
    """Return the bracket of relative width `width` on either side of a sample's t; (0, 0, 1) if t is not usable."""
    if not (0 < t < math.inf and width < math.inf):
        return 0.0, 0.0, 1.0
    return t * max(0.0, 1.0 - width), t * (1.0 + width), width


@device
def guess(row, norm, eps, stride, size, like, terms, team):
    """Return the units of a row, and the bracket around the root of a sample of the row; called before any pass."""
    max_abs = draw(row, stride, size, like, terms, team)
    max_abs = max_abs if 0 < max_abs < math.inf else 1.0
    unit, max_abs_delta, target = units_of(eps, max_abs, norm, is_float32(like))
    units = unit, max_abs_delta, target
    if not in_range(target):
        return units, around(0.0, 1.0)
    share = target * size / row[5]
    start = start_of(share, raise_powers(size, norm, unit, max_abs_delta, like, terms, team))
    _, t, verdict = iterate(size, share, start, True, NO_REST, ROUGH, like, terms, team)
    if verdict == SATURATED:
        return units, (t, math.inf, 1.0)
    return units, around(t, _DEVIATIONS * deviation(size, type(like)(t), terms, team))


@device
def sift(found, values, is_there, numbers, norm, aside, column):
    """Return the running sums `found` with one element added if it is clipped, or free, in the whole bracket.

    An element that is neither is set aside. All threads of a warp must call, also those without an element
    (`is_there` is false): the votes of the warp tell each thread where it stores an element set aside.
    """
    clipped, free, middle, max_abs_delta, fault, kept = found
    by_unit, by_max_abs_delta, low, high, slack = numbers
    x, delta, lower, upper = values
    cap, weight = relative(room(x, delta, lower, upper), by_unit, norm), abs(delta)
    weight = relative(weight, by_max_abs_delta, norm)
    is_reached, may_clip = is_clipped(weight, cap, low), is_clipped(weight, cap, high)
    is_open = is_there & may_clip & (not is_reached)
    power, nothing = term(cap if is_reached else weight, norm), type(low)(0)
    if is_there:
        max_abs_delta, fault = max(max_abs_delta, abs(delta)), worst(fault, values, slack)
        clipped += power if is_reached else nothing
        free += nothing if is_reached | is_open else power
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
    return clipped, free, middle, max_abs_delta, fault, kept


@device
def sift_four(found, values, numbers, norm, aside, column):
    """Return the running sums `found` with four elements added or set aside, as `sift` does with one that is there."""
    found = sift(found, values[0], True, numbers, norm, aside, column)
    found = sift(found, values[1], True, numbers, norm, aside, column)
    found = sift(found, values[2], True, numbers, norm, aside, column)
    return sift(found, values[3], True, numbers, norm, aside, column)


@device
def narrow(row, column, stride, units, bracket, norm, slack, like, aside, team):
    """Return sums over a row, a sample of it, or a block's part of either; set aside what the bracket leaves open.

    The sums are of the caps of the clipped, of the weights of the free, and of the weights of the elements
    set aside; then come the largest |delta|, the worst fault, and the most elements that a warp set aside.
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
    start, step = (column - place) * stride, columns * stride  # of a warp
    found = (nothing, nothing, 0.0, nothing, np.float32(NO_FAULT), np.uint32(0))
    clipped, clipped_lost, free, free_lost = 0.0, 0.0, 0.0, 0.0
    # 8 loads at once hide latency, except where powers, bounds or float64 take the registers.
    ahead = 8 if is_float32(like) and len(norm) <= TWO and len(row[2]) == NUMBER else 4
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
def iterate_in(bracket, sums, target, is_first, near, like, aside, team):
    """Return the t before the last step, t, and the verdict, iterating from the bracket's low end.

    Steps use the elements set aside and the sums of `narrow`. The verdict is PENDING once t has left the
    bracket, or after one step if memory did not hold all elements to be set aside.
    """
    clipped, free, middle, _, _, most = sums
    layers = np.int64(most + WARP - 1) // WARP
    low, high = bracket[0], bracket[1] if layers <= aside[4] else -math.inf
    rest = clipped, free, middle, low, high
    return iterate(layers * aside[5], target, low, is_first, rest, near, like, aside, team)


@device
def bracket_of_step(before, t):
    """Return the bracket of the next round: from t on, as wide as the step that led from `before` to t."""
    return t, t + abs(t - before), 1.0
