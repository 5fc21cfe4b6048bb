"""The threads that share a row, and reductions over their values.

As with norms, the length of the tuple that a team travels as is its kind.

=========  ==============  ================================================================
kind       team            threads
=========  ==============  ================================================================
`ALONE`    ``()``          one thread
`WARPS`    ``(slots,)``    a warp, of which a block may hold several, or a whole block; one
                           float64 of shared memory, a slot, for each warp of the block
`PART`     ``(slots, k,    the block k of those that share a row: it passes over its part of
           blocks)``       the row, and reductions are of that part
=========  ==============  ================================================================

The x of a thread is its place in the team, the y its team's place in the block. All threads of a team
get the same bits, reduced in an order that depends on the team's size alone: results are the same from
run to run.
"""

import numpy as np
from numba import cuda

from numba_car._cuda.jit import IS_SIMULATED, device

if IS_SIMULATED:
    from numba_car._cuda.simulator import SIMULATED_CUDA

ALONE, WARPS, PART = 0, 1, 3
ONE_THREAD = ()  # the team of the kind ALONE

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
    """Return this thread's place among those that share the row."""
    if len(team) == ALONE:
        return np.int64(0)
    if len(team) == PART:
        return np.int64(team[1]) * cuda.blockDim.x + cuda.threadIdx.x
    return np.int64(cuda.threadIdx.x)


@device
def size_of(team):
    """Return how many threads share the row."""
    if len(team) == ALONE:
        return np.int64(1)
    if len(team) == PART:
        return np.int64(team[2]) * cuda.blockDim.x
    return np.int64(cuda.blockDim.x)


def butterfly(combine):
    """Return a device function that combines the values of a warp's threads, and returns that to each."""

    @device
    def across_warp(value):
        distance = 16
        while distance > 0:
            value = combine(value, cuda.shfl_xor_sync(ALL, value, distance))
            distance //= 2
        return value

    return across_warp


def _reduction(combine):
    """Return a device function that combines the values of a team's threads, and returns that to each."""
    # The simulator takes five times as long to shuffle five times.
    across_warp = SIMULATED_CUDA.butterfly(combine) if IS_SIMULATED else butterfly(combine)

    @device
    def across_team(value, team):
        if len(team) == ALONE:
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
    """Return the least of the threads' indices, which are below 2**53; those of -1 do not count."""
    best = team_max(2.0**53 - index if index >= 0 else 0.0, team)
    return np.int64(2.0**53 - best) if best > 0 else np.int64(-1)


@device
def read_once(values, r, team):
    """Return values[r], not negative, to all threads of a team: one reads it, and may store there afterwards.

    Had all read it, nothing would order the reads of the others before the store.
    """
    return team_max(np.float64(values[r]) if place_in(team) == 0 else 0.0, team)
