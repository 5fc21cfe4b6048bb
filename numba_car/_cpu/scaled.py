"""A row in other units, for sums that would overflow."""

import numpy as np
from numba import types

from numba_car._jit import overload, rows


def times(values, unit):
    """Return values * unit: a new array, or a number."""
    return values * unit


@overload(times)
def _times(values, unit):  # noqa: ARG001
    if not isinstance(values, types.Array):
        return lambda values, unit: values * unit

    def implementation(values, unit):
        result = np.empty(values.size, values.dtype)
        for i in range(values.size):
            result[i] = values[i] * unit
        return result

    return implementation


@rows
def scaled_row(row, unit):
    """Return a copy of a row, multiplied by `unit`, in its own dtype."""
    x, z, lower, upper = row
    return times(x, unit), times(z, unit), times(lower, unit), times(upper, unit)
