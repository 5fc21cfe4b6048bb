"""Gradients of few long rows, each of which several blocks share: `vjp` has the same for a team a row.

Blocks add up their parts of a row; one block a row decides what its gradients are, and passes over the row itself only
where no coordinate is free or eta is 0 (or p is infinite); then blocks store gradients, each for its part.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from numba_car._core.constants import LARGEST
from numba_car._core.derivative import clamp, inverse_unit, rate_of_pull, rates
from numba_car._core.norms import MAXIMUM
from numba_car._cuda import launch
from numba_car._cuda.active_set import analyse, gather, held
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.problem import DeviceProblem
from numba_car._cuda.row import at, loaded
from numba_car._cuda.spread import keep_part, memory_of_parts, my_part, sum_of
from numba_car._cuda.team import SLOTS
from numba_car._cuda.vjp import write, write_nan

DECISION = 6  # numbers of a row: eta, pull, rate, inverse, decider, saturated


@device
def is_ordinary(norm, eps, eta):
    """Return whether the sums over the free coordinates tell all of a row, if there is a free one."""
    return len(norm) != MAXIMUM and 0 < eta < math.inf and eps <= LARGEST / 2


@kernel
def gather_parts(x, delta, lower, upper, count, n, blocks, g, norm, eps, eta, shares, pulls):  # noqa: ARG001
    """Store the sums over the free coordinates of each part of the ordinary rows."""
    lower, upper = loaded(lower), loaded(upper)
    r, team = my_part(blocks, cuda.shared.array(SLOTS, np.float64))
    goal = at(eps, r, 0, np.float64)
    if is_ordinary(norm, goal, eta[r]):
        row = (x, delta, lower, upper, r, n)
        share, pull = gather(row, g, norm, eta[r], inverse_unit(goal, 1.0), team)
        keep_part(shares, share)
        keep_part(pulls, pull)


@kernel
def decide_rows(
    x, delta, lower, upper, count, n, blocks, g, h, norm, eps, eta, shares, pulls, largest,  # noqa: ARG001
    decisions, by_eps,
):  # fmt: skip
    """Store the decision of each row and the gradient of eps, a block a row; NaN for a row without eta."""
    lower, upper = loaded(lower), loaded(upper)
    team, r = (cuda.shared.array(SLOTS, np.float64),), np.int64(cuda.blockIdx.x)
    row, goal, scale = (x, delta, lower, upper, r, n), at(eps, r, 0, np.float64), eta[r]
    share, pull, rate, inverse, slope = 0.0, math.nan, 0.0, 0.0, math.nan
    decider, saturated = np.int64(-1), False
    if is_ordinary(norm, goal, scale):
        share, pull = sum_of(shares, r, blocks, team), sum_of(pulls, r, blocks, team)
    if not math.isnan(scale):
        if share > 0:
            rate, slope = rates(share, norm, goal, scale)
        else:
            scale = held(row, goal, scale, team)
            pull, rate, slope, decider, saturated = analyse(row, g, norm, goal, scale, team)
        pull += at(h, r, 0, np.float64)
        rate, inverse = rate_of_pull(pull, rate, goal)
    if cuda.threadIdx.x == 0:
        d = DECISION * r
        decisions[d], decisions[d + 1], decisions[d + 2] = scale, pull, rate
        decisions[d + 3], decisions[d + 4] = inverse, np.float64(decider)
        decisions[d + 5] = 1.0 if saturated else 0.0
        by_eps[r] = clamp(pull * slope, largest)


@kernel
def write_parts(
    x, delta, lower, upper, count, n, blocks, g, norm, decisions, largest, outputs, lows, highs  # noqa: ARG001
):  # fmt: skip
    """Store the gradients of each part of all rows, and the sums of those of the bounds."""
    lower, upper = loaded(lower), loaded(upper)
    r, team = my_part(blocks, cuda.shared.array(SLOTS, np.float64))
    row, d = (x, delta, lower, upper, r, n), DECISION * r
    eta, pull, rate, inverse = decisions[d], decisions[d + 1], decisions[d + 2], decisions[d + 3]
    if math.isnan(eta):
        write_nan(row, outputs, team)
        low, high = math.nan, math.nan
    else:
        decision = np.int64(decisions[d + 4]), decisions[d + 5] > 0, pull
        low, high = write(row, g, norm, inverse, eta, rate, decision, largest, outputs, team)
    keep_part(lows, low)
    keep_part(highs, high)


@kernel
def sum_parts(blocks, lows, highs, largest, by_lower, by_upper):
    """Store the sums of the gradients of the bounds, a block a row."""
    team, r = (cuda.shared.array(SLOTS, np.float64),), np.int64(cuda.blockIdx.x)
    low, high = sum_of(lows, r, blocks, team), sum_of(highs, r, blocks, team)
    if cuda.threadIdx.x == 0:
        by_lower[r], by_upper[r] = clamp(low, largest), clamp(high, largest)


def vjp(
    task: DeviceProblem,
    plan: launch.Spread,
    eta: Any,
    upstream: tuple[Any, Any],
    targets: tuple[Any, ...],
    sums: tuple[Any, ...],
) -> None:
    """Store gradients by element in `targets`, by row in `sums`, as `vjp.vjp_rows` does."""
    (g, h), blocks, stream = upstream, np.int64(plan.blocks), task.stream
    shares, pulls, lows, highs = memory_of_parts(task, plan, 4)
    decisions = memory_of_parts(task, plan._replace(blocks=DECISION), 1)[0]
    given = *task.rows, blocks, g
    launch.run(gather_parts, plan.parts, stream, *given, task.norm, task.eps, eta, shares, pulls)
    known = task.norm, task.eps, eta, shares, pulls, task.largest
    launch.run(decide_rows, plan.rows, stream, *given, h, *known, decisions, sums[0])
    aims = decisions, task.largest, targets, lows, highs
    launch.run(write_parts, plan.parts, stream, *given, task.norm, *aims)
    launch.run(sum_parts, plan.rows, stream, blocks, lows, highs, task.largest, *sums[1:])
