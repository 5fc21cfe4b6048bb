"""Write clip(x + eta*delta) for rows whose eta is known, a thread an element."""

import math

import numpy as np

from numba_car._core.problem import arrive
from numba_car._cuda.jit import kernel
from numba_car._cuda.views import element, my_element, store


@kernel
def rescale_rows(x, delta, lower, upper, count, n, eta, largest, out):
    """Rescale all rows; out may be x or delta. A row without an eta (NaN) has no result either."""
    r, i = my_element()
    if r < count and i < n:
        scale = eta[r]
        x_i, delta_i, low, high = element((x, delta, lower, upper, r, n), i, np.float64)
        # Where there is no bound, the end of the dtype's range is one. The GPU's clip drops NaN.
        found = arrive(x_i, delta_i, max(low, -largest), min(high, largest), scale)
        store(out, r, i, math.nan if math.isnan(scale) else found)
