"""Write projections: for p = 2 along z - x, for p = inf coordinate by coordinate."""

import math

import numpy as np
from numba import cuda

from numba_car._cuda.jit import device, kernel
from numba_car._cuda.newton import report_number
from numba_car._cuda.rescale import moved
from numba_car._cuda.row import at, element, loaded, my_element, store
from numba_car._cuda.team import SLOTS
from numba_car._cuda.terms import NO_TERMS
from numba_car._cuda.validate import read_and_validate


@device
def clipped(x, z, lower, upper, reach, largest):
    """Return z clipped to the bounds, and to within `reach` of x."""
    low, high = max(lower, x - reach, -largest), min(upper, x + reach, largest)
    return min(max(z, low), high)


@kernel
def project_rows(x, delta, lower, upper, count, n, z, eta, largest, out):
    """Store x + min(1, eta)*delta inside the bounds, delta being z - x; out may be x or z.

    Where eta >= 1, the result is z inside the bounds, without the rounding of delta.
    """
    r, i = my_element()
    if r < count and i < n:
        x_i, delta_i, low, high = element((x, delta, lower, upper, r, n), i, np.float64)
        if eta[r] >= 1:
            z_i = at(z, r, i, np.float64)
            store(out, r, i, clipped(x_i, z_i, low, high, math.inf, largest))
        else:
            store(out, r, i, moved(x_i, delta_i, low, high, largest, eta[r]))


@kernel
def cap_rows(eta):
    """Replace eta by min(1, eta)."""
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if r < eta.size and eta[r] > 1:
        eta[r] = 1.0


@kernel
def validate_rows(x, delta, lower, upper, count, n, eps, slack, eta, verdict, first):
    """Store 0 for valid rows, NaN for rows that are not finite, and their verdicts."""
    lower, upper = loaded(lower), loaded(upper)
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        row, goal = (x, delta, lower, upper, r, n), at(eps, r, 0, np.float64)
        _, validity = read_and_validate(row, slack, np.float64(0), NO_TERMS, team)
        report_number(r, validity, goal, 0.0, eta, verdict, first)
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y


@kernel
def clip_to_ball_rows(x, z, lower, upper, count, n, eps, eta, largest, out):
    """Store the points of the box nearest to z, each element at most eps from x; NaN where eta is NaN."""
    r, i = my_element()
    if r < count and i < n:
        x_i, z_i, low, high = element((x, z, lower, upper, r, n), i, np.float64)
        found = clipped(x_i, z_i, low, high, at(eps, r, 0, np.float64), largest)
        store(out, r, i, math.nan if math.isnan(eta[r]) else found)
