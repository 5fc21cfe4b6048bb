"""What the public functions return, as closed forms of their arguments in a framework's operations.

Once the solver has found eta, it is known which coordinates are free, and all else is a formula that a
framework differentiates by itself, as often and in whichever direction it is asked to. A formula's value
is the solver's to within rounding.

``lib`` is the framework: see `Library` in `arguments`. No power is taken, and nothing divided by, where
that has no finite derivative, not even in elements that a `where` then drops.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Arrays(NamedTuple):
    """The arguments of one rank, which broadcast; without a bound, lower or upper is infinite."""

    x: Any
    delta: Any
    eps: Any
    lower: Any
    upper: Any


class Setting(NamedTuple):
    """What a problem has besides arrays: the shape they broadcast to, and the axes of a row in it."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    p: float


def _room(lib: Any, arrays: Arrays) -> Any:
    """Distance to the bound that delta points to; 0 where nothing moves."""
    x, delta, _, lower, upper = arrays
    distance = lib.where(delta > 0, upper - x, x - lower)
    return lib.where((distance >= 0) & (delta != 0), distance, 0.0)


def _is_free(lib: Any, arrays: Arrays, eta: Any) -> Any:
    """Whether a coordinate follows x + eta*delta; at its breakpoint it no longer does."""
    return (arrays.delta == 0) | (eta * abs(arrays.delta) < _room(lib, arrays))


def _is_saturated(lib: Any, arrays: Arrays, eta: Any, setting: Setting) -> Any:
    """Whether eps is out of reach; rounded, eta may fall short of the breakpoint that it is."""
    eps, room = arrays.eps, lib.stop(_room(lib, arrays))
    if setting.p == math.inf:
        return eps >= lib.max(room, setting.axes)
    free = _is_free(lib, arrays, eta) & (arrays.delta != 0)
    none_is_free = lib.max(lib.where(free, 1.0, 0.0), setting.axes) == 0
    largest = _sum_of_powers(lib, room / lib.where(eps > 0, eps, 1.0), room > 0, setting)
    return (eps > 0) & (none_is_free | (largest <= 1.0))


def _sum_of_powers(lib: Any, size: Any, chosen: Any, setting: Setting) -> Any:
    if setting.p == 1:  # which has a derivative at 0
        return lib.sum(lib.where(chosen, size, 0.0), setting.axes)
    chosen = chosen & (size > 0)
    powers = lib.where(chosen, size, 1.0) ** setting.p
    return lib.sum(lib.where(chosen, powers, 0.0), setting.axes)


def _root(lib: Any, total: Any, p: float) -> Any:
    return lib.where(total > 0, lib.where(total > 0, total, 1.0) ** (1.0 / p), 0.0)


def _ratio(lib: Any, numerator: Any, denominator: Any) -> Any:
    """Divide, where there is something to divide by; 0 elsewhere."""
    defined = denominator > 0
    return lib.where(defined, numerator / lib.where(defined, denominator, 1.0), 0.0)


def _largest(lib: Any, size: Any, setting: Setting) -> Any:
    """Mark the largest of each row, the first of equals, if it is positive."""
    n = math.prod([setting.shape[axis] for axis in setting.axes])  # torch compiles no generator
    row_shape = [size if axis in setting.axes else 1 for axis, size in enumerate(setting.shape)]
    place = lib.reshape(lib.arange(n, size), tuple(row_shape))
    largest = (size == lib.max(size, setting.axes)) & (size > 0)
    return largest & (place == lib.min(lib.where(largest, place, n), setting.axes))


def _pick(lib: Any, values: Any, chosen: Any, setting: Setting) -> Any:
    return lib.sum(lib.where(chosen, values, 0.0), setting.axes)


def _regular_eta(lib: Any, arrays: Arrays, eta: Any, setting: Setting) -> Any:
    """Eta of a row that is not saturated, for finite p: of what its clipped coordinates leave."""
    eps, speed, room = arrays.eps, abs(arrays.delta), _room(lib, arrays)
    free = _is_free(lib, arrays, eta)
    unit = lib.where(eps > 0, lib.stop(eps), 1.0)
    share = _sum_of_powers(lib, eta * speed / unit, free, setting)
    capped = _sum_of_powers(lib, room / unit, ~free, setting)
    whole = lib.where(eps > 0, eps / unit, 1.0) ** setting.p
    # whole - capped is the share of the free ones; computed like this, it keeps its digits.
    left = lib.stop(share) + (whole - lib.stop(whole)) - (capped - lib.stop(capped))
    regular = eta * _root(lib, _ratio(lib, left, share), setting.p)
    # At eps = 0, eta leaves 0 as eps / ||delta||, over all that has room.
    unit = lib.stop(lib.max(lib.where(room > 0, speed, 0.0), setting.axes))
    total = _sum_of_powers(lib, _ratio(lib, speed, unit), room > 0, setting)
    return lib.where(eps > 0, regular, _ratio(lib, eps, unit * _root(lib, total, setting.p)))


def eta(lib: Any, arrays: Arrays, found: Any, setting: Setting) -> Any:
    """Eta, with the free coordinates of the eta that was found, which is not differentiated."""
    eps, speed, room = arrays.eps, abs(arrays.delta), _room(lib, arrays)
    if setting.p == math.inf:
        reachable = lib.max(room, setting.axes)
        enough = (room > 0) & (room >= lib.where(eps < reachable, eps, reachable))
        decider = _largest(lib, lib.where(enough, speed, 0.0), setting)
        regular = _ratio(lib, eps, _pick(lib, speed, decider, setting))
    else:
        decider = _largest(lib, _ratio(lib, room, speed), setting)
        regular = _regular_eta(lib, arrays, found, setting)
    finite = lib.where(room < math.inf, room, 0.0)  # where saturated, all are
    last = _ratio(lib, _pick(lib, finite, decider, setting), _pick(lib, speed, decider, setting))
    return lib.where(_is_saturated(lib, arrays, found, setting), last, regular)


def max_norm(lib: Any, arrays: Arrays, found: Any, setting: Setting) -> Any:
    """R, the norm of all the room there is; infinite, it is not differentiated."""
    room = _room(lib, arrays)
    if setting.p == math.inf:
        return _pick(lib, room, _largest(lib, room, setting), setting)
    unit = lib.where((found > 0) & (found < math.inf), found, 1.0)
    total = _sum_of_powers(lib, room / unit, room < math.inf, setting)
    return lib.where(found < math.inf, unit * _root(lib, total, setting.p), 0.0)


def follow(lib: Any, value: Any, formula: Any) -> Any:
    """Return the solver's value with the formula's derivatives; an infinite one has none."""
    change = lib.where(abs(value) < math.inf, formula - lib.stop(formula), 0.0)
    return lib.stop(value) + change


def outputs(
    lib: Any, name: str, arrays: Arrays, found: tuple[Any, ...], setting: Setting
) -> tuple[Any, ...]:
    """Return the formulas of what `host.compute` finds under this name, of its floats."""
    # A row without an answer is NaN, and so are all its derivatives.
    poison = lib.where(found[0] == found[0], 1.0, found[0])
    arrays = Arrays(*[array * poison for array in arrays])
    if name == "max_norm":
        return (max_norm(lib, arrays, found[0], setting),)
    # In units of the largest |delta|, no derivative leaves the range that another brings it back to.
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
