"""Closed forms of what the public functions return, in a framework's operations.

The solver finds eta, and eta says which coordinates are free. Given these, each output is a formula that a
framework differentiates in any order and direction. A formula's value is the solver's to within rounding.

``lib`` is the framework: see `protocol.Library`. No formula takes a power or a quotient where its derivative
is not finite, not even in elements that a `where` drops: the derivative of such an element would be NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def _room(lib: Any, arrays: Arrays) -> Any:
    """Return the distance to the bound that delta points to; 0 where delta is 0."""
    x, delta, _, lower, upper = arrays
    distance = lib.where(delta > 0, upper - x, x - lower)
    return lib.where((distance >= 0) & (delta != 0), distance, 0.0)


def _is_free(lib: Any, arrays: Arrays, eta: Any) -> Any:
    """Return whether each coordinate is x + eta*delta; from its breakpoint on, it is its bound."""
    return (arrays.delta == 0) | (eta * abs(arrays.delta) < _room(lib, arrays))


def _is_saturated(lib: Any, arrays: Arrays, eta: Any, setting: Setting) -> Any:
    """Return whether eps >= R; free coordinates do not decide it, as eta, rounded, may leave the last one free."""
    eps, room = arrays.eps, lib.stop(_room(lib, arrays))
    if setting.p == math.inf:
        return eps >= lib.max(room, setting.axes)
    free = _is_free(lib, arrays, eta) & (arrays.delta != 0)
    none_is_free = lib.max(lib.where(free, 1.0, 0.0), setting.axes) == 0
    largest = _sum_of_powers(lib, room / lib.where(eps > 0, eps, 1.0), room > 0, setting)
    return (eps > 0) & (none_is_free | (largest <= 1.0))


def _sum_of_powers(lib: Any, size: Any, chosen: Any, setting: Setting) -> Any:
    """Return the sum of size**p over the chosen coordinates of each row."""
    if setting.p == 1:  # which has a derivative at 0
        return lib.sum(lib.where(chosen, size, 0.0), setting.axes)
    chosen = chosen & (size > 0)
    powers = lib.where(chosen, size, 1.0) ** setting.p
    return lib.sum(lib.where(chosen, powers, 0.0), setting.axes)


def _root(lib: Any, total: Any, p: float) -> Any:
    """Return total**(1/p); 0 where total is 0."""
    return lib.where(total > 0, lib.where(total > 0, total, 1.0) ** (1.0 / p), 0.0)


def _ratio(lib: Any, numerator: Any, denominator: Any) -> Any:
    """Return the quotient where the denominator is positive, 0 elsewhere."""
    defined = denominator > 0
    return lib.where(defined, numerator / lib.where(defined, denominator, 1.0), 0.0)


def _largest(lib: Any, size: Any, setting: Setting) -> Any:
    """Return a mask of the largest coordinate of each row, the first of equals, if it is positive."""
    n = math.prod([setting.shape[axis] for axis in setting.axes])  # torch compiles no generator
    row_shape = [size if axis in setting.axes else 1 for axis, size in enumerate(setting.shape)]
    place = lib.reshape(lib.arange(n, size), tuple(row_shape))
    largest = (size == lib.max(size, setting.axes)) & (size > 0)
    return largest & (place == lib.min(lib.where(largest, place, n), setting.axes))


def _pick(lib: Any, values: Any, chosen: Any, setting: Setting) -> Any:
    """Return the value at the chosen coordinate of each row; 0 where none is chosen."""
    return lib.sum(lib.where(chosen, values, 0.0), setting.axes)


def _regular_eta(lib: Any, arrays: Arrays, eta: Any, setting: Setting) -> Any:
    """Return eta of rows that are not saturated, for finite p, from the sums over free and clipped coordinates."""
    eps, abs_delta, room = arrays.eps, abs(arrays.delta), _room(lib, arrays)
    free = _is_free(lib, arrays, eta)
    unit = lib.where(eps > 0, lib.stop(eps), 1.0)
    share = _sum_of_powers(lib, eta * abs_delta / unit, free, setting)
    capped = _sum_of_powers(lib, room / unit, ~free, setting)
    whole = lib.where(eps > 0, eps / unit, 1.0) ** setting.p
    # This is whole - capped, the share of the free coordinates, without the cancellation of digits.
    left = lib.stop(share) + (whole - lib.stop(whole)) - (capped - lib.stop(capped))
    regular = eta * _root(lib, _ratio(lib, left, share), setting.p)
    # Near eps = 0, eta is eps / ||delta||, the norm over the coordinates with room.
    unit = lib.stop(lib.max(lib.where(room > 0, abs_delta, 0.0), setting.axes))
    total = _sum_of_powers(lib, _ratio(lib, abs_delta, unit), room > 0, setting)
    return lib.where(eps > 0, regular, _ratio(lib, eps, unit * _root(lib, total, setting.p)))


def eta(lib: Any, arrays: Arrays, found: Any, setting: Setting) -> Any:
    """Return eta as a formula; `found`, the solver's eta, is a constant that says which coordinates are free."""
    eps, abs_delta, room = arrays.eps, abs(arrays.delta), _room(lib, arrays)
    if setting.p == math.inf:
        reachable = lib.max(room, setting.axes)
        enough = (room > 0) & (room >= lib.where(eps < reachable, eps, reachable))
        decider = _largest(lib, lib.where(enough, abs_delta, 0.0), setting)
        regular = _ratio(lib, eps, _pick(lib, abs_delta, decider, setting))
    else:
        decider = _largest(lib, _ratio(lib, room, abs_delta), setting)
        regular = _regular_eta(lib, arrays, found, setting)
    finite = lib.where(room < math.inf, room, 0.0)  # in saturated rows, all room is finite
    room_of_decider = _pick(lib, finite, decider, setting)
    saturated = _ratio(lib, room_of_decider, _pick(lib, abs_delta, decider, setting))
    return lib.where(_is_saturated(lib, arrays, found, setting), saturated, regular)


def max_norm(lib: Any, arrays: Arrays, found: Any, setting: Setting) -> Any:
    """Return R, the norm of the room of all coordinates; 0 where `found`, the solver's R, is infinite."""
    room = _room(lib, arrays)
    if setting.p == math.inf:
        return _pick(lib, room, _largest(lib, room, setting), setting)
    unit = lib.where((found > 0) & (found < math.inf), found, 1.0)
    total = _sum_of_powers(lib, room / unit, room < math.inf, setting)
    return lib.where(found < math.inf, unit * _root(lib, total, setting.p), 0.0)


def with_derivatives(
    lib: Any, name: str, arrays: Arrays, found: Sequence[Any], setting: Setting
) -> tuple[Any, ...]:
    """Return the outputs found by the solver with the derivatives of their formulas; infinite ones have none."""
    formulas = outputs(lib, name, arrays, found, setting)

    def follow(value: Any, formula: Any) -> Any:
        value = lib.stop(lib.cast(value, formula.dtype))
        return value + lib.where(abs(value) < math.inf, formula - lib.stop(formula), 0.0)

    floats = [follow(value, formula) for value, formula in zip(found, formulas, strict=False)]
    return *floats, *found[len(floats) :]


def outputs(
    lib: Any, name: str, arrays: Arrays, found: Sequence[Any], setting: Setting
) -> tuple[Any, ...]:
    """Return formulas, in the dtype of x, of the floats that `backend_cpu.compute` finds under this name."""
    dtype = arrays.x.dtype
    found = [lib.stop(lib.cast(found[0], dtype)), *map(lib.stop, found[1:])]
    arrays = arrays._replace(eps=lib.cast(arrays.eps, dtype))
    # A row without an answer is NaN, and so are all its derivatives.
    poison = lib.where(found[0] == found[0], 1.0, found[0])
    arrays = Arrays(*[array * poison for array in arrays])
    if name == "max_norm":
        return (max_norm(lib, arrays, found[0], setting),)
    # In units of the largest |delta|, no factor of a derivative over- or underflows unless the product does.
    unit = lib.max(lib.stop(abs(arrays.delta)), setting.axes)
    unit = lib.where(unit > 0, unit, 1.0)
    arrays = arrays._replace(delta=arrays.delta / unit)
    eta_found = found[0] * unit
    scaled = eta(lib, arrays, eta_found, setting)
    formula = scaled / unit
    if name == "eta":
        return (formula,)
    if name == "rescale":
        x, delta, _, lower, upper = arrays
        bound = lib.where(delta > 0, upper, lower)
        free = _is_free(lib, arrays, eta_found)
        if setting.p < math.inf:
            free = free & ((delta == 0) | ~_is_saturated(lib, arrays, eta_found, setting))
        return formula, lib.where(free, x + scaled * delta, bound)
    _, _, largest, saturated = found
    reachable = max_norm(lib, arrays, largest, setting)
    return formula, lib.where(saturated, reachable, arrays.eps), reachable
