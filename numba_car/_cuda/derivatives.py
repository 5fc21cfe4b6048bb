"""Derivatives of a solved batch in device memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from numba_car._cuda import device_memory, launch, spread_vjp
from numba_car._cuda.jvp import jvp_rows
from numba_car._cuda.problem import DeviceProblem
from numba_car._cuda.solver import Solved
from numba_car._cuda.vjp import vjp_rows


def vjp(
    task: DeviceProblem,
    solved: Solved,
    upstream: tuple[tuple[Any, ...], tuple[Any, ...]],
    targets: tuple[tuple[Any, ...], ...],
) -> tuple[Any, Any, Any]:
    """Store gradients by element in `targets`; return by row those of eps, and the sums of the bounds'.

    `upstream` holds the gradients of clip(x + eta*delta) and of eta, as batches as of `_cuda.row`.
    """
    sums = tuple(device_memory.empty(task.count, np.float64, task.stream) for _ in range(3))
    plan = launch.spread(task.count, task.n) if task.count else None
    if plan is not None:
        spread_vjp.vjp(task, plan, solved.eta, upstream, targets, sums)
    elif task.count:
        shape = launch.row_teams(task.count, task.n)
        given = task.norm, task.eps, solved.eta, task.largest
        arguments = *task.rows, *upstream, *given, targets, sums
        launch.run(vjp_rows, shape, task.stream, *arguments)
    return sums


def jvp(
    task: DeviceProblem,
    solved: Solved,
    tangents: tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]],
    target: tuple[Any, ...],
) -> Any:
    """Return the tangents of eta, by row; store those of clip(x + eta*delta) in `target`.

    `tangents` are those of x, delta and eps, as batches as of `_cuda.row`.
    """
    result = device_memory.empty(task.count, np.float64, task.stream)
    if task.count:
        shape = launch.row_teams(task.count, task.n)
        given = tangents, task.norm, task.eps, solved.eta
        launch.run(jvp_rows, shape, task.stream, *task.rows, *given, target, result)
    return result
