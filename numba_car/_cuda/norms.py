"""The norms that rows reach, and which rows ask for more than they can."""

import math

import numpy as np
from numba import cuda

from numba_car._core.newton import DONE
from numba_car._cuda.jit import kernel
from numba_car._cuda.measure import norm_reached
from numba_car._cuda.team import SLOTS
from numba_car._cuda.views import at


@kernel
def measure_rows(x, delta, lower, upper, count, n, norm, verdict, eta, reached):
    """Store the norms that rows reach at eta; with eta = (inf,) that is R."""
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        scale, found = at(eta, r, 0, np.float64), math.nan
        if verdict[r] == DONE and not math.isnan(scale):
            found = norm_reached((x, delta, lower, upper, r, n), norm, scale, team)
        if cuda.threadIdx.x == 0:
            reached[r] = found
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y


@kernel
def judge_rows(eps, max_norm, shown, discards, eta, saturated, first):
    """Say which rows ask for more than R, be it R itself or R as the result's dtype shows it.

    Their eta becomes NaN where `discards`; `first` takes the least of their indices.
    """
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    while r < max_norm.size:
        reachable = max(max_norm[r], at(shown, r, 0, np.float64))
        beyond = at(eps, r, 0, np.float64) > reachable
        saturated[r] = beyond
        if beyond:
            cuda.atomic.min(first, 0, r)
            if discards:
                eta[r] = math.nan
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.x
