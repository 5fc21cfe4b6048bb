"""Write clip(x + eta*delta) for rows whose eta is known."""

import math

import numpy as np

from numba_car._core.newton import OUT_OF_RANGE
from numba_car._core.problem import arrive
from numba_car._cpu.views import element, row_of, rows_of
from numba_car._jit import kernel, loop, rows


@loop
def _arrive(row, eta, largest, out):
    for i in range(out.size):
        x, delta, lower, upper = element(row, i, np.float64)
        # Where there is no bound, the end of the dtype's range is one: finite input, finite output.
        out[i] = arrive(x, delta, max(lower, -largest), min(upper, largest), eta)


@rows
def rescale_row(row, eta, largest, out):
    """Fill out; a row without an eta (NaN) has no result either."""
    if math.isnan(eta):
        out[:] = math.nan
    else:
        _arrive(row, eta, largest, out)


@kernel
def rescale_rows(x, delta, lower, upper, n, verdict, eta, largest, out):
    """Rescale those of a block of rows that are not OUT_OF_RANGE; out may be x or delta."""
    for r in range(eta.size):
        if verdict[r] != OUT_OF_RANGE:
            rescale_row(rows_of(x, delta, lower, upper, r, n), eta[r], largest, row_of(out, r, n))
