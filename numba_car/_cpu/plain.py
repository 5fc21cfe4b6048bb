"""Newton's method for p = 1 and 2 on rows of ordinary sizes: no units, and no powers are stored.

The first pass checks the row as it sums, which takes little longer than reading it from memory; after
that, x is known to be inside its bounds. A sample of the row tells where to start.
"""

import math

import numpy as np

from numba_car._core.constants import (
    BLOCK_POWERS,
    LARGEST_SUM,
    MAX_LONG_PASSES,
    MAX_PASSES,
    MODERATE_SUM,
    MOST_SORTED,
    NEAR_FLOAT32,
)
from numba_car._core.coordinate import inner_weight_and_cap, is_clipped, is_inside, room
from numba_car._core.newton import advance, conclude, guess, is_last, is_safe, reach_of
from numba_car._core.norms import ONE, divisor, is_float32, relative, term
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, PENDING, SLOW
from numba_car._cpu.row import element, parts_of, rows_of
from numba_car._cpu.sums import add, length_of
from numba_car._jit import checking_loop, kernel, loop, rows

_FAR = 2.0**100  # a t beyond the breakpoints, as far as a guess needs to know
_LOOK = 1024  # elements that a look adds up at once, in the row's own precision
_SAMPLED = 512  # elements from which on a sample saves more than it costs
_SAMPLES, _SAMPLE = 16, 2048  # blocks of a sample at most, one in so many elements
_SHARE, _LEAST = 16, 64  # one element in so many is in the sample, but so many at least
_NEAR_SAMPLE = 2.0**-3  # more digits of its t would not be the row's


@checking_loop
def _look(row, norm, t):
    """Sum the caps that are reached at t, the weights that are free, and all weights.

    The last is infinite or NaN if x is not finite and inside its bounds, or a weight is not finite.
    """
    dtype = type(t)
    largest, nothing = dtype(np.finfo(dtype).max), dtype(0)
    clipped_sum, free_sum, weight_sum = nothing, nothing, nothing
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, dtype)
        weight, cap = inner_weight_and_cap(x, delta, lower, upper, norm)
        weight_sum += weight if is_inside(x, lower, upper, largest) else dtype(math.inf)
        clipped = is_clipped(weight, cap, t)
        clipped_sum += cap if clipped else nothing
        free_sum += nothing if clipped else weight
    return clipped_sum, free_sum, weight_sum


@loop
def _pass(row, norm, t, beyond):
    """Sum the caps that are reached at t, the weights that are free, and those that are beyond it."""
    nothing = type(t)(0)
    clipped_sum, free_sum, later_sum = nothing, nothing, nothing
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, type(t))
        weight, cap = inner_weight_and_cap(x, delta, lower, upper, norm)
        clipped = is_clipped(weight, cap, t)
        clipped_sum += cap if clipped else nothing
        free_sum += nothing if clipped else weight
        later_sum += nothing if is_clipped(weight, cap, beyond) else weight
    return clipped_sum, free_sum, later_sum


@loop
def scale_row(row, norm, unit, max_abs_delta, rooms, deltas):
    """Make x and delta of a row in other units: the way to lower = 0 is the room, and no way is infinite."""
    dtype = rooms.dtype.type
    by_unit, by_speed = divisor(dtype(unit), norm), divisor(dtype(max_abs_delta), norm)
    for i in range(rooms.size):
        x, delta, lower, upper = element(row, i, dtype)
        distance = relative(room(x, delta, lower, upper), by_unit, norm)
        rooms[i] = min(distance, dtype(np.finfo(dtype).max))
        deltas[i] = -relative(abs(delta), by_speed, norm)


@rows
def nearness(like):
    """Return how near a step must be to be the last."""
    return NEAR_FLOAT32 if is_float32(like) else 0.0


@rows
def most_of(like):
    """Return how much sums may be, and the inverse of how little, for rows to need no units."""
    return MODERATE_SUM if is_float32(like) else LARGEST_SUM


@rows
def look(row, norm, t):
    """Add up `_look` over a row, to some 18 bits in float32."""
    clipped_sum, free_sum, weight_sum = 0.0, 0.0, 0.0
    for start in range(0, row[0].size, _LOOK):
        part = parts_of(row, start, min(start + _LOOK, row[0].size))
        clipped, free, weight = _look(part, norm, t)
        clipped_sum += np.float64(clipped)
        free_sum += np.float64(free)
        weight_sum += np.float64(weight)
    return clipped_sum, free_sum, weight_sum


@rows
def pass_over(row, norm, target, t, beyond, block, stride):
    """Add up `_pass` over a block at every stride of a row: all of it if they are equal.

    The first sum is less the target, so that their difference is not that of rounded numbers.
    """
    excess, excess_lost, free_sum, free_lost, later_sum = -target, 0.0, 0.0, 0.0, 0.0
    start = 0
    while start < row[0].size:
        length = length_of(row[0].size - start, block)
        clipped, free, later = _pass(parts_of(row, start, start + length), norm, t, beyond)
        excess, excess_lost = add(excess, excess_lost, np.float64(clipped))
        free_sum, free_lost = add(free_sum, free_lost, np.float64(free))
        later_sum += np.float64(later)
        start += length + (stride - block)
    return excess + excess_lost, free_sum + free_lost, later_sum


@rows
def sample_of(n):
    """Return how many blocks of a row are in its sample, their length, and the stride between them."""
    blocks = max(1, min(n // _SAMPLE, _SAMPLES))
    return blocks, max(n // (_SHARE * blocks), _LEAST), n // blocks


@rows
def iterate_sample(row, norm, target, like):
    """Return about where a sample of a row settles."""
    blocks, block, stride = sample_of(row[0].size)
    target, far = target * (blocks * block / row[0].size), type(like)(_FAR)
    capacity, _, weight = pass_over(row, norm, 0.0, far, type(like)(0), block, stride)
    t, is_first = guess(target, weight, capacity, norm), True
    for _ in range(MAX_PASSES):
        here = type(like)(t)
        excess, free_sum, _ = pass_over(row, norm, target, here, here, block, stride)
        t, verdict = advance(t, 0.0, excess, free_sum, is_first, _NEAR_SAMPLE)
        if verdict != PENDING:
            break
        is_first = False
    return t


@rows
def iterate(row, norm, target, start, step, like, block):
    """Iterate from a start until a step leaves out nothing of account; return t and the verdict.

    `step` is that to the start, as a share of it; 1 if that is not known.
    """
    near, t, is_first = nearness(like), start, True
    for _ in range(MAX_PASSES if row[0].size <= MOST_SORTED else MAX_LONG_PASSES):
        beyond = t * (1 + reach_of(step, like))
        here, there = type(like)(t), type(like)(beyond)
        excess, free_sum, later_sum = pass_over(row, norm, target, here, there, block, block)
        following, verdict = advance(t, 0.0, excess, free_sum, is_first, near)
        if is_float32(like) and not is_safe(following, excess, free_sum):
            return 0.0, NEEDS_MORE_DIGITS
        if verdict == PENDING and is_last(t, following, beyond, free_sum, later_sum, near):
            verdict = DONE
        if verdict != PENDING:
            return following, verdict
        step = abs(following - t) / following if following > 0 else 1.0
        t, is_first = following, False
    return t, SLOW


@rows
def solve_t(row, norm, target, block):
    """Return t and the verdict of a row that nothing is known of; PENDING if it is none of these."""
    like = row[0].dtype.type(0)
    most = most_of(like)
    if not 1 / most <= target <= most:
        return 0.0, PENDING
    t = iterate_sample(row, norm, target, like) if row[0].size >= _SAMPLED else _FAR
    t = t if 0 < t < _FAR else _FAR  # whatever a sample of NaN may give
    clipped_sum, free_sum, weight_sum = look(row, norm, type(like)(t))
    if not 0 < weight_sum <= most:
        return 0.0, PENDING
    if t == _FAR:
        start, step = guess(target, weight_sum, clipped_sum, norm), 1.0
    elif clipped_sum < target and free_sum > 0:
        # A little less, since the sums are rough: from beyond the root one pass more is needed.
        start = (target - clipped_sum) / free_sum * (1 - reach_of(0.0, like) / 2)
        step = abs(start - t) / start
    else:
        start, step = target / weight_sum, 1.0
    t, verdict = iterate(row, norm, target, start, step, like, block)
    if len(norm) == ONE and not is_float32(like) and verdict == DONE:
        # No root halves what the sums have lost: once more, in blocks that lose nothing.
        t, verdict = iterate(row, norm, target, t, 0.0, like, BLOCK_POWERS)
    return t, PENDING if verdict == NEEDS_MORE_DIGITS else verdict


@rows
def solve_row(row, norm, eps, block):
    """Return eta and the verdict of such a row."""
    if eps == 0:
        like = row[0].dtype.type(0)
        return 0.0, DONE if look(row, norm, like)[2] <= most_of(like) else PENDING
    t, verdict = solve_t(row, norm, term(eps, norm), block)
    eta, verdict = conclude(1.0, t, 0.0, norm, verdict)
    return (0.0, PENDING) if verdict == NEEDS_MORE_DIGITS else (eta, verdict)


@kernel
def solve_rows(x, delta, lower, upper, n, eps, norm, block, eta, verdict):
    """Solve those of a block of rows that are new and of ordinary sizes; return whether all are."""
    all_done = True
    for r in range(eps.size):
        if verdict[r] == PENDING:
            row = rows_of(x, delta, lower, upper, r, n)
            eta[r], verdict[r] = solve_row(row, norm, eps[r], block)
        all_done &= verdict[r] == DONE
    return all_done
