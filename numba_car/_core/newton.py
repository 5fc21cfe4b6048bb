"""Newton's method on G(t) = sum_i min(w_i t, c_i), concave and piecewise linear, t = eta**p.

With the sum C of the clipped terms and the sum S of the free weights at the current t, the next t solves
C + t S = target. From any start, the next t lies at or left of the root; from then on the iterates increase,
and they end when the free set repeats: at the closed form of the paper. Solvers on CPU and GPU call `next_step`
after each pass over a row, which gives the sums, and `conclude` once t is found.
"""

import math

from numba_car._core.constants import (
    LARGEST_SUM,
    MAX_LONG_PASSES,
    MAX_PASSES,
    MOST_SORTED,
    NEAR_FLOAT32,
    RANGE_FLOAT32,
    SMALLEST_SUM,
)
from numba_car._core.norms import GENERAL, is_float32, root, term, unit_of
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, PENDING, SATURATED
from numba_car._jit import formula

_TINY, _HUGE = 2.0**-1000, 2.0**1000  # an eta or a scale in between has all 53 bits


@formula
def in_range(value):
    """Return whether sums of this size lose no terms to overflow or underflow."""
    return SMALLEST_SUM <= value <= LARGEST_SUM


@formula
def is_safe(t, excess, free_sum):
    """Return whether the loss of float32 sums to overflow and underflow is below their rounding."""
    least, most = 1 / RANGE_FLOAT32, RANGE_FLOAT32
    return t < most and excess < most and (free_sum == 0 or least < free_sum < most)


@formula
def nearness(like):
    """Return the relative length below which a step is the last: 0 in float64, where only equality ends."""
    return NEAR_FLOAT32 if is_float32(like) else 0.0


@formula
def most_passes(n):
    """Return how many passes Newton's method may take over n elements: then sorting costs less than more passes."""
    return MAX_PASSES if n <= MOST_SORTED else MAX_LONG_PASSES


@formula
def advance(t, target, clipped_sum, free_sum, is_first, near):
    """Return the next t and a verdict: PENDING if another pass is needed, DONE after a step below `near`.

    The truncation error of a step is smaller than the step, by the share of the weights that become clipped
    within the step; see `docs/derivation.md`, eq. (6) and (12).
    """
    remaining = target - clipped_sum
    if is_first and (remaining < 0 or (remaining == 0 and free_sum > 0)):
        return 0.0 * t, PENDING  # too far right for a step back; 0 never is
    if free_sum <= 0:
        return t, SATURATED
    if not (in_range(free_sum) and clipped_sum < math.inf):
        return t, NEEDS_MORE_DIGITS
    following = remaining / free_sum
    if abs(following - t) <= near * t:
        return following, DONE
    # Left of the root the exact iterates increase: a step back is rounding error, and t the answer.
    return (following, PENDING) if is_first or following > t else (t, DONE)


@formula
def guess(target, weight, capacity, norm):
    """Return an estimate of the root from the sums of all weights and of all caps, biased low.

    The estimate is exact where nothing is clipped; its exponent fits uniform x and normal delta: eq. (9) and (10).
    """
    slack = 1.0 - target / capacity if capacity > 0 else 1.0
    slack = slack if slack > 2.0**-10 else 2.0**-10  # noqa: FURB136 - vectorises
    if len(norm) >= GENERAL:
        return target / weight * slack ** (0.5 - min(norm[0], 4.0))
    return target / weight * (term(1.0 / slack, norm) * math.sqrt(slack))


@formula
def reach_of(step, like):
    """Return a bound, relative to t, on the step after one of relative length `step`: eq. (8) and (14)."""
    return min(4.0 * step * step, 0.25) + (2.0**-18 if is_float32(like) else 2.0**-43)


@formula
def is_last(t, following, beyond, free_sum, later_sum, near):
    """Return whether the step from t to `following` is the last: to the right, with truncation error below rounding.

    The error is at most the step's length times the share of the weights that become clipped within it.
    `free_sum` sums the weights free at t, `later_sum` those still free at `beyond`: eq. (12) and (13).
    """
    stopping = max(free_sum - later_sum, 0.0)
    return t <= following <= beyond and (following - t) * stopping <= near * following * later_sum


@formula
def conclude(scale, t, lost, norm, verdict):
    """Return eta = scale * (t + lost)**(1/p), `lost` being the error of t; DONE stays only if eta has all digits."""
    ratio = root(t, norm)
    if len(norm) >= GENERAL and t > 0:
        ratio += ratio * (norm[1] * (lost / t))
    eta = scale * ratio
    # For p < 1 the weights may be in range where their sizes, of the order of 1/ratio, are not.
    is_exact = in_range(t) and in_range(ratio)
    if verdict == DONE and not (is_exact and _TINY <= eta <= _HUGE and scale >= _TINY):
        return (eta if eta < math.inf else 0.0 * t), NEEDS_MORE_DIGITS
    return eta, verdict


@formula
def units_of(eps, max_abs_delta, norm, float32):
    """Return the units of room and of |delta|, and the target of the sum of terms in these units, (eps/unit)**p."""
    unit = unit_of(eps, norm, float32)
    return unit, unit_of(max_abs_delta, norm, float32), term(eps / unit, norm)


@formula
def start_of(target, weight):
    """Return a start left of the root: the t that reaches the target if nothing is clipped, given all weights' sum."""
    return target / weight if weight > 0 else 0.0


@formula
def next_step(t, target, clipped_sum, free_sum, is_first, near, like):
    """Return the t and verdict of `advance`, but NEEDS_MORE_DIGITS for float32 terms whose sums are not safe."""
    t, verdict = advance(t, target, clipped_sum, free_sum, is_first, near)
    if is_float32(like) and not is_safe(t, clipped_sum, free_sum):
        verdict = NEEDS_MORE_DIGITS
    return t, verdict
