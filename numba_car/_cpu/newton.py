"""Newton's method on a row, for every kind of terms of `_cpu.terms`, and the choice of its start.

a) `validate_and_sum` is the first pass over the row: its sums also show whether all x are finite and inside their
   bounds. `sum_terms` is every other pass, over a row or over a sample of it.
b) `iterate`, called by `sort` too, repeats `sum_terms` until a step is the last: `docs/derivation.md`, eq. (6) to (14).
c) `solve_t`, called by `solve_row` and `kernels`, samples the row for a start, validates, and iterates.

Rows of `long_rows.LONG` elements or more run `iterate` and `solve_t` interpreted, over passes that threads share.
"""

import math

import numpy as np

from numba_car._core.constants import BLOCK_POWERS, LARGEST_SUM, MODERATE_SUM
from numba_car._core.coordinate import is_clipped, is_inside, weight_and_cap
from numba_car._core.newton import guess, is_last, most_passes, nearness, next_step, reach_of
from numba_car._core.norms import ONE, STORED_POWERS, is_float32, largest_number
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, PENDING, SATURATED
from numba_car._cpu.row import element, parts_of
from numba_car._cpu.sums import add, length_of
from numba_car._cpu.terms import RECOMPUTED, like_of, recompute
from numba_car._jit import checking_loop, loop, rows

_FAR = 2.0**100  # a t treated as beyond all breakpoints where a start is chosen
_FIRST_BLOCK = 1024  # elements of the first pass that are summed in the row's own precision
_SAMPLED = 512  # elements from which on a sample saves more than it costs
_SAMPLES, _SAMPLE = 16, 2048  # most blocks of a sample, and elements of the row for each
_SHARE, _LEAST = 16, 64  # a sample has one element in 16, but 64 at least: eq. (11)
_SURELY_LESS = (
    1 - 2.0**-16
)  # times the target: more than what the sums of the first pass may be off by
_NEAR_SAMPLE = 2.0**-3  # relative length of the last step on a sample, whose t is rough


@checking_loop
def _validate_and_sum(row, norm, t):
    """Return the sums over a block of the caps of the terms clipped at t, of the free weights, and of all weights.

    The sum of all weights is infinite or NaN if some x is not finite and inside its bounds, or some weight not finite.
    """
    dtype = type(t)
    largest, nothing = largest_number(dtype(0)), dtype(0)
    clipped_sum, free_sum, weight_sum = nothing, nothing, nothing
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, dtype)
        weight, cap = weight_and_cap(x, delta, lower, upper, norm)
        weight_sum += weight if is_inside(x, lower, upper, largest) else dtype(math.inf)
        clipped = is_clipped(weight, cap, t)
        clipped_sum += cap if clipped else nothing
        free_sum += nothing if clipped else weight
    return clipped_sum, free_sum, weight_sum


@loop
def _sum_terms(row, norm, t, beyond):
    """Return the sums over a block of the caps clipped at t, of the weights free at t, and of the free at `beyond`."""
    nothing = type(t)(0)
    clipped_sum, free_sum, later_sum = nothing, nothing, nothing
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, type(t))
        weight, cap = weight_and_cap(x, delta, lower, upper, norm)
        clipped = is_clipped(weight, cap, t)
        clipped_sum += cap if clipped else nothing
        free_sum += nothing if clipped else weight
        later_sum += nothing if is_clipped(weight, cap, beyond) else weight
    return clipped_sum, free_sum, later_sum


@rows
def validate_and_sum(terms, norm, t):
    """Return the three sums of `_validate_and_sum` over all terms, good to some 18 bits for float32 terms."""
    clipped_sum, free_sum, weight_sum = 0.0, 0.0, 0.0
    for start in range(0, terms[0].size, _FIRST_BLOCK):
        stop = min(start + _FIRST_BLOCK, terms[0].size)
        if len(terms) == RECOMPUTED:
            block = recompute(terms, norm, start, stop)
            clipped, free, weight = _validate_and_sum(block, STORED_POWERS, t)
        else:
            clipped, free, weight = _validate_and_sum(parts_of(terms, start, stop), norm, t)
        clipped_sum += np.float64(clipped)
        free_sum += np.float64(free)
        weight_sum += np.float64(weight)
    return clipped_sum, free_sum, weight_sum


@rows
def sum_terms(terms, norm, target, t, beyond, block, stride):
    """Return the three sums of `_sum_terms`, the first less the target, with compensation after each block.

    Blocks of `block` terms begin `stride` terms apart: all terms are summed if the two are equal, else a sample.
    """
    excess, excess_lost, free_sum, free_lost, later_sum = -target, 0.0, 0.0, 0.0, 0.0
    start = 0
    while start < terms[0].size:
        length = length_of(terms[0].size - start, block)
        if len(terms) == RECOMPUTED:
            here = recompute(terms, norm, start, start + length)
            clipped, free, later = _sum_terms(here, STORED_POWERS, t, beyond)
        else:
            here = parts_of(terms, start, start + length)
            clipped, free, later = _sum_terms(here, norm, t, beyond)
        excess, excess_lost = add(excess, excess_lost, np.float64(clipped))
        free_sum, free_lost = add(free_sum, free_lost, np.float64(free))
        later_sum += np.float64(later)
        start += length + (stride - block)
    return excess + excess_lost, free_sum + free_lost, later_sum


@rows
def iterate(terms, norm, target, start, step, near, block, stride):
    """Return the t at which Newton's method ends, from any start, and the verdict; PENDING after `most_passes(n)`.

    `step` is the relative length of the step that led to the start, 1 if unknown. A step is the last if its
    relative length, or its relative truncation error, is below `near`.
    """
    t, is_first, like = start, True, like_of(terms)
    for _ in range(most_passes(terms[0].size)):
        beyond = t * (1 + reach_of(step, like))
        here, there = type(like)(t), type(like)(beyond)
        excess, free_sum, later_sum = sum_terms(terms, norm, target, here, there, block, stride)
        following, verdict = next_step(t, 0.0, excess, free_sum, is_first, near, like)
        if verdict == NEEDS_MORE_DIGITS:
            return 0.0, verdict
        if verdict == PENDING and is_last(t, following, beyond, free_sum, later_sum, near):
            verdict = DONE
        if verdict != PENDING:
            return following, verdict
        step = abs(following - t) / following if following > 0 else 1.0
        t, is_first = following, False
    return t, PENDING


@rows
def sample_of(n):
    """Return how many blocks of a row are in its sample, their length, and the stride between them."""
    blocks = max(1, min(n // _SAMPLE, _SAMPLES))
    return blocks, max(n // (_SHARE * blocks), _LEAST), n // blocks


@rows
def solve_sample(terms, norm, p_norm, target):
    """Return the root t of a sample of the terms, good to a few bits: a start for the whole row."""
    n, like = terms[0].size, like_of(terms)
    blocks, block, stride = sample_of(n)
    target, far = target * (blocks * block / n), type(like)(_FAR)
    capacity, _, weight = sum_terms(terms, norm, 0.0, far, type(like)(0), block, stride)
    start = guess(target, weight, capacity, p_norm)
    return iterate(terms, norm, target, start, 0.0, _NEAR_SAMPLE, block, stride)[0]


@rows
def largest_sum(like):
    """Return the largest sum, and the inverse of the smallest, that terms of the dtype of `like` need no units for."""
    return MODERATE_SUM if is_float32(like) else LARGEST_SUM


@rows
def solve_t(terms, norm, p_norm, target, block):
    """Return t and the verdict for terms not validated yet; NEEDS_MORE_DIGITS if sums leave their range.

    `norm` says how to read the terms (stored powers or not), `p_norm` is the norm of p. The verdict is also
    NEEDS_MORE_DIGITS if some x is not finite and inside its bounds.
    """
    like, n = like_of(terms), terms[0].size
    most = largest_sum(like)
    if not 1 / most <= target <= most:
        return 0.0, NEEDS_MORE_DIGITS
    t = solve_sample(terms, norm, p_norm, target) if n >= _SAMPLED else _FAR
    t = t if 0 < t < _FAR else _FAR  # NaN in a sample makes its t arbitrary
    clipped_sum, free_sum, weight_sum = validate_and_sum(terms, norm, type(like)(t))
    if not 0 < weight_sum <= most:
        return 0.0, NEEDS_MORE_DIGITS
    if free_sum <= 0 and clipped_sum < target * _SURELY_LESS:
        return t, SATURATED
    if t == _FAR:
        start, step = guess(target, weight_sum, clipped_sum, p_norm), 1.0
    elif clipped_sum < target and free_sum > 0:
        # Slightly lowered, since these sums are rough: a start right of the root costs one more pass.
        start = (target - clipped_sum) / free_sum * (1 - reach_of(0.0, like) / 2)
        step = abs(start - t) / start
    else:
        capacity = clipped_sum + (p_norm[0] + 1.0) * (t * free_sum)
        start, step = guess(target, weight_sum, capacity, p_norm), 1.0
    t, verdict = iterate(terms, norm, target, start, step, nearness(like), block, block)
    if len(norm) == ONE and not is_float32(like) and verdict == DONE:
        # For p = 1 no root halves the error of the sums: iterate again, in blocks that lose nothing.
        t, verdict = iterate(terms, norm, target, t, 0.0, 0.0, BLOCK_POWERS, BLOCK_POWERS)
    return t, verdict
