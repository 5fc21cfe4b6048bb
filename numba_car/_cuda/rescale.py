"""Write clip(x + eta*delta) for rows whose eta is known, a thread an element."""

import math

import numpy as np

from numba_car._core.coordinate import arrive
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.row import element, my_element, store


@device
def moved(x, delta, lower, upper, largest, eta):
    """Return where x arrives; eta may be infinite, or NaN, and then so is the result."""
    # Where there is no bound, the end of the dtype's range is one. The GPU's clip drops NaN.
    lower, upper = max(lower, -largest), min(upper, largest)
    found = arrive(x, delta, lower, upper, eta if delta != 0 else 0.0)
    return math.nan if math.isnan(eta) else found


@kernel
def rescale_rows(x, delta, lower, upper, count, n, eta, largest, out):
    """Rescale all rows; out may be x or delta. A row without an eta (NaN) has no result either."""
    r, i = my_element()
    if r < count and i < n:
        x_i, delta_i, low, high = element((x, delta, lower, upper, r, n), i, np.float64)
        store(out, r, i, moved(x_i, delta_i, low, high, largest, eta[r]))
