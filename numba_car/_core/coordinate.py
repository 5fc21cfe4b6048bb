"""One coordinate of the problem: how far it can move, how far it moves, and where it arrives."""

from numba_car._core.norms import STORED, term
from numba_car._jit import formula


@formula
def room(x, delta, lower, upper):
    """Return the distance from x to the bound that delta points to, 0 for an x outside by rounding."""
    distance = upper - x if delta > 0 else x - lower
    return distance if distance > 0 else type(distance)(0)


@formula
def step(x, delta, lower, upper, eta):
    """Return |clip(x + eta*delta) - x| = min(eta*|delta|, room), which is 0 where delta is 0."""
    distance = room(x, delta, lower, upper)
    reach = eta * abs(delta)
    if delta == 0:
        return type(distance)(0)
    return min(distance, reach)


@formula
def arrival(distance, abs_delta):
    """Return the eta at which eta*abs_delta reaches the distance, rounded up so that it is not less."""
    eta = distance / abs_delta
    return eta if eta * abs_delta >= distance else eta * (1 + 2.0**-52) + 2.0**-1074


@formula
def is_inside(x, lower, upper, largest):
    """Return whether x is finite, at most `largest`, and between its bounds, which may be infinite."""
    # A bound that is NaN must stay so, which these do as long as it comes first.
    return (max(lower, -largest) <= x) & (x <= min(upper, largest))


@formula
def is_outside(x, lower, upper, slack):
    """Return whether a finite x is beyond a bound by more than the relative slack."""
    below = lower - slack * max(abs(lower), abs(x))
    above = upper + slack * max(abs(upper), abs(x))
    return x - x == 0 and not below <= x <= above


@formula
def arrive(x, delta, lower, upper, eta):
    """Return clip(x + eta*delta)."""
    return min(max(x + eta * delta, lower), upper)


@formula
def weight_and_cap(x, delta, lower, upper, norm):
    """Return w and c of the term min(w*t, c) of an x inside its bounds; stored powers are (c, w, 0, inf)."""
    if len(norm) == STORED:
        return delta, x
    way = (upper if delta > 0 else lower) - x  # in less time than `room`, which clamps
    return term(abs(delta), norm), term(abs(way), norm)


@formula
def is_clipped(weight, cap, t):
    """Return whether the term min(weight*t, cap) has reached its cap."""
    return weight * t >= cap


@formula
def breakpoint_of(x, delta, lower, upper):
    """Return room/|delta|, the eta that clips the coordinate; -1 for a coordinate that never moves."""
    distance = room(x, delta, lower, upper)
    moves = (delta != 0) & (distance > 0)
    return distance / abs(delta) if moves else type(distance)(-1)


@formula
def arrive_in_range(x, delta, lower, upper, eta, largest):
    """Return where x arrives; where there is no bound, the end of the dtype's range is one."""
    return arrive(x, delta, max(lower, -largest), min(upper, largest), eta)
