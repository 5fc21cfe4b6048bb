"""Tangents of eta and of clip(x + eta*delta), in three passes over a row."""

import math

import numpy as np

from numba_car._core.derivative import decider_tangent, eta_tangent, inverse_unit, moved_tangent
from numba_car._cpu.active_set import analyse, held
from numba_car._cpu.row import at, element, row_of, rows_of
from numba_car._jit import kernel, loop, rows


@loop
def _eta_tangent(row, tangent_x, tangent_delta, norm, inverse, eta, rate):
    total = 0.0
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        of_x, of_delta = np.float64(at(tangent_x, i)), np.float64(at(tangent_delta, i))
        total += eta_tangent(x, delta, lower, upper, norm, inverse, of_x, of_delta, eta, rate)
    return total


@rows
def jvp_row(row, tangent_x, tangent_delta, tangent_eps, norm, eps, eta, out):
    """Return the tangent of eta, and store that of clip(x + eta*delta) unless `out` is empty."""
    if math.isnan(eta):
        out[:] = math.nan
        return math.nan
    eta = held(row, eps, eta)
    _, _, rate, by_eps, decider, saturated = analyse(row, 0.0, norm, eps, eta)
    inverse = inverse_unit(eps, rate)
    tangent = _eta_tangent(row, tangent_x, tangent_delta, norm, inverse, eta, rate)
    tangent += by_eps * tangent_eps
    if decider >= 0:
        of_x, of_delta = np.float64(at(tangent_x, decider)), np.float64(at(tangent_delta, decider))
        tangent += decider_tangent(np.float64(row[1][decider]), of_x, of_delta, eta, saturated)
    for i in range(out.size):
        x, delta, lower, upper = element(row, i, np.float64)
        of_x, of_delta = np.float64(at(tangent_x, i)), np.float64(at(tangent_delta, i))
        out[i] = moved_tangent(x, delta, lower, upper, of_x, of_delta, eta, tangent)
    return tangent


@kernel
def jvp_rows(x, delta, lower, upper, n, tangents, norm, eps, eta, out, result):
    """Store the tangents of a block of rows: of eta, and of clip(x + eta*delta) unless `out` is empty."""
    tangent_x, tangent_delta, tangent_eps = tangents
    for r in range(eps.size):
        row = rows_of(x, delta, lower, upper, r, n)
        by_x, by_d = row_of(tangent_x, r, n), row_of(tangent_delta, r, n)
        target = row_of(out, r, n)
        result[r] = jvp_row(row, by_x, by_d, tangent_eps[r], norm, eps[r], eta[r], target)
