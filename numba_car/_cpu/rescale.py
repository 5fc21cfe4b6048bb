"""Write clip(x + eta*delta) for rows whose eta is known."""

import math

import numpy as np

from numba_car._core.coordinate import arrive_in_range
from numba_car._core.norms import is_float32, largest_number
from numba_car._core.verdicts import NEEDS_MORE_DIGITS
from numba_car._cpu.active_set import fits
from numba_car._cpu.row import element, row_of, rows_of
from numba_car._jit import kernel, loop, rows


@loop
def _arrive(row, eta, rest, largest, out):
    dtype = type(eta)
    for i in range(out.size):
        x, delta, lower, upper = element(row, i, dtype)
        out[i] = arrive_in_range(x + rest * delta, delta, lower, upper, eta, largest)


@rows
def rescale_row(row, eta, largest, out):
    """Store clip(x + eta*delta) in out; NaN where eta is NaN."""
    dtype = row[0].dtype.type
    if math.isnan(eta):
        out[:] = math.nan
    elif is_float32(dtype(0)) and fits(eta) and largest <= largest_number(dtype(0)):
        # The digits of eta that float32 does not hold would be missing from all steps alike. They are
        # added, never subtracted: with a step that overflows, that would be inf - inf.
        short = dtype(eta * (1 - 2.0**-24))
        _arrive(row, short, dtype(eta - np.float64(short)), dtype(largest), out)
    else:
        _arrive(row, np.float64(eta), 0.0, np.float64(largest), out)


@kernel
def rescale_rows(x, delta, lower, upper, n, verdict, eta, largest, out):
    """Rescale those of a block of rows that are not NEEDS_MORE_DIGITS; out may be x or delta."""
    for r in range(eta.size):
        if verdict[r] != NEEDS_MORE_DIGITS:
            rescale_row(rows_of(x, delta, lower, upper, r, n), eta[r], largest, row_of(out, r, n))
