"""Results by element in device memory: rescaled batches, projections and best ascent; `_cpu/steps.py` has the same.

Each function stores its results in `out`, a batch as of `_cuda.row`, once no error can occur. Its memory may be that
of x or delta, element by element.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from numba_car._core.norms import MAXIMUM, ONE, TWO
from numba_car._cuda import copies, device_memory, directions, inside, launch, on_grid, solver
from numba_car._cuda.directions import Batch, by_element
from numba_car._cuda.double_double import rescale_pairs
from numba_car._cuda.greedy import pivot_kernel, write_pivots
from numba_car._cuda.problem import DeviceProblem
from numba_car._cuda.project import cap_rows, clip_to_ball_rows, project_rows, validate_rows
from numba_car._cuda.rescale import rescale_rows
from numba_car._cuda.threshold import threshold_kernel, write_thresholds


def _numbers(task: DeviceProblem, dtype: Any = np.float64) -> Any:
    return device_memory.empty(task.count, dtype, task.stream)


def _by_teams(kernel: Any, task: DeviceProblem, *results: Any) -> None:
    """Launch a kernel that validates and solves rows, a team a row; raise BadRowError for bad ones."""
    if task.count:
        first = solver.no_row(task)
        shape = launch.row_teams(task.count, task.n)
        given = *task.rows, task.eps, np.float64(task.slack)
        launch.run(kernel, shape, task.stream, *given, *results, first)
        solver.check(task, first)


def rescale(task: DeviceProblem, out: Batch) -> Any:
    """Store clip(x + eta*delta), on the grid of `options.step` if there is one, and return eta by row."""
    solved = solver.solve(task)
    if task.options.step is None:
        return _write(task, solved, out)
    eta, rate = on_grid.solve(task, solved.eta)
    on_grid.write(task, rate, out)
    return eta


def rescale_and_solve(task: DeviceProblem, out: Batch) -> tuple[Any, ...]:
    """Store what `rescale` does, and return what `solver.solution` does, of the results on a grid if there is one."""
    solved = solver.solve(task)
    if task.options.step is None:
        facts = solver.solution(task, solved)
        _write(task, solved, out)
        return facts
    eta, rate = on_grid.solve(task, solved.eta)
    facts = solver.solution(task, solved, on_grid.norms(task, rate))
    on_grid.write(task, rate, out)  # last, since `out` may be x
    return eta, *facts[1:]


def _write(task: DeviceProblem, solved: solver.Solved, out: Batch) -> Any:
    """Store clip(x + eta*delta) and return eta by row."""
    task = inside.prepared(task, out)
    if solved.pairs:
        given = solved.verdict, solved.eta, *solved.pairs
        by_element(rescale_pairs, task, *given, task.largest, out)
    else:
        by_element(rescale_rows, task, solved.eta, task.largest, out)
    inside.keep(task, solved.eta, out)
    return solved.eta


def project(task: DeviceProblem, out: Batch) -> Any:
    """Store the points nearest to z, which is in the place of delta.

    Return min(1, eta) for p = 2, for p = 1 the threshold of |z - x|, for p = inf 0.
    """
    kind = len(task.norm)
    if kind == ONE:
        return _project_on_sum(task, out)
    if kind == MAXIMUM:
        return _clip_to_ball(task, out)
    along = replace(task, delta=directions.difference(task))
    eta = solver.solve(along).eta
    along = inside.prepared(along, out)
    by_element(project_rows, along, task.delta, eta, task.largest, out)
    inside.keep(along, eta, out)
    if task.count:
        launch.call(cap_rows, (copies.blocks_for(task.count), copies.THREADS, task.stream), eta)
    return eta


def validated(task: DeviceProblem) -> Any:
    """Return by row 0, or NaN for a row that is not finite."""
    eta, verdict = _numbers(task), _numbers(task, np.int64)
    _by_teams(validate_rows, task, eta, verdict)
    return eta


def _clip_to_ball(task: DeviceProblem, out: Batch) -> Any:
    eta = validated(task)
    task = inside.prepared(task, out)
    by_element(clip_to_ball_rows, task, task.eps, eta, task.largest, out)
    inside.keep(task, eta, out)
    return eta


def thresholds(task: DeviceProblem) -> tuple[Any, Any, Any]:
    """Return the thresholds of |z - x| as pairs, and the verdicts that say in which units they are."""
    lam, low, verdict = _numbers(task), _numbers(task), _numbers(task, np.int64)
    _by_teams(threshold_kernel(task.compute), task, low, lam, verdict)
    return lam, low, verdict


def _project_on_sum(task: DeviceProblem, out: Batch) -> Any:
    found = thresholds(task)
    task = inside.prepared(task, out)
    by_element(write_thresholds, task, *found, out)
    inside.keep(task, found[0], out)
    return found[0]


def pivots(task: DeviceProblem) -> tuple[Any, Any, Any]:
    """Return by row the index of the pivot, its |g|, and what it takes of eps; the last is NaN for bad rows."""
    pivot, size = _numbers(task, np.int64), _numbers(task)
    rest, verdict = _numbers(task), _numbers(task, np.int64)
    _by_teams(pivot_kernel(task.compute), task, pivot, size, rest, verdict)
    return pivot, size, rest


def _maximize_on_sum(task: DeviceProblem, out: Batch) -> Any:
    found = pivots(task)
    task = inside.prepared(task, out)
    by_element(write_pivots, task, *found, task.largest, out)
    inside.keep(task, found[2], out)
    return found[2]


def maximize(task: DeviceProblem, out: Batch) -> Any:
    """Store the points with the largest <g, y>, g being in the place of delta.

    Return eta along g for p = 2, along the direction of `directions.ascent` for other p > 1, and for p = 1 what the
    last element takes of eps.
    """
    if len(task.norm) == ONE:
        return _maximize_on_sum(task, out)
    if len(task.norm) == TWO:
        return rescale(task, out)
    levels = _levels(task)
    task = inside.prepared(task, out)
    eta = levels[0][1].eta
    for k, (delta, solved) in enumerate(levels):
        along = replace(task, delta=delta)
        kernel = directions.move_rest if k else rescale_rows
        by_element(kernel, along, solved.eta, task.largest, out)
    inside.keep(task, eta, out)
    return eta


def _levels(task: DeviceProblem) -> list[tuple[Batch, solver.Solved]]:
    """Return directions and their solutions: the first, and those of elements whose powers were too small before.

    These move where all others are at their bounds and do not reach eps.
    """
    p = math.inf if len(task.norm) == MAXIMUM else task.norm[0]
    levels: list[tuple[Batch, solver.Solved]] = []
    while True:
        first = solver.no_row(task)
        delta, lost = directions.ascent(task, p, first)
        along = replace(task, delta=delta)
        solved = solver.solve(along)
        levels.append((delta, solved))
        if not solver.has_row(task, first):
            return levels
        reach = solver.max_norms(along, solved)
        saturated = solver.flag_infeasible(along, solved, "saturate", reach)
        first = solver.no_row(task)
        task = directions.rest(task, delta, lost, (reach, saturated), first)
        if not solver.has_row(task, first):
            return levels


STORING: dict[str, Callable[[DeviceProblem, Batch], Any]] = {
    "rescale": rescale,
    "rescale_and_solve": rescale_and_solve,
    "project": project,
    "maximize": maximize,
}
