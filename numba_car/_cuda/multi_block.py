"""The kernels of `long_rows` with several blocks a row, for rows too few to give every block one.

Blocks do not wait for each other: each stores sums over its part of the row, which the next launch adds
up in order. All rounds are launched at once, without a copy to the host in between; for a row that is
done, a block returns at once.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from numba_car._core.newton import nearness
from numba_car._core.verdicts import PENDING
from numba_car._cuda import device_memory, launch
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.long_rows import ROUNDS, answer_or_leave, load_state, store_state
from numba_car._cuda.row import at, loaded
from numba_car._cuda.sampled_bracket import ROUGH, around, bracket_of_step, iterate_in, narrow
from numba_car._cuda.team import SLOTS, team_max, team_sum
from numba_car._layout import DType

LARGER = 1 << 20  # elements from which on a second, larger sample costs less than it saves
LARGER_STRIDE = 32
SUMS = 6  # numbers that `narrow` returns


@device
def sums_of_blocks(parts, r, blocks, team):
    """Return the sums of row r, as `narrow` returns them, from those of its blocks."""
    clipped, free, middle, max_abs_delta, fault, most = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    b = np.int64(cuda.threadIdx.x)
    while b < blocks:
        s = SUMS * (r * blocks + b)
        clipped, free, middle = clipped + parts[s], free + parts[s + 1], middle + parts[s + 2]
        max_abs_delta, fault = max(max_abs_delta, parts[s + 3]), max(fault, parts[s + 4])
        most = max(most, parts[s + 5])
        b += np.int64(cuda.blockDim.x)
    sums = team_sum(clipped, team), team_sum(free, team), team_sum(middle, team)
    return (*sums, team_max(max_abs_delta, team), team_max(fault, team), team_max(most, team))


class RoundKernels(NamedTuple):
    """The two kernels of a round, in order."""

    sift: Any
    iterate: Any


@functools.cache
def round_kernels(dtype: DType) -> RoundKernels:
    """Return the kernels for terms of that dtype."""
    real = dtype.type

    @kernel
    def sift(
        x, delta, lower, upper, count, n, norm, slack,
        stride, scratch, layers, counts, state, parts, verdict,
    ):  # fmt: skip
        """Store the sums over each block's part of a PENDING row, or of a sample of it, in `parts`."""
        lower, upper = loaded(lower), loaded(upper)
        team, like = (cuda.shared.array(SLOTS, np.float64),), real(0)
        # There are few blocks, and a division of 64 bits takes long.
        blocks = np.int64(np.uint32(cuda.gridDim.x) // np.uint32(count))
        r = np.int64(np.uint32(cuda.blockIdx.x) // np.uint32(blocks))
        half = scratch.size // 2
        column = (np.int64(cuda.blockIdx.x) - r * blocks) * cuda.blockDim.x + cuda.threadIdx.x
        aside = (scratch, scratch[half:], counts, r, layers, blocks * cuda.blockDim.x)
        if verdict[r] == PENDING:
            units, bracket = load_state(state, r)
            row = (x, delta, lower, upper, r, n)
            sums = narrow(row, column, stride, units, bracket, norm, slack, like, aside, team)
            if cuda.threadIdx.x == 0:
                s = SUMS * np.int64(cuda.blockIdx.x)
                parts[s], parts[s + 1], parts[s + 2] = sums[0], sums[1], sums[2]
                parts[s + 3], parts[s + 4], parts[s + 5] = sums[3], sums[4], sums[5]

    @kernel
    def iterate(
        n, eps, norm, size, blocks, columns, scratch, layers, counts, state, parts,
        is_first, drawn, eta, verdict, first,
    ):  # fmt: skip
        """Iterate on PENDING rows over what `sift` set aside; after a sample, store a narrower bracket."""
        team, like = (cuda.shared.array(SLOTS, np.float64),), real(0)
        r, half = np.int64(cuda.blockIdx.x), scratch.size // 2
        aside = (scratch, scratch[half:], counts, r, layers, columns)
        units, bracket = load_state(state, r)
        if (
            verdict[r] == PENDING
        ):  # also with a target out of range: the row is still to be validated
            sums, goal = sums_of_blocks(parts, r, blocks, team), at(eps, r, 0, np.float64)
            share, near = size / n, nearness(like) if size == n else ROUGH
            before, t, found = iterate_in(
                bracket, sums, units[2] * share, is_first, near, like, aside, team
            )
            if size < n:
                width = bracket[2] * math.sqrt(drawn / size)
                bracket = around(t, width if found != PENDING else bracket[2])
            else:
                bracket = bracket_of_step(before, t)
                answer_or_leave(r, goal, sums, units, norm, t, found, eta, verdict, first)
            store_state(state, r, units, bracket)

    return RoundKernels(sift, iterate)


def launch_rounds(
    task: Any, eps: Any, like: DType, plan: launch.Narrowing, aside: Any, results: Any
) -> None:
    """Launch rounds of both kernels; `aside` is memory, `results` where they store, as of `narrow_rows`."""
    kernels = round_kernels(like)
    rows, norm, stream = task.rows, task.norm, task.stream
    slack, eta, verdict, first = results
    parts = device_memory.empty(SUMS * plan.shape.blocks, np.float64, stream)
    blocks, columns = np.int64(plan.blocks), np.int64(plan.blocks * plan.shape.threads[0])
    block_a_row = launch.Shape(task.count, plan.shape.threads)
    strides = ROUNDS * [1] if task.n < LARGER else [LARGER_STRIDE, *ROUNDS * [1]]
    for k, each in enumerate(strides):
        stride, is_first = np.int64(each), k == 0 or strides[k - 1] > 1
        memory = *aside, parts
        launch.run(kernels.sift, plan.shape, stream, *rows, norm, slack, stride, *memory, verdict)
        outputs = task.n / plan.stride, eta, verdict, first
        drawn = np.int64(launch.sample_size(task.n, each))
        sizes = rows[-1], eps, norm, drawn, blocks, columns
        launch.run(kernels.iterate, block_a_row, stream, *sizes, *memory, is_first, *outputs)
