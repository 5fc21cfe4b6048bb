"""Passes over few long rows, each of which several blocks share: norms, and eta for p = inf.

A kernel stores what each block finds in its part of a row; the next one, which needs that of the whole row, puts it
together first, in order. The device functions that pass over the parts are those that pass over rows elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from numba_car._core.constants import LARGEST
from numba_car._core.coordinate import arrival
from numba_car._core.norms import root
from numba_car._core.verdicts import DONE, PENDING
from numba_car._cuda import device_memory, launch
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.measure import is_norm, largest_delta, largest_step, sum_steps
from numba_car._cuda.newton import report
from numba_car._cuda.problem import DeviceProblem
from numba_car._cuda.row import at, loaded
from numba_car._cuda.team import SLOTS, team_max, team_sum
from numba_car._cuda.validate import verdict_of, worst_fault


@device
def my_part(blocks, slots):
    """Return the row of this block, and the team of the blocks that share it."""
    # There are few blocks, and a division of 64 bits takes long.
    r = np.int64(np.uint32(cuda.blockIdx.x) // np.uint32(blocks))
    return r, (slots, np.int64(cuda.blockIdx.x) - r * blocks, np.int64(blocks))


@device
def largest_of(parts, r, blocks, team):
    """Return the largest of what the blocks of row r have stored."""
    largest, b = 0.0, np.int64(cuda.threadIdx.x)
    while b < blocks:
        largest = max(largest, parts[r * blocks + b])
        b += cuda.blockDim.x
    return team_max(largest, team)


@device
def sum_of(parts, r, blocks, team):
    """Return the sum of what the blocks of row r have stored."""
    total, b = 0.0, np.int64(cuda.threadIdx.x)
    while b < blocks:
        total += parts[r * blocks + b]
        b += cuda.blockDim.x
    return team_sum(total, team)


@device
def keep_part(parts, value):
    """Store what this block has found."""
    if cuda.threadIdx.x == 0:
        parts[np.int64(cuda.blockIdx.x)] = value


@kernel
def largest_steps(x, delta, lower, upper, count, n, blocks, verdict, eta, steps):  # noqa: ARG001
    """Store the largest step of each part of the rows that are DONE."""
    lower, upper = loaded(lower), loaded(upper)
    r, team = my_part(blocks, cuda.shared.array(SLOTS, np.float64))
    if verdict[r] == DONE:
        scale = at(eta, r, 0, np.float64)
        keep_part(steps, largest_step((x, delta, lower, upper, r, n), scale, team))


@kernel
def sums_of_steps(x, delta, lower, upper, count, n, blocks, norm, verdict, eta, steps, sums):  # noqa: ARG001
    """Store the sum over each part of the rows that are DONE, in units of the row's largest step."""
    lower, upper = loaded(lower), loaded(upper)
    r, team = my_part(blocks, cuda.shared.array(SLOTS, np.float64))
    if verdict[r] == DONE:
        unit, scale = largest_of(steps, r, blocks, (team[0],)), at(eta, r, 0, np.float64)
        if not is_norm(unit, norm):
            row = (x, delta, lower, upper, r, n)
            keep_part(sums, sum_steps(row, norm, scale, unit, team))


@kernel
def norms_of_parts(blocks, norm, verdict, eta, steps, sums, reached):
    """Store the norms of the rows that are DONE, NaN for others, a block a row."""
    team, r = (cuda.shared.array(SLOTS, np.float64),), np.int64(cuda.blockIdx.x)
    found = math.nan
    if verdict[r] == DONE and not math.isnan(at(eta, r, 0, np.float64)):
        found = largest_of(steps, r, blocks, team)
        if not is_norm(found, norm):
            found *= root(sum_of(sums, r, blocks, team), norm)
    if cuda.threadIdx.x == 0:
        reached[r] = found


@kernel
def maxima_of_parts(x, delta, lower, upper, count, n, blocks, eps, slack, faults, sizes, steps):  # noqa: ARG001
    """Store of each part the worst fault, the largest |delta| with room for eps, and the largest room."""
    lower, upper = loaded(lower), loaded(upper)
    r, team = my_part(blocks, cuda.shared.array(SLOTS, np.float64))
    row, goal = (x, delta, lower, upper, r, n), at(eps, r, 0, np.float64)
    keep_part(faults, worst_fault(row, slack, team))
    keep_part(sizes, largest_delta(row, goal, team))
    keep_part(steps, largest_step(row, math.inf, team))


@kernel
def maxima_of_saturated(x, delta, lower, upper, count, n, blocks, eps, sizes, steps, found):  # noqa: ARG001
    """Store the largest |delta| of each part, with as much room as there is, of rows without room for eps."""
    lower, upper = loaded(lower), loaded(upper)
    r, team = my_part(blocks, cuda.shared.array(SLOTS, np.float64))
    size = 0.0
    if largest_of(sizes, r, blocks, (team[0],)) == 0:
        reachable = min(at(eps, r, 0, np.float64), largest_of(steps, r, blocks, (team[0],)))
        if reachable > 0:
            size = largest_delta((x, delta, lower, upper, r, n), reachable, team)
    keep_part(found, size)


@kernel
def eta_of_maxima(blocks, eps, faults, sizes, steps, others, eta, verdict, first):
    """Store eta for p = inf, a block a row."""
    team, r = (cuda.shared.array(SLOTS, np.float64),), np.int64(cuda.blockIdx.x)
    goal, found = at(eps, r, 0, np.float64), 0.0
    validity = verdict_of(largest_of(faults, r, blocks, team))
    max_abs_delta, reachable = largest_of(sizes, r, blocks, team), goal
    if max_abs_delta == 0:
        reachable = min(goal, largest_of(steps, r, blocks, team))
        max_abs_delta = largest_of(others, r, blocks, team)
    if validity == PENDING and reachable > 0 and max_abs_delta > 0:
        found = min(arrival(reachable, max_abs_delta), LARGEST)
    report(r, validity, goal, found, eta, verdict, first)


def memory_of_parts(task: DeviceProblem, plan: launch.Spread, number: int) -> list[Any]:
    """Return so many arrays of a number for each part."""
    size = plan.blocks * task.count
    return [device_memory.empty(size, np.float64, task.stream) for _ in range(number)]


def measure(task: DeviceProblem, plan: launch.Spread, verdict: Any, eta: Any, reached: Any) -> None:
    """Store N(eta) of all rows in `reached`, as `measure.measure_rows` does."""
    steps, sums = memory_of_parts(task, plan, 2)
    blocks, stream = np.int64(plan.blocks), task.stream
    launch.run(largest_steps, plan.parts, stream, *task.rows, blocks, verdict, eta, steps)
    given = blocks, task.norm, verdict, eta, steps, sums
    launch.run(sums_of_steps, plan.parts, stream, *task.rows, *given)
    launch.run(norms_of_parts, plan.rows, stream, *given, reached)


def solve_maximum_norm(
    task: DeviceProblem, plan: launch.Spread, eps: Any, results: tuple[Any, ...]
) -> None:
    """Solve all rows for p = inf, as `newton.solve_kernel` does; `results` begin with the slack."""
    slack, *answer = results
    faults, sizes, steps, others = memory_of_parts(task, plan, 4)
    blocks, stream = np.int64(plan.blocks), task.stream
    given = *task.rows, blocks, eps
    launch.run(maxima_of_parts, plan.parts, stream, *given, slack, faults, sizes, steps)
    launch.run(maxima_of_saturated, plan.parts, stream, *given, sizes, steps, others)
    launch.run(eta_of_maxima, plan.rows, stream, blocks, eps, faults, sizes, steps, others, *answer)
