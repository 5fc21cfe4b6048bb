"""The public functions' work on device arrays: problems in, results in memory of the caller's kind out."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from numba_car._core.norms import MAXIMUM, ONE, TWO
from numba_car._cuda import copies, device_memory, launch
from numba_car._cuda.long_rows import STATE, alone_kernel, rest_kernel, start_kernel
from numba_car._cuda.measure import flag_unreachable, measure_rows
from numba_car._cuda.multi_block import share_blocks
from numba_car._cuda.newton import solve_kernel
from numba_car._cuda.problem import DeviceProblem
from numba_car._cuda.rescale import rescale_rows
from numba_car._cuda.sort import SCRATCH_ROWS, sort_rows
from numba_car._cuda.team import WARP
from numba_car._layout import DType
from numba_car._options import Options

_NOBODY = np.iinfo(np.int64).max


class BadRowError(Exception):
    """The values of a row ask for an error; the caller words it."""


class Solved(NamedTuple):
    """Eta as float64 and a verdict, by row."""

    eta: Any
    verdict: Any


def _first(task: DeviceProblem) -> Any:
    return device_memory.to_device(np.full(1, _NOBODY, np.int64), task.stream)


def _check(task: DeviceProblem, first: Any) -> None:
    """Read back once whether there was a row that the caller must hear of."""
    if device_memory.to_host(first, task.stream)[0] != _NOBODY:
        raise BadRowError


def solve(task: DeviceProblem, options: Options, *, for_eps: bool = True) -> Solved:
    """Solve all rows, for the problem's eps or for 0."""
    eta = device_memory.empty(task.count, np.float64, task.stream)
    verdict = device_memory.empty(task.count, np.int64, task.stream)
    if task.count == 0:
        return Solved(eta, verdict)
    first = _first(task)
    results = np.float64(task.slack), eta, verdict, first
    if options.method == "sort" and len(task.norm) != MAXIMUM and for_eps and task.n > 0:
        _sort(task, results)
    else:
        _newton(task, task.eps if for_eps else (0.0,), results)
    _check(task, first)
    if options.infeasible != "saturate" and for_eps:
        judge(task, Solved(eta, verdict), options.infeasible)
    return Solved(eta, verdict)


def _newton(task: DeviceProblem, eps: tuple[Any, ...], results: tuple[Any, ...]) -> None:
    # As on the CPU: float32 has no room for the powers of a general p.
    kind = len(task.norm)
    like = task.compute if kind in (ONE, TWO, MAXIMUM) else np.dtype(np.float64)
    if kind == MAXIMUM:  # that takes a pass or two, and keeps nothing
        shape: launch.Shape | None = launch.row_teams(task.count, task.n)
    else:
        shape = launch.keeping_teams(task.count, task.n, like)
    if shape is None:
        _narrow(task, eps, like, results)
    else:
        kernel = solve_kernel(like, "on chip" if shape.shared else "anew")
        launch.run(kernel, shape, task.stream, *task.rows, eps, task.norm, *results)


def _narrow(
    task: DeviceProblem, eps: tuple[Any, ...], like: DType, results: tuple[Any, ...]
) -> None:
    """Solve rows that are too long for the chip; no launch waits to hear what another found."""
    plan = launch.narrowing(task.count, task.n, like)
    rows, norm, stream = task.rows, task.norm, task.stream
    slack, eta, verdict, first = results
    columns = plan.shape.blocks * plan.shape.threads[0]  # of all rows, or of those under way
    scratch = device_memory.empty(2 * plan.layers * columns, like, stream)
    counts = device_memory.empty(columns // WARP, np.int64, stream)
    state = device_memory.empty(STATE * task.count, np.float64, stream)
    kept = scratch, np.int64(plan.layers), counts, state
    size = np.int64(launch.sample_size(task.n, plan.stride))
    arguments = *rows, eps, norm, np.int64(plan.stride), size, state, verdict
    launch.run(start_kernel(like), plan.samples, stream, *arguments)
    if plan.blocks == 1:
        arguments = *rows, eps, norm, slack, *kept, eta, verdict, first
        launch.run(alone_kernel(like), plan.shape, stream, *arguments)
    else:
        share_blocks(task, eps, like, plan, kept, results)
    shape = launch.row_teams(task.count, task.n)
    launch.run(rest_kernel(like), shape, stream, *rows, eps, norm, eta, verdict, first)


def _sort(task: DeviceProblem, results: tuple[Any, ...]) -> None:
    shape, size = launch.sorting_blocks(task.count, task.n, 8 * (SCRATCH_ROWS + 1))
    slack, eta, verdict, first = results
    scratch = device_memory.empty(shape.blocks * SCRATCH_ROWS * size, np.float64, task.stream)
    order = device_memory.empty(shape.blocks * size, np.int64, task.stream)
    numbers = np.int64(size), task.eps, task.norm, slack
    arguments = *task.rows, *numbers, scratch, order, eta, verdict, first
    launch.run(sort_rows, shape, task.stream, *arguments)


def measure(task: DeviceProblem, solved: Solved, eta: tuple[Any, ...]) -> Any:
    """N(eta) of all rows; with eta = inf that is R."""
    reached = device_memory.empty(task.count, np.float64, task.stream)
    if task.count:
        shape = launch.row_teams(task.count, task.n)
        arguments = *task.rows, task.norm, solved.verdict, eta, reached
        launch.run(measure_rows, shape, task.stream, *arguments)
    return reached


def max_norms(task: DeviceProblem, solved: Solved) -> Any:
    """R of all rows."""
    return measure(task, solved, (math.inf,))


def judge(task: DeviceProblem, solved: Solved, rule: str, max_norm: Any = None) -> Any:
    """Return which rows cannot reach eps; do with them what the rule says."""
    saturated = device_memory.empty(task.count, np.bool_, task.stream)
    if task.count == 0:
        return saturated
    max_norm = max_norms(task, solved) if max_norm is None else max_norm
    shown = copies.shown(max_norm, task.dtype, task.stream)
    first = _first(task)
    shape = launch.Shape(copies.blocks_for(task.count), (32, 1))
    arguments = task.eps, max_norm, shown, rule == "nan", solved.eta, saturated, first
    launch.run(flag_unreachable, shape, task.stream, *arguments)
    if rule == "raise":
        _check(task, first)
    return saturated


def rescale(task: DeviceProblem, solved: Solved, out: tuple[Any, ...]) -> None:
    """Write clip(x + eta*delta)."""
    if task.count * task.n:
        blocks, threads = launch.elements_grid(task.count, task.n)
        arguments = *task.rows, solved.eta, task.largest, out
        rescale_rows[blocks, threads, task.stream](*arguments)


def solution(task: DeviceProblem, options: Options) -> tuple[Any, Any, Any, Any]:
    """Return eta, the norm that it reaches as it is shown, R, and who asks for more, by row."""
    solved = solve(task, options)
    reachable = max_norms(task, solved)
    saturated = judge(task, solved, "saturate", reachable)
    shown = copies.shown(solved.eta, task.dtype, task.stream)
    return solved.eta, measure(task, solved, shown), reachable, saturated
