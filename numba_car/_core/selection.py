"""Best ascent for p = 1: the units in which sums of rooms are compared with eps, and derivatives, eq. (47).

An element that takes all its room moves `up` or `down`; any other, but for the pivot, does not move.
"""

from numba_car._core.coordinate import room
from numba_car._jit import formula

_HUGE, _SHRUNK, _LEAST = 2.0**900, 2.0**-100, 2.0**-1000


@formula
def units_of_rooms(eps):
    """Return the largest room that counts, and the scale of rooms, which eps is to be multiplied by, too."""
    scale = _SHRUNK if eps > _HUGE else 1.0
    return max(2.0 * (eps * scale), _LEAST), scale


@formula
def room_in_units(x, g, lower, upper, units):
    """Return the room of an element towards sign(g), in units, at most the largest that counts."""
    return min(room(x, g, lower, upper) * units[1], units[0])


@formula
def pull_back(up, down, upstream, push):
    """Return the gradients of x, lower and upper, given that of y and `push`, that of eps."""
    nothing = type(upstream)(0)
    to_x = push if up else (-push if down else upstream)
    return to_x, (upstream + push if down else nothing), (upstream - push if up else nothing)


@formula
def tangent_of_room(up, down, of_x):
    """Return the tangent of the room that an element takes, given that of x."""
    return -of_x if up else (of_x if down else type(of_x)(0))
