"""Newton's method on G(t) = sum_i min(w_i t, c_i), concave and piecewise linear, t = eta**p.

With the clipped terms' sum C and the free weights' sum S at the current t, the next t solves
C + t S = target. Seen from anywhere, it lies at or left of the root; from then on the iterates
climb, and they stop exactly when the free set does: at the closed form of the paper.
"""

import math

from numba_car._core.limits import LARGEST_SUM, RANGE_FLOAT32, SMALLEST_SUM
from numba_car._core.norms import is_short, root, term
from numba_car._jit import formula

# Verdicts on a row, or on a step towards its answer.
GO_ON = 0  # at the outset, and while it goes on
SUSPECT = 1  # not finite, or not between the bounds, or only by rounding
CLEARED = 2  # suspect no more
NOT_FINITE = 3
OUTSIDE = 4  # x is not between its bounds
SLOW = 5  # not done within so many passes
SATURATED = 6  # nothing is free any more
OUT_OF_RANGE = 7  # the powers may have over- or underflowed
DONE = 8
DISCARDED = 9  # solved, but the caller does not want it

_TINY, _HUGE = 2.0**-1000, 2.0**1000  # all digits of an eta, or a scale, in between are its own


@formula
def in_range(value):
    """Whether sums of this size are safe from lost terms."""
    return SMALLEST_SUM <= value <= LARGEST_SUM


@formula
def is_safe(t, clipped_sum, free_sum):
    """Whether the terms that float32 loses to its range are of no account."""
    least, most = 1 / RANGE_FLOAT32, RANGE_FLOAT32
    return t < most and clipped_sum < most and (free_sum == 0 or least < free_sum < most)


@formula
def advance(t, target, clipped_sum, free_sum, is_first, near):
    """Return the next t and whether to go on from there; a step that is relatively near is the last.

    What such a step leaves out is smaller by the share of the breakpoints that lie within it.
    """
    remaining = target - clipped_sum
    if is_first and (remaining < 0 or (remaining == 0 and free_sum > 0)):
        return 0.0 * t, GO_ON  # too far right to see the root from; zero never is
    if free_sum <= 0:
        return t, SATURATED
    if not (in_range(free_sum) and clipped_sum < math.inf):
        return t, OUT_OF_RANGE
    following = remaining / free_sum
    if abs(following - t) <= near * t:
        return following, DONE
    # Left of the root the exact iterates climb, so a step back is rounding, and t the answer.
    return (following, GO_ON) if is_first or following > t else (t, DONE)


@formula
def guess(target, weight, capacity, norm):
    """Return about where a row settles whose weights and caps sum up so; too far left if in doubt.

    Exact where nothing is clipped; the power fits uniform x and normal delta.
    """
    slack = max(1.0 - target / capacity, 2.0**-10) if capacity > 0 else 1.0
    return target / weight * (term(1.0 / slack, norm) * math.sqrt(slack))


@formula
def reach_of(step, lane):
    """Return how far, as a share of t, the step after one of that share may go, with room for rounding."""
    return min(4.0 * step * step, 0.25) + (2.0**-18 if is_short(lane) else 2.0**-43)


@formula
def is_last(t, following, beyond, free_sum, later_sum, near):
    """Whether a step to the right leaves out nothing of account.

    That is at most its length times the share of the weights that stop within it, of those that go on:
    of `free_sum` at t, `later_sum` are free beyond the step.
    """
    stopping = max(free_sum - later_sum, 0.0)
    return t <= following <= beyond and (following - t) * stopping <= near * following * later_sum


@formula
def conclude(scale, t, lost, norm, verdict):
    """Turn t into eta = scale * (t + lost)**(1/p); call it a guess if the powers were not safe."""
    ratio = root(t, norm)
    if len(norm) > 2 and t > 0:
        ratio += ratio * (norm[1] * (lost / t))
    eta = scale * ratio
    # Weights of p < 1 are in range even where the numbers below them, of 1/ratio, have lost digits.
    is_safe = in_range(t) and in_range(ratio)
    if verdict == DONE and not (is_safe and _TINY <= eta <= _HUGE and scale >= _TINY):
        return (eta if eta < math.inf else 0.0 * t), OUT_OF_RANGE
    return eta, verdict
