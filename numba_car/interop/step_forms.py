"""Closed forms of the norm at given scales, of projections and of best ascent, as `closed_form` has those of eta."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numba_car.interop.closed_form import (
    Arrays,
    Setting,
    is_free,
    mask_of_largest,
    pick,
    rescaled,
    room_of,
    root_of,
    sum_of_powers,
)


def norm(lib: Any, arrays: Arrays, found: Any, setting: Setting) -> Any:
    """Return N(eta), eta being in the place of eps, given the solver's; 0 where that is infinite."""
    eta, room = arrays.eps, room_of(lib, arrays)
    finite = lib.where(eta < math.inf, eta, 0.0)
    free = is_free(lib, arrays, lib.stop(eta)) & (arrays.delta != 0)
    size = lib.where(free, finite * abs(arrays.delta), lib.where(room < math.inf, room, 0.0))
    if setting.p == math.inf:
        return pick(lib, size, mask_of_largest(lib, lib.stop(size), setting), setting)
    unit = lib.where((found > 0) & (found < math.inf), found, 1.0)
    total = sum_of_powers(lib, size / unit, size > 0, setting)
    return lib.where(found < math.inf, unit * root_of(lib, total, setting.p), 0.0)


def _clip(lib: Any, values: Any, lower: Any, upper: Any) -> Any:
    """Return values inside the bounds; one that is at a bound has the derivative of the bound."""
    return lib.where(values >= upper, upper, lib.where(values <= lower, lower, values))


def _with_sign_of(lib: Any, values: Any, size: Any) -> Any:
    return lib.where(values < 0, -size, size)


def _ones(like: Any) -> Any:
    """Return ones with a derivative by `like`, which is 0."""
    return abs(like) * 0.0 + 1.0


def project(lib: Any, arrays: Arrays, found: Any, _: Any, setting: Setting) -> tuple[Any, Any]:
    """Return min(1, eta), or for p = 1 the threshold, and the projection of z, which is in the place of delta."""
    x, z, eps, lower, upper = arrays
    if setting.p == math.inf:
        low, high = x - eps, x + eps
        return found * eps, _clip(
            lib, z, lib.where(low > lower, low, lower), lib.where(high < upper, high, upper)
        )
    clipped, along = _clip(lib, z, lower, upper), arrays._replace(delta=z - x)
    if setting.p == 1:
        return _project_on_sum(lib, along, found, clipped, setting)
    eta, moved = rescaled(lib, along, found, setting)
    return lib.where(found < 1.0, eta, 1.0), lib.where(found < 1.0, moved, clipped)


def _project_on_sum(
    lib: Any, arrays: Arrays, found: Any, clipped: Any, setting: Setting
) -> tuple[Any, Any]:
    """Return the threshold of |delta| and the projection for p = 1, given the solver's threshold."""
    x, delta, eps, lower, upper = arrays
    room, size = room_of(lib, arrays), abs(delta)
    at_bound = (delta != 0) & (size - found >= room)
    free = (size > found) & ~at_bound
    count = lib.sum(lib.where(free, _ones(size), 0.0), setting.axes)
    total = lib.sum(lib.where(free, size, 0.0), setting.axes)
    total = total + lib.sum(lib.where(at_bound & (found > 0), room, 0.0), setting.axes) - eps
    threshold = total / lib.where(count > 0, count, 1.0)
    # The solver's value, with the derivatives of the formula.
    threshold = lib.where((found > 0) & (count > 0), found + (threshold - lib.stop(threshold)), 0.0)
    moved = x + _with_sign_of(lib, delta, size - threshold)
    bound = lib.where(delta > 0, upper, lower)
    moved = lib.where(at_bound, bound, lib.where(free, moved, x))
    return threshold, lib.where(found > 0, moved, clipped)


def maximize(lib: Any, arrays: Arrays, found: Any, out: Any, setting: Setting) -> tuple[Any, Any]:
    """Return eta along the direction of best ascent, and where it leads; g is in the place of delta."""
    g = arrays.delta
    if setting.p == 1:
        return found * arrays.eps, _maximize_sum(lib, arrays, out, setting)
    if setting.p == 2:
        return rescaled(lib, arrays, found, setting)
    size = _ones(g)
    if setting.p < math.inf:
        largest = lib.stop(lib.max(abs(g), setting.axes))
        ratio = lib.where(g != 0, abs(g) / lib.where(largest > 0, largest, 1.0), 1.0)
        size = ratio ** (1.0 / (setting.p - 1.0))
    direction = lib.where(g != 0, _with_sign_of(lib, g, size), 0.0)
    return rescaled(lib, arrays._replace(delta=direction), found, setting)


def _maximize_sum(lib: Any, arrays: Arrays, out: Any, setting: Setting) -> Any:
    """Return the best point for p = 1, given the solver's: all but one of what moves is at a bound."""
    x, g, eps, lower, upper = arrays
    bound = lib.where(g > 0, upper, lower) * _ones(g)
    at_bound = (g != 0) & (out == bound) & (out != x)
    moves = (g != 0) & (out != x) & ~at_bound
    spent = lib.sum(lib.where(at_bound, room_of(lib, arrays), 0.0), setting.axes)
    return lib.where(at_bound, bound, lib.where(moves, x + _with_sign_of(lib, g, eps - spent), x))


STEPS: dict[str, Callable[..., tuple[Any, Any]]] = {"project": project, "maximize": maximize}
