"""Batches of results on a grid in device memory: the eta of the continuous problem is moved to what the grid reaches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numba_car._core.grid import slack_of
from numba_car._cuda import device_memory, directions, launch, solver
from numba_car._cuda.directions import Batch
from numba_car._cuda.grid import measure_grid_rows, solve_grid_rows, write_grid_rows
from numba_car._cuda.problem import DeviceProblem
from numba_car._jit import interpreted


def _grid_of(task: DeviceProblem) -> tuple[float, float]:
    """Return the step and the slack that kernels take."""
    assert task.options.step is not None
    return float(task.options.step), interpreted(slack_of, {})(task.compute.type(0))


def _limits_of(task: DeviceProblem) -> tuple[float, float]:
    """Return the least and the largest number of an integer dtype of results, infinite for floats."""
    if task.result.kind not in "iu":
        return -math.inf, math.inf
    if float(task.options.step or 0) % 1:
        raise solver.BadRowError
    limits = np.iinfo(task.result)
    return float(limits.min), float(limits.max)


def solve(task: DeviceProblem, eta: Any) -> tuple[Any, Any]:
    """Return eta and eta/step of the results on the grid by row, given the eta of the continuous problem.

    Raises `solver.BadRowError` if some x is not on the grid, or results do not fit their dtype.
    """
    grid, limits = _grid_of(task), _limits_of(task)
    there, rate = (device_memory.empty(task.count, np.float64, task.stream) for _ in range(2))
    if task.count:
        first = solver.no_row(task)
        how = grid, task.norm, task.eps, task.options.side == "inside", eta, task.slack, limits
        shape = launch.row_teams(task.count, task.n)
        launch.run(solve_grid_rows, shape, task.stream, *task.rows, *how, there, rate, first)
        solver.check(task, first)
    return there, rate


def write(task: DeviceProblem, rate: Any, out: Batch) -> None:
    """Store the results on the grid, given eta/step there; out may be the memory of x or delta."""
    directions.by_element(write_grid_rows, task, _grid_of(task), rate, out)


def norms(task: DeviceProblem, rate: Any) -> Any:
    """Return the norms of the results on the grid by row, given eta/step there."""
    reached = device_memory.empty(task.count, np.float64, task.stream)
    if task.count:
        shape = launch.row_teams(task.count, task.n)
        given = _grid_of(task), task.norm, rate, reached
        launch.run(measure_grid_rows, shape, task.stream, *task.rows, *given)
    return reached
