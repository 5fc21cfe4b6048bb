"""The largest values of a row.

Sizes are compared as bit patterns, which order as non-negative floats do: LLVM vectorises a largest
integer; a largest float stays scalar, 2 to 3 times slower, since numba marks no select as nnan.
"""

import numpy as np

from numba_car._core.problem import room, step
from numba_car._cpu.views import element
from numba_car._jit import loop, rows


@rows
def _bits(size):
    return np.float64(size).view(np.int64)


@rows
def _value(bits):
    return np.int64(bits).view(np.float64)


@loop
def largest_step(row, eta):
    """Max min(eta*|delta|, room): the norm reached for p = inf, and with eta = inf its R."""
    largest = np.int64(0)
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        largest = max(largest, _bits(step(x, delta, lower, upper, eta)))
    return _value(largest)


@loop
def largest_delta(row, least_room):
    """Max |delta| over the coordinates with at least that much room."""
    largest = np.int64(0)
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        largest = max(
            largest, _bits(abs(delta) if room(x, delta, lower, upper) >= least_room else 0.0)
        )
    return _value(largest)


@loop
def largest_breakpoint(row):
    """Max room/|delta|, rounded so that nothing moves from there on: eta*|delta| >= room."""
    largest = np.int64(0)
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        distance = room(x, delta, lower, upper)
        eta = distance / abs(delta) if delta != 0 else 0.0
        largest = max(largest, _bits(eta) + (eta * abs(delta) < distance and delta != 0))
    return _value(largest)
