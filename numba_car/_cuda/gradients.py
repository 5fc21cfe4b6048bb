"""Gradients of a batch in device memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from numba_car._cuda import launch, memory
from numba_car._cuda.backward import backward_rows
from numba_car._cuda.jit import kernel
from numba_car._cuda.problem import DeviceProblem
from numba_car._cuda.solver import Solved
from numba_car._cuda.team import SLOTS, team_sum


@kernel
def _sum_all(values: Any, total: Any) -> None:
    """Sum float64 by one team, in an order that depends on nothing but their number."""
    team = (cuda.shared.array(SLOTS, np.float64),)
    found, i = 0.0, np.int64(cuda.threadIdx.x)
    while i < values.size:
        found += values[i]
        i += cuda.blockDim.x
    found = team_sum(found, team)
    if cuda.threadIdx.x == 0:
        total[0] = found


def total(values: Any, stream: Any) -> Any:
    """Return one number, the sum, as flat memory."""
    result = memory.empty(1, np.float64, stream)
    launch.run(_sum_all, launch.Shape(1, launch.threads_of(values.size)), stream, values, result)
    return result


def vjp(
    task: DeviceProblem,
    solved: Solved,
    upstream: tuple[tuple[Any, ...], tuple[Any, ...]],
    targets: tuple[tuple[Any, ...], ...],
) -> tuple[Any, Any, Any]:
    """Store gradients by element; return those of eps, and the sums of the bounds', by row.

    Upstream are those of clip(x + eta*delta), as rows, and of eta.
    """
    sums = tuple(memory.empty(task.count, np.float64, task.stream) for _ in range(3))
    if task.count:
        shape = launch.row_teams(task.count, task.n)
        given = task.norm, task.eps, solved.eta, task.largest
        arguments = *task.rows, *upstream, *given, targets, sums
        launch.run(backward_rows, shape, task.stream, *arguments)
    return sums
