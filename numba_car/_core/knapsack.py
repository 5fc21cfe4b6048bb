"""The Euclidean projection onto {y : ||y - x||_1 <= eps, lower <= y <= upper}, one coordinate and one step.

With d = z - x and the room in the direction of d, y = x + sign(d) v and v = min(max(|d| - lam, 0), room). The
multiplier lam is 0 if z clipped to the bounds is near enough, else the root of phi(lam) = sum v = eps, see
`docs/derivation.md`, eq. (39): a continuous quadratic knapsack of unit weights. phi falls and is piecewise linear, but
neither convex nor concave, so that Newton's method needs a bracket (Cominetti, Mascarenhas and Silva 2014).

A coordinate is *free* where 0 < |d| - lam < room. The slope of phi is minus the number of free coordinates.

The multiplier is a pair (high, low) of float64. Passes over a row read it as a tuple whose length is its kind:

=======  ================  ==============================================================================
kind     multiplier        |d| - lam
=======  ================  ==============================================================================
`PLAIN`  ``(lam,)``        is one subtraction in the dtype of lam, from a d that may be rounded
`PAIR`   ``(high, low)``   has an error of about 2**-104 |d|, and is rounded to float64 once
=======  ================  ==============================================================================
"""

import math

from numba_car._core.constants import LARGEST
from numba_car._core.double_double import two_sum
from numba_car._jit import formula

PLAIN, PAIR = 1, 2

# The multipliers and the elements of a row whose sums may overflow are multiplied by this.
HUGE_UNIT = 2.0**-60
_LONGER = 4.0  # ratio of two steps towards an unknown end of a bracket
_FAR = 16.0  # ratio of the ends of a bracket from which on its middle is the geometric one


@formula
def excess(x, z, lam):
    """Return |z - x| - lam."""
    if len(lam) == PLAIN:
        return abs(z - x) - lam[0]
    distance, lost = two_sum(z, -x)
    lost = lost if distance > 0 else -lost
    high, low = two_sum(abs(distance), -lam[0])
    return high + (low + (lost - lam[1]))


@formula
def moved(over, distance):
    """Return v of a coordinate, given |d| - lam and its room."""
    step = min(distance, over)
    return step if over > 0 else type(over)(0)


@formula
def is_free(over, distance):
    """Return whether v grows as lam falls, given |d| - lam and the room."""
    return (over >= 0) & (over < distance)


@formula
def is_at_bound(over, distance):
    """Return whether y is at the bound, given |d| - lam and the room."""
    return (over >= distance) & (over > 0)


@formula
def arrive(x, z, lower, upper, over, distance):
    """Return y, given |d| - lam and the room."""
    step = over if over > 0 else type(over)(0)
    target = min(max(x + step if z > x else x - step, lower), upper)
    # x + room may be an ulp short of the bound.
    bound = upper if z > x else lower
    return bound if is_at_bound(over, distance) else target


@formula
def pull_back(up, over, distance, upstream, rate):
    """Return the gradients of x, z, lower and upper, given the gradient of y and `rate`, that of eps: eq. (44).

    y is z - sign(d) lam where free, the bound at the bound, and x elsewhere.
    """
    free, at_bound, nothing = is_free(over, distance), is_at_bound(over, distance), type(over)(0)
    pushed = rate if up else -rate
    to_x = pushed if free | at_bound else upstream
    to_z = upstream - pushed if free else nothing
    to_bound = upstream - pushed if at_bound else nothing
    return to_x, to_z, (nothing if up else to_bound), (to_bound if up else nothing)


@formula
def pull_back_clipped(z, lower, upper, upstream):
    """Return the gradients of z, lower and upper where lam is 0 and y is z clipped to the bounds."""
    nothing = type(upstream)(0)
    below, above = z < lower, z > upper
    to_lower, to_upper = (upstream if below else nothing), (upstream if above else nothing)
    return (nothing if below | above else upstream), to_lower, to_upper


@formula
def distance_to_free(x, z, over, distance):
    """Return how far lam is from where a coordinate is free that is not; inf if it never is."""
    away = over - distance if is_at_bound(over, distance) else -over
    return away if (z != x) & (distance > 0) else type(over)(math.inf)


@formula
def tangent_of_moved(up, free, at_bound, of_x, of_z):
    """Return the tangent of v at a constant lam, given those of x and z, and whether the coordinate is free or at its bound."""
    nothing = type(of_x)(0)
    change = (of_z if free else nothing) - (of_x if free | at_bound else nothing)
    return change if up else -change


@formula
def push_forward(up, free, at_bound, of_x, of_z, rate):
    """Return the tangent of y, given those of x, z and lam (`rate`)."""
    kept = type(of_x)(0) if at_bound else of_x
    return of_z - (rate if up else -rate) if free else kept


@formula
def push_forward_clipped(z, lower, upper, of_z):
    """Return the tangent of y where lam is 0 and y is z clipped to the bounds."""
    return of_z if lower <= z <= upper else type(of_z)(0)


@formula
def has_digits(lam, n, eps):
    """Return whether float64 has the digits of |d| - lam for a row of float32: eq. (43).

    The rounding of lam and of d changes the sum of v by at most n * lam * 2**-53 + eps * 2**-52 then.
    """
    return n * lam <= 2.0**27 * eps


@formula
def is_less(a, b):
    """Return whether a < b, for pairs."""
    return a[0] < b[0] or (a[0] == b[0] and a[1] < b[1])


@formula
def middle(low, high):
    """Return a pair inside the bracket, of which one end has been a multiplier before."""
    if low[0] < 0:
        return 0.0, 0.0
    if high[0] == math.inf:
        return min(_FAR * low[0] + 1.0, LARGEST), 0.0
    if low[0] == 0:
        return high[0] / _FAR, high[1] / _FAR
    if high[0] > _FAR * low[0]:
        return math.sqrt(low[0]) * math.sqrt(high[0]), 0.0
    half = 0.5 * (high[0] - low[0]) + 0.5 * (high[1] - low[1])
    return two_sum(low[0], low[1] + half)


@formula
def gap(over, distance, to_right):
    """Return the distance from lam to the breakpoint from which a coordinate is free; inf if there is none that way.

    To the right, it is that of a coordinate at its bound; to the left, of one that does not move.
    """
    if to_right:
        return over - distance if over > distance else type(over)(math.inf)
    return -over if (over < 0) & (distance > 0) else type(over)(math.inf)


@formula
def secant(lam, other, rest, rest_there, length):
    """Return the step to the root of the secant through lam and the other end of the bracket.

    `rest` is phi - eps. Where that end is unknown, the step is longer than the last one, of that length.
    """
    if abs(other[0]) == math.inf:
        return _LONGER * length if rest > 0 else -_LONGER * length
    return ((other[0] - lam[0]) + (other[1] - lam[1])) * (rest / (rest - rest_there))


@formula
def stepped(lam, step):
    """Return lam + step, and at least 0."""
    high, low = two_sum(lam[0], step)
    following = two_sum(high, lam[1] + low)
    return following if following[0] > 0 else (0.0, 0.0)


@formula
def advance(lam, low, high, rest, following, is_newton):
    """Return the next multiplier, the bracket, and whether it is `following`; `rest` is phi(lam) - eps.

    The bracket holds the root: phi is above eps at its left end and at most eps at its right end. Its ends are
    -inf and inf until they are known; no step goes below 0, which is the answer if phi(0) <= eps. A step of
    Newton's method that is too short to change lam is the last.
    """
    if is_newton and following[0] == lam[0] and following[1] == lam[1]:
        return lam, low, high, True
    low, high = (lam, high) if rest > 0 else (low, lam)
    if is_less(low, following) and is_less(following, high):
        return following, low, high, True
    return middle(low, high), low, high, False


@formula
def step_length(lam, following):
    """Return the distance between two multipliers."""
    return abs((following[0] - lam[0]) + (following[1] - lam[1]))


@formula
def is_slow(rest, before, jumped, free):
    """Return whether the last step did not halve |phi - eps|, given phi - eps now and before the step.

    A jump leaves phi as it is. It is slow where it has neither reached free coordinates nor passed the root, which lies
    within the rounding of the jump then.
    """
    has_arrived = jumped & ((free > 0) | ((rest > 0) != (before > 0)))
    return (abs(rest) > 0.5 * abs(before)) & (not has_arrived)


@formula
def is_settled(rest, allowed, lam, resolution):
    """Return whether lam is the answer, given phi(lam) - eps and its error for an error of lam, in units of lam."""
    return abs(rest) <= allowed + resolution * lam[0] or (rest <= 0 and lam[0] <= 0)


@formula
def is_last(length, reach, close, allowed):
    """Return whether Newton's step of that length is the last, eq. (42): it leaves |phi - eps| <= allowed.

    Between lam and the next multiplier, phi has the slope that it has at lam, up to one for each coordinate with
    a breakpoint, |d| or |d| - room, in between. Of the coordinates with a breakpoint within `reach` of lam there
    are `close`; so phi differs from its tangent by close * length at most, if the step stays within reach.
    If no coordinate changes sides, `close` is 0 or its sum too small to matter, and the step ends at the root.
    """
    return length <= reach and close * length <= allowed
