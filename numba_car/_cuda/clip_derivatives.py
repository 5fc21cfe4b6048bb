"""Derivatives of projections for p = inf, and of those for p = 2 that are z inside the bounds."""

import math

import numpy as np
from numba import cuda

from numba_car._core.clip import pull_back, push_forward
from numba_car._core.derivative import clamp
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.row import at, element, loaded, my_element, store
from numba_car._cuda.team import SLOTS, place_in, size_of, team_sum
from numba_car._cuda.vjp import store_gradients, write_nan


@device
def pull_clip_row(row, g, reach, largest, outputs, team):
    """Store the gradients of z clipped to the bounds and to within `reach` of x.

    Return that of the reach, and the sums of those of the bounds.
    """
    of_reach, of_lower, of_upper, i = 0.0, 0.0, 0.0, place_in(team)
    while i < row[5]:
        x, z, lower, upper = element(row, i, np.float64)
        found = pull_back(x, z, lower, upper, reach, at(g, row[4], i, np.float64))
        store_gradients(outputs, row[4], i, found, largest)
        of_lower += found[2]
        of_upper += found[3]
        of_reach += found[4]
        i += size_of(team)
    of_reach, of_lower = team_sum(of_reach, team), team_sum(of_lower, team)
    of_upper = team_sum(of_upper, team)
    return clamp(of_reach, largest), clamp(of_lower, largest), clamp(of_upper, largest)


@device
def take_from_x(row, largest, outputs, team):
    """Have x lose the gradient of z - x, which is that of z."""
    i = place_in(team)
    while i < row[5]:
        of_x, of_z = (
            at(outputs[0], row[4], i, np.float64),
            at(outputs[1], row[4], i, np.float64),
        )
        store(outputs[0], row[4], i, clamp(of_x - of_z, largest))
        i += size_of(team)


@kernel
def clip_vjp_rows(x, z, lower, upper, count, n, g, reach, eta, least, largest, outputs, sums):
    """Store the gradients of the rows with an eta of `least` or more, which are z clipped to the bounds and the reach.

    The outputs of the other rows hold the gradients of x and of z - x: those of x and z are made of them.
    """
    lower, upper = loaded(lower), loaded(upper)
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        row, found = (x, z, lower, upper, r, n), (math.nan, math.nan, math.nan)
        if math.isnan(eta[r]):
            write_nan(row, outputs, team)
        elif eta[r] >= least:
            found = pull_clip_row(row, g, at(reach, r, 0, np.float64), largest, outputs, team)
        else:
            take_from_x(row, largest, outputs, team)
        if cuda.threadIdx.x == 0 and not eta[r] < least:
            sums[0][r], sums[1][r], sums[2][r] = found
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y


@kernel
def clip_jvp_rows(x, z, lower, upper, count, n, tangents, reach, eta, least, out):
    """Store the tangents of the rows with an eta of `least` or more, NaN where it is NaN, a thread an element."""
    r, i = my_element()
    if r < count and i < n and not eta[r] < least:
        x_i, z_i, low, high = element((x, z, lower, upper, r, n), i, np.float64)
        of_x, of_z = at(tangents[0], r, i, np.float64), at(tangents[1], r, i, np.float64)
        goal, of_reach = at(reach, r, 0, np.float64), at(tangents[2], r, 0, np.float64)
        moved = push_forward(x_i, z_i, low, high, goal, of_x, of_z, of_reach)
        store(out, r, i, math.nan if math.isnan(eta[r]) else moved)
