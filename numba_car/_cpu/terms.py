"""The terms min(w t, c) of G(t): how the weights w and the caps c of a row are kept and read.

Terms are a tuple whose length is their kind, as that of norms is:

============  ==============================================  =================================================
kind          terms                                           meaning
============  ==============================================  =================================================
`READY`       ``(x, delta, lower, upper)``                    a row whose x are inside their bounds
`READY`       ``(rooms, -|delta|, 0, inf)``                   a row in units, which reads like one; see `prepare`
`READY`       ``(caps, weights, 0, inf)``                     stored powers, of norm `STORED`; see `raise_row`
`RECOMPUTED`  ``(x, delta, lower, upper, unit, largest)``     powers taken anew by each pass, block by block, in
                                                              float64: for rows too long to store them
============  ==============================================  =================================================
"""

import math

import numpy as np

from numba_car._core.coordinate import room
from numba_car._core.norms import (
    GENERAL,
    STORED_POWERS,
    divisor,
    is_float32,
    largest_number,
    relative,
    term,
    unit_of,
)
from numba_car._cpu.row import element, parts_of
from numba_car._cpu.sums import padded
from numba_car._jit import loop, rows

READY, RECOMPUTED = 4, 6


@loop
def fill_scaled(row, norm, unit, largest, rooms, deltas):
    """Store room/unit and -|delta|/largest, where both are powers of two; an infinite room becomes finite."""
    dtype = rooms.dtype.type
    by_unit, by_largest = divisor(dtype(unit), norm), divisor(dtype(largest), norm)
    for i in range(rooms.size):
        x, delta, lower, upper = element(row, i, dtype)
        distance = relative(room(x, delta, lower, upper), by_unit, norm)
        rooms[i] = min(distance, largest_number(dtype(0)))
        deltas[i] = -relative(abs(delta), by_largest, norm)


@loop
def fill_powers(row, norm, unit, largest, caps, weights):
    """Store (room/unit)**p and (|delta|/largest)**p; an infinite cap becomes finite."""
    dtype = caps.dtype.type
    by_unit, by_largest = divisor(dtype(unit), norm), divisor(dtype(largest), norm)
    for i in range(caps.size):
        x, delta, lower, upper = element(row, i, dtype)
        cap = term(relative(room(x, delta, lower, upper), by_unit, norm), norm)
        caps[i] = min(cap, largest_number(dtype(0)))
        weights[i] = term(relative(abs(delta), by_largest, norm), norm)


@rows
def unit_in(like, size, norm):
    """Return the unit of sizes of this order, rounded to the dtype of `like`."""
    return np.float64(type(like)(unit_of(size, norm, is_float32(like))))


@rows
def raise_row(row, norm, eps, max_abs_delta, scratch):
    """Return a row's terms as stored powers, and the units of room and of |delta|."""
    n, like = row[0].size, scratch.dtype.type(0)
    unit, largest = unit_in(like, eps, norm), unit_in(like, max_abs_delta, norm)
    caps, weights = scratch[0, : padded(n)], scratch[1, : padded(n)]
    fill_powers(row, norm, unit, largest, caps[:n], weights[:n])
    caps[n:] = weights[n:] = 0
    return (caps, weights, type(like)(0), type(like)(math.inf)), unit, largest


@rows
def prepare(row, norm, eps, max_abs_delta, scratch):
    """Return a row's terms in units, the norm to read them by, and the units of room and of |delta|."""
    if len(norm) >= GENERAL:
        terms, unit, largest = raise_row(row, norm, eps, max_abs_delta, scratch)
        return terms, STORED_POWERS, unit, largest
    like, rooms, deltas = (
        scratch.dtype.type(0),
        scratch[0, : row[0].size],
        scratch[1, : row[0].size],
    )
    unit, largest = unit_in(like, eps, norm), unit_in(like, max_abs_delta, norm)
    fill_scaled(row, norm, unit, largest, rooms, deltas)
    return (rooms, deltas, type(like)(0), type(like)(math.inf)), norm, unit, largest


@rows
def recompute(terms, norm, start, stop):
    """Return elements start to stop of `RECOMPUTED` terms as stored powers."""
    x, delta, lower, upper, unit, largest = terms
    here = parts_of((x, delta, lower, upper), start, stop)
    caps, weights = np.empty(stop - start), np.empty(stop - start)
    fill_powers(here, norm, unit, largest, caps, weights)
    return caps, weights, 0.0, math.inf


@rows
def like_of(terms):
    """Return a number of the dtype in which terms are summed."""
    return 0.0 if len(terms) == RECOMPUTED else terms[0].dtype.type(0)
