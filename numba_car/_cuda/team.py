"""The threads that share a row, and what they find out together.

A team is `()`, one thread by itself, or `(slots,)`: a warp, of which a block holds several, or a whole
block. The x of a thread is its place in the team, the y its team's place in the block. All threads of a
team get the same bits, in an order that depends on nothing but the team's size: results are the same
from run to run.
"""

import numpy as np
from numba import cuda

from numba_car._cuda.jit import IS_SIMULATED, device

if IS_SIMULATED:
    from numba_car._cuda.simulator import WARPS

WARP = 32
LARGEST_TEAM = 256  # of more, some kernels' registers do not fit a multiprocessor
SLOTS = WARP  # float64 in shared memory, for teams of several warps
ALL = 0xFFFFFFFF


@device
def _plus(a, b):
    return a + b


@device
def _largest(a, b):
    return max(a, b)


@device
def place_in(team):
    """Return this thread's place in its team."""
    return np.int64(0) if len(team) == 0 else np.int64(cuda.threadIdx.x)


@device
def size_of(team):
    """Return how many threads there are in a team."""
    return np.int64(1) if len(team) == 0 else np.int64(cuda.blockDim.x)


def butterfly(combine):
    """Return the device function that combines a value of each thread of a warp, for all of them."""

    @device
    def across_warp(value):
        distance = 16
        while distance > 0:
            value = combine(value, cuda.shfl_xor_sync(ALL, value, distance))
            distance //= 2
        return value

    return across_warp


def _reduction(combine):
    # The simulator takes five times as long to shuffle five times.
    across_warp = WARPS.butterfly(combine) if IS_SIMULATED else butterfly(combine)

    @device
    def across_team(value, team):
        if len(team) == 0:
            return np.float64(value)
        value = across_warp(np.float64(value))
        if cuda.blockDim.x > WARP:
            slots = team[0]
            place, warp = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
            if place == 0:
                slots[warp] = value
            cuda.syncthreads()
            # 0 changes neither a sum nor the largest of what is not negative.
            value = across_warp(slots[place] if place < cuda.blockDim.x // WARP else 0.0)
            cuda.syncthreads()  # before the slots are written to again
        return value

    return across_team


team_sum = _reduction(_plus)
team_max = _reduction(_largest)  # of values that are not negative


@device
def team_first(index, team):
    """Return the least of the indices that threads found, -1 for none; they are below 2**53."""
    best = team_max(2.0**53 - index if index >= 0 else 0.0, team)
    return np.int64(2.0**53 - best) if best > 0 else np.int64(-1)
