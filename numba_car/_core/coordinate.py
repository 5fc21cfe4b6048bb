"""One coordinate of the problem: how far it can move, how far it moves, and where it arrives."""

from numba_car._core.norms import STORED, term
from numba_car._jit import formula


@formula
def room(x, delta, lower, upper):
    """Distance from x to the bound that delta points to; x may lie outside by its own rounding."""
    distance = upper - x if delta > 0 else x - lower
    return distance if distance > 0 else type(distance)(0)


@formula
def step(x, delta, lower, upper, eta):
    """|clip(x + eta*delta) - x| = min(eta*|delta|, room); a delta of 0 never moves."""
    distance = room(x, delta, lower, upper)
    reach = eta * abs(delta)
    if delta == 0:
        return type(distance)(0)
    return min(distance, reach)


@formula
def arrival(distance, abs_delta):
    """distance/abs_delta, rounded so that what moves so fast has surely come so far."""
    eta = distance / abs_delta
    return eta if eta * abs_delta >= distance else eta * (1 + 2.0**-52) + 2.0**-1074


@formula
def is_inside(x, lower, upper, largest):
    """Whether x is finite, at most `largest`, and between its bounds, which may be infinite."""
    # A bound that is NaN must stay so, which these do as long as it comes first.
    return (max(lower, -largest) <= x) & (x <= min(upper, largest))


@formula
def is_outside(x, lower, upper, slack):
    """Whether a finite x is beyond a bound by more than the relative slack."""
    below = lower - slack * max(abs(lower), abs(x))
    above = upper + slack * max(abs(upper), abs(x))
    return x - x == 0 and not below <= x <= above


@formula
def arrive(x, delta, lower, upper, eta):
    """Where x arrives: clip(x + eta*delta)."""
    return min(max(x + eta * delta, lower), upper)


@formula
def weight_and_cap(x, delta, lower, upper, norm):
    """Return w and c of the coordinate's term min(w*t, c) in G(t), t = eta**p."""
    if len(norm) == STORED:
        return delta, x
    return term(abs(delta), norm), term(room(x, delta, lower, upper), norm)


@formula
def inner_weight_and_cap(x, delta, lower, upper, norm):
    """Return the same for an x that is inside its bounds, in less time."""
    way = (upper if delta > 0 else lower) - x
    return term(abs(delta), norm), term(abs(way), norm)


@formula
def is_clipped(weight, cap, t):
    """Whether the term min(weight*t, cap) has reached its cap."""
    return weight * t >= cap
