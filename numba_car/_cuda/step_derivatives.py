"""Derivatives of projections and of best ascent in device memory; `_cpu/step_derivatives.py` has the same.

Gradients by element are stored in `targets`, batches for x, for z or g, and for the bounds; those of eps and the sums of
the bounds' are returned by row. Tangents are batches, those of x, of z or g, and of eps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from numba_car._core.norms import MAXIMUM, ONE, TWO
from numba_car._cuda import derivatives, device_memory, directions, launch, solver, steps
from numba_car._cuda.clip_derivatives import clip_jvp_rows, clip_vjp_rows
from numba_car._cuda.directions import Batch, by_element
from numba_car._cuda.greedy_derivatives import greedy_jvp_rows, greedy_vjp_rows
from numba_car._cuda.l1_derivatives import l1_jvp_rows, l1_vjp_rows
from numba_car._cuda.problem import DeviceProblem

Batches = tuple[Batch, ...]
_NOTHING, _ANYWHERE = (0.0,), (math.inf,)  # upstream of eta; a reach without an end


def _by_teams(kernel: Any, task: DeviceProblem, *arguments: Any) -> None:
    if task.count:
        shape = launch.row_teams(task.count, task.n)
        launch.run(kernel, shape, task.stream, *task.rows, *arguments)


def _sums(task: DeviceProblem) -> tuple[Any, ...]:
    return tuple(device_memory.empty(task.count, np.float64, task.stream) for _ in range(3))


def project_vjp(task: DeviceProblem, g: Batch, targets: Batches) -> tuple[Any, ...]:
    """Store and return the gradients of the projection of z, which is in the place of delta; g is upstream."""
    kind, sums = len(task.norm), _sums(task)
    if kind == ONE:
        _by_teams(l1_vjp_rows, task, g, *steps.thresholds(task), task.largest, targets, sums)
    elif kind == MAXIMUM:
        given = task.eps, steps.validated(task), 0.0, task.largest
        _by_teams(clip_vjp_rows, task, g, *given, targets, sums)
    else:
        along = replace(task, delta=directions.difference(task))
        solved = solver.solve(along)
        sums = derivatives.vjp(along, solved, (g, _NOTHING), targets)
        given = _ANYWHERE, solved.eta, 1.0, task.largest
        _by_teams(clip_vjp_rows, task, g, *given, targets, sums)
    return sums


def project_jvp(task: DeviceProblem, tangents: Batches, out: Batch) -> None:
    """Store the tangents of the projection of z."""
    kind = len(task.norm)
    if kind == ONE:
        _by_teams(l1_jvp_rows, task, tangents, *steps.thresholds(task), out)
    elif kind == MAXIMUM:
        by_element(clip_jvp_rows, task, tangents, task.eps, steps.validated(task), 0.0, out)
    else:
        of_x, of_z, of_eps = tangents
        along = replace(task, delta=directions.difference(task))
        solved = solver.solve(along)
        of_delta = directions.difference(replace(task, x=of_x, delta=of_z))
        derivatives.jvp(along, solved, (of_x, of_delta, of_eps), out)
        by_element(clip_jvp_rows, task, tangents, _ANYWHERE, solved.eta, 1.0, out)


def maximize_vjp(task: DeviceProblem, u: Batch, targets: Batches) -> tuple[Any, ...]:
    """Store and return the gradients of best ascent along g, which is in the place of delta; u is upstream."""
    if len(task.norm) == ONE:
        sums = _sums(task)
        _by_teams(greedy_vjp_rows, task, u, *steps.pivots(task), task.largest, targets, sums)
        return sums
    along, chain = _ascent(task)
    sums = derivatives.vjp(along, solver.solve(along), (u, _NOTHING), targets)
    chain(targets[1], targets[1])
    return sums


def maximize_jvp(task: DeviceProblem, tangents: Batches, out: Batch) -> None:
    """Store the tangents of best ascent along g."""
    if len(task.norm) == ONE:
        _by_teams(greedy_jvp_rows, task, tangents, *steps.pivots(task), out)
        return
    along, chain = _ascent(task)
    of_x, of_g, of_eps = tangents
    of_delta = chain(of_g, None)
    derivatives.jvp(along, solver.solve(along), (of_x, of_delta, of_eps), out)


def _ascent(task: DeviceProblem) -> tuple[DeviceProblem, Callable[[Batch, Batch | None], Batch]]:
    """Return the problem along the direction of best ascent, and what multiplies by the derivative of that.

    It takes a tangent or gradient, and returns the product, which it stores there if given a batch, the same or another.
    """
    if len(task.norm) == TWO:
        return task, lambda given, _: given
    p = math.inf if len(task.norm) == MAXIMUM else task.norm[0]
    delta, _ = directions.ascent(task, p, solver.no_row(task))

    def chain(given: Batch, out: Batch | None) -> Batch:
        out = directions.memory_for(task) if out is None else out
        by_element(directions.chain_rows, task, delta, 1 / (p - 1), given, out)
        return out

    return replace(task, delta=delta), chain
