"""The units of best ascent for p = 1, in which sums of rooms are compared with eps."""

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
