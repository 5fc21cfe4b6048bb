"""Derivatives of eta and of clip(x + eta*delta), in two passes over a row: gather, then write.

Backward, both are one computation. With g upstream of the result and h upstream of eta, eta takes up
pull = h + sum_free g_i delta_i, and a coordinate gets g_i, or eta*g_i, where it is free, plus pull
times the derivative of eta.
"""

import math

import numpy as np

from numba_car._core.gradient import by_delta, by_room, is_free, slope
from numba_car._core.limits import BLOCK_FLOAT64, SMALLEST_UNIT
from numba_car._core.norms import root, term
from numba_car._core.problem import room
from numba_car._cpu.extremes import largest_step
from numba_car._cpu.sums import add
from numba_car._cpu.views import at, element, part, parts_of, row_of, rows_of, store
from numba_car._jit import kernel, loop, rows

_LARGEST = np.finfo(np.float64).max


@loop
def _gather_block(row, g, norm, eta, inverse):
    """Sum (eta*|delta|*inverse)**p, without eta where it is 0, and g*delta over the free ones."""
    share, pull, speed = 0.0, 0.0, eta if eta > 0 else 1.0
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        free = is_free(x, delta, lower, upper, eta)
        share += term(speed * abs(delta) * inverse, norm) if free else 0.0
        pull += np.float64(at(g, i)) * delta if free else 0.0
    return share, pull


@rows
def _gather(row, g, norm, eta, inverse):
    share, share_lost, pull, pull_lost = 0.0, 0.0, 0.0, 0.0
    for start in range(0, row[0].size, BLOCK_FLOAT64):
        stop = min(start + BLOCK_FLOAT64, row[0].size)
        here = parts_of(row, start, stop), part(g, start, stop)
        a, b = _gather_block(here[0], here[1], norm, eta, inverse)
        share, share_lost = add(share, share_lost, a)
        pull, pull_lost = add(pull, pull_lost, b)
    return share + share_lost, pull + pull_lost


@rows
def _last_to_clip(row):
    """Return the coordinate with the largest breakpoint, the first of equals; -1 if none moves."""
    best, largest = -1, 0.0
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        distance = room(x, delta, lower, upper)
        if delta != 0 and distance > 0 and (best < 0 or distance / abs(delta) > largest):
            best, largest = i, distance / abs(delta)
    return best


@rows
def _fastest_with_room(row, least):
    """Return the fastest coordinate with that much room, and some; -1 if none moves."""
    best, largest = -1, 0.0
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        distance = room(x, delta, lower, upper)
        if distance > 0 and distance >= least and abs(delta) > largest:
            best, largest = i, abs(delta)
    return best


@rows
def _analyse(row, g, norm, eps, eta):
    """Return sum_free g*delta, rate, d eta / d eps, the coordinate that decides or -1, saturation."""
    if len(norm) == 4:
        reachable = largest_step(row, math.inf)
        _, pull = _gather(row, g, (1.0,), eta, 1.0)
        decider = _fastest_with_room(row, min(eps, reachable))
        if decider < 0 or eps >= reachable:
            return pull, 0.0, 0.0, decider, True
        return pull, 0.0, min(1.0 / abs(np.float64(row[1][decider])), _LARGEST), decider, False
    if eps == 0:
        # eta = eps / ||delta|| there, over all that has room; nothing else moves eta away from 0.
        fastest = _fastest_with_room(row, 0.0)
        unit = abs(np.float64(row[1][fastest])) if fastest >= 0 else 1.0
        unit = max(unit, SMALLEST_UNIT)
        share, pull = _gather(row, g, norm, 0.0, 1.0 / unit)
        by_eps = 1.0 / (unit * root(share, norm)) if fastest >= 0 else 0.0
        return pull, 0.0, min(by_eps, _LARGEST), -1, False
    unit = max(eps, SMALLEST_UNIT)
    share, pull = _gather(row, g, norm, eta, 1.0 / unit)
    if share == 0:
        return pull, 0.0, 0.0, _last_to_clip(row), True
    rate = min((eta / unit) / share, _LARGEST)
    return pull, rate, rate * slope(eps / unit, norm), -1, False


@rows
def _clamp(value, largest):
    return min(max(value, -largest), largest)


@loop
def _write(row, g, norm, inverse, eta, rate, largest, outputs):
    """Store the gradients of all coordinates; return the sums of those of the bounds."""
    out_x, out_delta, out_lower, out_upper = outputs
    sum_lower, sum_upper = 0.0, 0.0
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        upstream = np.float64(at(g, i))
        to_x, to_delta, to_lower, to_upper = upstream, eta * upstream, 0.0, 0.0
        if is_free(x, delta, lower, upper, eta):
            to_delta += by_delta(delta, norm, eta, inverse, rate)
        else:
            to_room = by_room(x, delta, lower, upper, norm, inverse, rate)
            to_x, to_delta = (-to_room if delta > 0 else to_room), 0.0
            to_upper = upstream + to_room if delta > 0 else 0.0
            to_lower = upstream - to_room if delta < 0 else 0.0
        store(out_x, i, _clamp(to_x, largest))
        store(out_delta, i, _clamp(to_delta, largest))
        store(out_lower, i, _clamp(to_lower, largest))
        store(out_upper, i, _clamp(to_upper, largest))
        sum_lower += to_lower
        sum_upper += to_upper
    return sum_lower, sum_upper


@rows
def backward_row(row, g, h, norm, eps, eta, largest, outputs):
    """Store the gradients of one row; return those of eps, and the sums of those of the bounds."""
    out_x, out_delta, out_lower, out_upper = outputs
    if math.isnan(eta):
        for i in range(row[0].size):
            store(out_x, i, math.nan)
            store(out_delta, i, math.nan)
            store(out_lower, i, math.nan)
            store(out_upper, i, math.nan)
        return math.nan, math.nan, math.nan
    pull, rate, by_eps, decider, saturated = _analyse(row, g, norm, eps, eta)
    pull += h
    inverse = 1.0 / max(eps, SMALLEST_UNIT) if eps > 0 else 1.0
    # All derivatives of eta are proportional to rate; what flows into it is often of rate's inverse.
    rate = _clamp(pull * rate, _LARGEST)
    to_lower, to_upper = _write(row, g, norm, inverse, eta, rate, largest, outputs)
    if decider >= 0:
        delta = np.float64(row[1][decider])
        _increase(out_delta, decider, -pull * eta / delta, largest)
        if saturated:
            to_room = pull / abs(delta)
            _increase(out_x, decider, -to_room if delta > 0 else to_room, largest)
            _increase(out_upper, decider, to_room if delta > 0 else 0.0, largest)
            _increase(out_lower, decider, -to_room if delta < 0 else 0.0, largest)
            to_upper += to_room if delta > 0 else 0.0
            to_lower -= to_room if delta < 0 else 0.0
    return _clamp(pull * by_eps, largest), _clamp(to_lower, largest), _clamp(to_upper, largest)


@rows
def _increase(values, index, value, largest):
    store(values, index, _clamp(np.float64(at(values, index)) + value, largest))


@kernel
def backward_rows(x, delta, lower, upper, n, g, h, norm, eps, eta, largest, outputs, sums):
    """Store the gradients of a block of rows: by element, and by row those of eps and the bounds."""
    out_x, out_delta, out_lower, out_upper = outputs
    for r in range(eps.size):
        row = rows_of(x, delta, lower, upper, r, n)
        out = (
            row_of(out_x, r, n),
            row_of(out_delta, r, n),
            row_of(out_lower, r, n),
            row_of(out_upper, r, n),
        )
        sums[0, r], sums[1, r], sums[2, r] = backward_row(
            row, row_of(g, r, n), h[r], norm, eps[r], eta[r], largest, out
        )


@loop
def _eta_tangent(row, tangent_x, tangent_delta, norm, inverse, eta, rate):
    total = 0.0
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        if is_free(x, delta, lower, upper, eta):
            total += by_delta(delta, norm, eta, inverse, rate) * np.float64(at(tangent_delta, i))
        else:
            to_room = by_room(x, delta, lower, upper, norm, inverse, rate)
            total += (-to_room if delta > 0 else to_room) * np.float64(at(tangent_x, i))
    return total


@rows
def forward_row(row, tangent_x, tangent_delta, tangent_eps, norm, eps, eta, out):
    """Return the tangent of eta, and store that of clip(x + eta*delta)."""
    if math.isnan(eta):
        for i in range(row[0].size):
            store(out, i, math.nan)
        return math.nan
    _, rate, by_eps, decider, saturated = _analyse(row, 0.0, norm, eps, eta)
    inverse = 1.0 / max(eps, SMALLEST_UNIT) if eps > 0 else 1.0
    tangent = _eta_tangent(row, tangent_x, tangent_delta, norm, inverse, eta, rate)
    tangent += by_eps * tangent_eps
    if decider >= 0:
        delta = np.float64(row[1][decider])
        tangent -= eta / delta * np.float64(at(tangent_delta, decider))
        if saturated:
            tangent -= np.float64(at(tangent_x, decider)) / delta
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        moved = np.float64(at(tangent_x, i)) + eta * np.float64(at(tangent_delta, i))
        free = is_free(x, delta, lower, upper, eta)
        store(out, i, moved + delta * tangent if free else 0.0)
    return tangent


@kernel
def forward_rows(x, delta, lower, upper, n, tangents, norm, eps, eta, out, result):
    """Store the tangents of a block of rows: of eta, and of clip(x + eta*delta)."""
    tangent_x, tangent_delta, tangent_eps = tangents
    for r in range(eps.size):
        row = rows_of(x, delta, lower, upper, r, n)
        by_x, by_d = row_of(tangent_x, r, n), row_of(tangent_delta, r, n)
        target = row_of(out, r, n)
        result[r] = forward_row(row, by_x, by_d, tangent_eps[r], norm, eps[r], eta[r], target)
