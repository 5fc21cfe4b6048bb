"""Write clip(x + eta*delta) for rows whose eta is known, a thread an element."""

import math

import numpy as np

from numba_car._core.coordinate import arrive_in_range
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.row import element, my_element, store


@device
def moved(x, delta, lower, upper, largest, eta):
    """Return clip(x + eta*delta), for an eta that may be infinite; NaN where eta is."""
    found = arrive_in_range(x, delta, lower, upper, eta if delta != 0 else 0.0, largest)
    return math.nan if math.isnan(eta) else found  # the GPU's min and max drop NaN


@kernel
def rescale_rows(x, delta, lower, upper, count, n, eta, largest, out):
    """Store clip(x + eta*delta) of all rows, NaN for rows without an eta; out may be x or delta."""
    r, i = my_element()
    if r < count and i < n:
        x_i, delta_i, low, high = element((x, delta, lower, upper, r, n), i, np.float64)
        store(out, r, i, moved(x_i, delta_i, low, high, largest, eta[r]))
