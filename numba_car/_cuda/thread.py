"""One thread a row: the solver as device functions, for callers' own ``@cuda.jit`` code.

Each takes one row: `x` and `delta` one-dimensional contiguous arrays, `lower` and `upper` numbers
(infinite for no bound), `eps` >= 0 and `p` in (0, inf]. Each pass reads the row again, in float64.
They raise nothing: a row with NaN or inf, or with x outside its bounds by more than rounding, gives NaN.
"""

import math

import numpy as np

from numba_car._core.limits import SLACK
from numba_car._core.newton import GO_ON
from numba_car._core.norms import any_norm
from numba_car._core.problem import arrive
from numba_car._cuda.jit import device
from numba_car._cuda.measure import LARGEST, solve_largest
from numba_car._cuda.newton import inspect, is_short, solve_finite

_ALONE = ()


@device
def _row_of(x, delta, lower, upper):
    nowhere = np.int64(0)
    return (x, nowhere), (delta, nowhere), (lower,), (upper,), nowhere, np.int64(x.size)


@device
def eta(x, delta, eps, p, lower, upper):
    """Scale of one row: the smallest eta >= 0 with N(eta) = min(eps, R); see `numba_car.eta`."""
    row, eps, p = _row_of(x, delta, lower, upper), np.float64(eps), np.float64(p)
    slack = SLACK * (2.0**-23 if is_short(x.dtype.type(0)) else 2.0**-52)
    speed, found = inspect(row, slack, np.float64(0), _ALONE, _ALONE)
    if found != GO_ON or not (p > 0 and 0 <= eps < math.inf and delta.size == x.size):
        return math.nan
    if eps == 0 or speed == 0:
        return 0.0
    lane = np.float64(0)
    if p == math.inf:
        return solve_largest(row, eps, _ALONE)
    if p == 1:
        return solve_finite(row, (1.0,), eps, speed, lane, _ALONE, _ALONE)
    if p == 2:
        return solve_finite(row, (2.0, 0.5), eps, speed, lane, _ALONE, _ALONE)
    return solve_finite(row, any_norm(p), eps, speed, lane, _ALONE, _ALONE)


@device
def rescale(x, delta, eps, p, lower, upper, out):
    """Fill out with clip(x + eta*delta, lower, upper) of one row, and return eta; out may be x."""
    scale = eta(x, delta, eps, p, lower, upper)
    low, high = max(np.float64(lower), -LARGEST), min(np.float64(upper), LARGEST)
    for i in range(out.size):
        moved = arrive(np.float64(x[i]), np.float64(delta[i]), low, high, scale)
        out[i] = math.nan if math.isnan(scale) else moved
    return scale
