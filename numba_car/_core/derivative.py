"""Derivatives of eta, from eta itself: no second solve.

With u_i = eta |delta_i| / eps, q_i = room_i / eps, and phi = sum u_i**p over the free coordinates, the
share of eps**p that is not clipped away, a row that is not saturated has for finite p

    d eta / d eps     =  (eta / eps) / phi                           =: rate
    d eta / d delta_i = -rate * eta * u_i**(p-1) * sign(delta_i)        where i is free, else 0
    d eta / d room_i  = -rate * q_i**(p-1)                              where i is clipped, else 0

The factors are of the order of 1, whatever the sizes of x and delta; `inverse` is 1/eps, and `rate` may
come multiplied by what is upstream. Where one coordinate j alone decides (p = inf, or the row is
saturated), eta = eps/|delta_j| or eta = room_j/|delta_j|.
"""

import numpy as np

from numba_car._core.constants import LARGEST, SMALLEST_UNIT
from numba_car._core.coordinate import room
from numba_car._core.norms import HALVES, LANES, MAXIMUM, ONE, TWO, is_float32, root
from numba_car._core.powers import half_power, power
from numba_car._jit import formula


@formula
def slope(size, norm):
    """Return size**(p-1), the derivative of size**p / p; 0 at 0, where it has none for p < 1, and for inf."""
    if len(norm) == MAXIMUM:
        return type(size)(0)
    if len(norm) == ONE:
        return type(size)(1)
    if len(norm) == TWO:
        return size
    if len(norm) == HALVES or len(norm) == LANES:
        result = _slope_in_lanes(size, norm)
        return result if size > 0 else type(size)(0)
    if not size > 0:
        return type(size)(0)
    # Below 1/2 p - 1 is rounded, and p is not.
    return size ** norm[0] / size if norm[0] < 0.5 else size ** (norm[0] - 1.0)


@formula
def _slope_in_lanes(size, norm):
    if len(norm) == HALVES:
        result = half_power(size, abs(int(norm[3]) - 2))
        return result if norm[0] > 1.0 else type(size)(1) / result
    # In float64: a slope below float32's range may have a factor that brings it back.
    less = norm[0] - 1.0
    return power(np.float64(size), less, norm[0] - (less + 1.0))


@formula
def clamp(value, largest):
    """Return a value clipped to [-largest, largest]; NaN stays, which the GPU's min and max would drop."""
    below = largest if value > largest else value  # noqa: FURB136
    return -largest if below < -largest else below  # noqa: FURB136


@formula
def cut(term):
    """Return a float64 term clipped to what float64 holds, so that two terms have a sum; a float32 as it is."""
    # Without the outer type, numba would go on in float64.
    return type(term)(term if is_float32(term) else clamp(term, LARGEST))


@formula
def inverse_unit(eps, rate):
    """Return 1/eps for the formulas below; 0 where rate is 0, since 0 times a slope that overflows is NaN."""
    return 1.0 / max(eps, SMALLEST_UNIT) if rate != 0 else 0.0


@formula
def rates(share, norm, eps, eta):
    """Return rate and d eta / d eps, given phi."""
    unit = max(eps, SMALLEST_UNIT)
    rate = min((eta / unit) / share, LARGEST)
    return rate, min(rate * slope(eps / unit, norm), LARGEST)


@formula
def slowness(unit, share, norm):
    """Return d eta / d eps at eta = 0, that is 1/||delta||, given the sum of (|delta|/unit)**p."""
    return min(1.0 / (unit * root(share, norm)), LARGEST)


@formula
def hold(eta, max_abs_delta):
    """Return an eta whose product with the largest |delta| float64 holds."""
    if eta > LARGEST:
        return 1.0 / SMALLEST_UNIT
    largest = LARGEST * (1 - 2.0**-50) / max_abs_delta if max_abs_delta > 0 else LARGEST
    return min(eta, largest)


@formula
def is_free(x, delta, lower, upper, eta):
    """Return whether the coordinate follows x + eta*delta; at its breakpoint it no longer does."""
    return (delta == 0) | (eta * abs(delta) < room(x, delta, lower, upper))  # vectorises


@formula
def move_of(delta, eta, inverse):
    """Return u of a free coordinate: eta*|delta| is at most eps, but either may have no inverse.

    float32 is used only for eta and eps with inverses; if eps is small, eta*|delta| may be subnormal in float32.
    """
    return (eta * inverse) * abs(delta) if is_float32(eta) else eta * abs(delta) * inverse


@formula
def slope_at(x, delta, lower, upper, norm, eta, inverse, free):
    """Return the slope at u of a free coordinate, at q of a clipped: one power, which may vectorise."""
    q = room(x, delta, lower, upper) * inverse
    return slope(move_of(delta, eta, inverse) if free else q, norm)


@formula
def by_delta(delta, steepness, eta, rate):
    """Return d eta / d delta of a free coordinate, given its slope."""
    size = rate * (eta * steepness)
    against = -size if delta > 0 else size
    return against if delta != 0 else type(size)(0)


@formula
def eta_tangent(x, delta, lower, upper, norm, inverse, tangent_x, tangent_delta, eta, rate):
    """Return the contribution of one coordinate's tangents of x and delta to the tangent of eta."""
    free = is_free(x, delta, lower, upper, eta)
    steepness = slope_at(x, delta, lower, upper, norm, eta, inverse, free)
    if free:
        return by_delta(delta, steepness, eta, rate) * tangent_delta
    to_room = -rate * steepness  # d eta / d room
    return (-to_room if delta > 0 else to_room) * tangent_x


@formula
def decider_tangent(delta, tangent_x, tangent_delta, eta, saturated):
    """Return the tangent of eta from the one coordinate that decides eta alone."""
    return -(eta * tangent_delta + (tangent_x if saturated else 0.0)) / delta


@formula
def by_decider(delta, pull, eta, saturated):
    """Return the gradients of x, delta, lower and upper of the coordinate that decides alone, given eta's: pull."""
    to_room = pull / abs(delta) if saturated else 0.0
    up, down = (to_room, 0.0) if delta > 0 else (0.0, to_room)
    return down - up, -pull * eta / delta, -down, up


@formula
def moved_tangent(x, delta, lower, upper, tangent_x, tangent_delta, eta, of_eta):
    """Return the tangent of one coordinate of clip(x + eta*delta), from those of x, delta and eta."""
    moved = tangent_x + (cut(eta * tangent_delta) + cut(of_eta * delta))
    return moved if is_free(x, delta, lower, upper, eta) else type(moved)(0)


@formula
def pull_back(x, delta, lower, upper, norm, inverse, upstream, eta, arrived, rate):
    """Return the gradients of x, delta, lower and upper of one coordinate of clip(x + eta*delta).

    `rate` is that of eta times what flows into eta; past `arrived`, the coordinate is clipped.
    """
    dtype = type(eta)
    to_x, to_delta, to_lower, to_upper = upstream, cut(eta * upstream), dtype(0), dtype(0)
    free = is_free(x, delta, lower, upper, arrived)
    steepness = slope_at(x, delta, lower, upper, norm, eta, inverse, free)
    if free:
        to_delta += cut(dtype(by_delta(delta, steepness, eta, rate)))
    else:
        to_room = dtype(-rate * steepness)  # d eta / d room
        to_x, to_delta = (-to_room if delta > 0 else to_room), dtype(0)
        to_upper = upstream + to_room if delta > 0 else dtype(0)
        to_lower = upstream - to_room if delta < 0 else dtype(0)
    return to_x, to_delta, to_lower, to_upper


@formula
def rate_of_pull(pull, rate, eps):
    """Return pull*rate, the common factor of all gradients that flow through eta, and the factor 1/eps.

    What flows into eta, `pull`, is often of the order of the inverse of rate.
    """
    rate = clamp(pull * rate, LARGEST)
    return rate, inverse_unit(eps, rate)


@formula
def unit_at_zero(max_abs_delta):
    """Return the unit of |delta| for the derivatives at eta = 0, where eta is eps/||delta||."""
    return max(max_abs_delta, SMALLEST_UNIT)
