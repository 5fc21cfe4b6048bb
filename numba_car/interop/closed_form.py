"""Closed forms of what the public functions return, in a framework's operations.

The solver finds eta, and eta says which coordinates are free. Given these, each output is a formula that a
framework differentiates in any order and direction. A formula's value is the solver's to within rounding.

``lib`` is the framework: see `protocol.Library`. No formula takes a power or a quotient where its derivative
is not finite, not even in elements that a `where` drops: the derivative of such an element would be NaN.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numba_car._problem import batch_of


class Arrays(NamedTuple):
    """Arguments of one rank that broadcast; lower or upper is infinite where there is no bound."""

    x: Any
    delta: Any
    eps: Any
    lower: Any
    upper: Any


class Setting(NamedTuple):
    """The shape that the arrays of a problem broadcast to, the axes of a row in it, and p."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    p: float

    def shape_of(self, output: str) -> tuple[int, ...]:
        """Return the shape of an output of the solver, which keeps the axes of a row."""
        return self.shape if output == "out" else batch_of(self.shape, self.axes, keepdims=True)


def room_of(lib: Any, arrays: Arrays) -> Any:
    """Return the distance to the bound that delta points to; 0 where delta is 0."""
    x, delta, _, lower, upper = arrays
    distance = lib.where(delta > 0, upper - x, x - lower)
    return lib.where((distance >= 0) & (delta != 0), distance, 0.0)


def is_free(lib: Any, arrays: Arrays, eta: Any) -> Any:
    """Return whether each coordinate is x + eta*delta; from its breakpoint on, it is its bound."""
    return (arrays.delta == 0) | (eta * abs(arrays.delta) < room_of(lib, arrays))


def is_saturated(lib: Any, arrays: Arrays, eta: Any, setting: Setting) -> Any:
    """Return whether eps >= R; free coordinates do not decide it, as eta, rounded, may leave the last one free."""
    eps, room = arrays.eps, lib.stop(room_of(lib, arrays))
    if setting.p == math.inf:
        return eps >= lib.max(room, setting.axes)
    free = is_free(lib, arrays, eta) & (arrays.delta != 0)
    none_is_free = lib.max(lib.where(free, 1.0, 0.0), setting.axes) == 0
    largest = sum_of_powers(lib, room / lib.where(eps > 0, eps, 1.0), room > 0, setting)
    return (eps > 0) & (none_is_free | (largest <= 1.0))


def sum_of_powers(lib: Any, size: Any, chosen: Any, setting: Setting) -> Any:
    """Return the sum of size**p over the chosen coordinates of each row."""
    if setting.p == 1:  # which has a derivative at 0
        return lib.sum(lib.where(chosen, size, 0.0), setting.axes)
    chosen = chosen & (size > 0)
    powers = lib.where(chosen, size, 1.0) ** setting.p
    return lib.sum(lib.where(chosen, powers, 0.0), setting.axes)


def root_of(lib: Any, total: Any, p: float) -> Any:
    """Return total**(1/p); 0 where total is 0."""
    return lib.where(total > 0, lib.where(total > 0, total, 1.0) ** (1.0 / p), 0.0)


def _ratio(lib: Any, numerator: Any, denominator: Any) -> Any:
    """Return the quotient where the denominator is positive, 0 elsewhere."""
    defined = denominator > 0
    return lib.where(defined, numerator / lib.where(defined, denominator, 1.0), 0.0)


def mask_of_largest(lib: Any, size: Any, setting: Setting) -> Any:
    """Return a mask of the largest coordinate of each row, the first of equals, if it is positive."""
    n = math.prod([setting.shape[axis] for axis in setting.axes])  # torch compiles no generator
    row_shape = [size if axis in setting.axes else 1 for axis, size in enumerate(setting.shape)]
    place = lib.reshape(lib.arange(n, size), tuple(row_shape))
    largest = (size == lib.max(size, setting.axes)) & (size > 0)
    return largest & (place == lib.min(lib.where(largest, place, n), setting.axes))


def pick(lib: Any, values: Any, chosen: Any, setting: Setting) -> Any:
    """Return the value at the chosen coordinate of each row; 0 where none is chosen."""
    return lib.sum(lib.where(chosen, values, 0.0), setting.axes)


def _regular_eta(lib: Any, arrays: Arrays, eta: Any, setting: Setting) -> Any:
    """Return eta of rows that are not saturated, for finite p, from the sums over free and clipped coordinates."""
    eps, abs_delta, room = arrays.eps, abs(arrays.delta), room_of(lib, arrays)
    free = is_free(lib, arrays, eta)
    unit = lib.where(eps > 0, lib.stop(eps), 1.0)
    share = sum_of_powers(lib, eta * abs_delta / unit, free, setting)
    capped = sum_of_powers(lib, room / unit, ~free, setting)
    whole = lib.where(eps > 0, eps / unit, 1.0) ** setting.p
    # This is whole - capped, the share of the free coordinates, without the cancellation of digits.
    left = lib.stop(share) + (whole - lib.stop(whole)) - (capped - lib.stop(capped))
    regular = eta * root_of(lib, _ratio(lib, left, share), setting.p)
    # Near eps = 0, eta is eps / ||delta||, the norm over the coordinates with room.
    unit = lib.stop(lib.max(lib.where(room > 0, abs_delta, 0.0), setting.axes))
    total = sum_of_powers(lib, _ratio(lib, abs_delta, unit), room > 0, setting)
    return lib.where(eps > 0, regular, _ratio(lib, eps, unit * root_of(lib, total, setting.p)))


def eta(lib: Any, arrays: Arrays, found: Any, setting: Setting) -> Any:
    """Return eta as a formula; `found`, the solver's eta, is a constant that says which coordinates are free."""
    eps, abs_delta, room = arrays.eps, abs(arrays.delta), room_of(lib, arrays)
    if setting.p == math.inf:
        reachable = lib.max(room, setting.axes)
        enough = (room > 0) & (room >= lib.where(eps < reachable, eps, reachable))
        decider = mask_of_largest(lib, lib.where(enough, abs_delta, 0.0), setting)
        regular = _ratio(lib, eps, pick(lib, abs_delta, decider, setting))
    else:
        decider = mask_of_largest(lib, _ratio(lib, room, abs_delta), setting)
        regular = _regular_eta(lib, arrays, found, setting)
    finite = lib.where(room < math.inf, room, 0.0)  # in saturated rows, all room is finite
    room_of_decider = pick(lib, finite, decider, setting)
    saturated = _ratio(lib, room_of_decider, pick(lib, abs_delta, decider, setting))
    return lib.where(is_saturated(lib, arrays, found, setting), saturated, regular)


def max_norm(lib: Any, arrays: Arrays, found: Any, setting: Setting) -> Any:
    """Return R, the norm of the room of all coordinates; 0 where `found`, the solver's R, is infinite."""
    room = room_of(lib, arrays)
    if setting.p == math.inf:
        return pick(lib, room, mask_of_largest(lib, room, setting), setting)
    unit = lib.where((found > 0) & (found < math.inf), found, 1.0)
    total = sum_of_powers(lib, room / unit, room < math.inf, setting)
    return lib.where(found < math.inf, unit * root_of(lib, total, setting.p), 0.0)


def rescaled(lib: Any, arrays: Arrays, found: Any, setting: Setting) -> tuple[Any, Any]:
    """Return eta and clip(x + eta*delta) as formulas, given the solver's eta; x where delta is 0."""
    # In units of the largest |delta|, no factor of a derivative over- or underflows unless the product does.
    unit = lib.max(lib.stop(abs(arrays.delta)), setting.axes)
    unit = lib.where(unit > 0, unit, 1.0)
    arrays = arrays._replace(delta=arrays.delta / unit)
    found = found * unit
    scaled = eta(lib, arrays, found, setting)
    x, delta, _, lower, upper = arrays
    free = is_free(lib, arrays, found)
    if setting.p < math.inf:
        free = free & ((delta == 0) | ~is_saturated(lib, arrays, found, setting))
    bound = lib.where(delta > 0, upper, lower)
    return scaled / unit, lib.where(free, x + scaled * delta, bound)


def poisoned(lib: Any, arrays: Arrays, found: Any) -> Arrays:
    """Return the arrays with NaN in rows whose answer is NaN, so that all their derivatives are NaN too."""
    poison = lib.where(found == found, 1.0, found)  # noqa: PLR0124
    return Arrays(*[array * poison for array in arrays])
