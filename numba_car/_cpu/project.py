"""Write projections: for p = 2 along z - x, for p = inf coordinate by coordinate."""

import math

import numpy as np

from numba_car._core.verdicts import NEEDS_MORE_DIGITS
from numba_car._cpu.rescale import rescale_row
from numba_car._cpu.row import element, row_of, rows_of
from numba_car._jit import kernel, loop


@loop
def _clip(row, reach, largest, out):
    """Store z clipped to the bounds, and to within `reach` of x; the row has z in the place of delta."""
    for i in range(out.size):
        x, z, lower, upper = element(row, i, np.float64)
        low, high = max(lower, x - reach, -largest), min(upper, x + reach, largest)
        out[i] = min(max(z, low), high)


@kernel
def project_rows(x, delta, lower, upper, n, z, verdict, eta, largest, out):
    """Write x + min(1, eta)*delta, inside the bounds, of those of a block of rows that are not NEEDS_MORE_DIGITS.

    delta is z - x; where eta >= 1, the result is z inside the bounds, without the rounding of delta.
    """
    for r in range(eta.size):
        if verdict[r] != NEEDS_MORE_DIGITS:
            target = row_of(out, r, n)
            if eta[r] >= 1.0:
                _clip(rows_of(x, z, lower, upper, r, n), math.inf, largest, target)
            else:
                rescale_row(rows_of(x, delta, lower, upper, r, n), eta[r], largest, target)


@kernel
def clip_to_ball_rows(x, z, lower, upper, n, eps, eta, largest, out):
    """Write the points of the box nearest to z, each element at most eps from x; NaN where eta is NaN."""
    for r in range(eps.size):
        target = row_of(out, r, n)
        if math.isnan(eta[r]):
            target[:] = math.nan
        else:
            _clip(rows_of(x, z, lower, upper, r, n), eps[r], largest, target)
