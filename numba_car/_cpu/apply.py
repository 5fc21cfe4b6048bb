"""Write clip(x + eta*delta) for rows whose eta is known."""

import math

import numpy as np

from numba_car._core.newton import OUT_OF_RANGE
from numba_car._core.norms import is_short
from numba_car._core.problem import arrive
from numba_car._cpu.analysis import fits
from numba_car._cpu.views import element, row_of, rows_of
from numba_car._jit import kernel, loop, rows


@loop
def _arrive(row, eta, rest, largest, out):
    lane = type(eta)
    for i in range(out.size):
        x, delta, lower, upper = element(row, i, lane)
        # Where there is no bound, the end of the dtype's range is one: finite input, finite output.
        low, high = max(lower, -largest), min(upper, largest)
        out[i] = arrive(x + rest * delta, delta, low, high, eta)


@rows
def rescale_row(row, eta, largest, out):
    """Fill out; a row without an eta (NaN) has no result either."""
    lane = row[0].dtype.type
    if math.isnan(eta):
        out[:] = math.nan
    elif is_short(lane(0)) and fits(eta) and largest <= np.finfo(lane).max:
        # The digits of eta that float32 does not hold would be missing from all steps alike. They are
        # added, never subtracted: beside a step that overflows, that would be inf - inf.
        short = lane(eta * (1 - 2.0**-24))
        _arrive(row, short, lane(eta - np.float64(short)), lane(largest), out)
    else:
        _arrive(row, np.float64(eta), 0.0, np.float64(largest), out)


@kernel
def rescale_rows(x, delta, lower, upper, n, verdict, eta, largest, out):
    """Rescale those of a block of rows that are not OUT_OF_RANGE; out may be x or delta."""
    for r in range(eta.size):
        if verdict[r] != OUT_OF_RANGE:
            rescale_row(rows_of(x, delta, lower, upper, r, n), eta[r], largest, row_of(out, r, n))
