"""The solver for a `DeviceProblem`: which kernels solve its rows, and what is computed from their eta.

Rows are solved in one of three ways: by `solve_rows` if their terms fit shared memory, or p is infinite;
by `sort_rows` for the method "sort"; else by `guess_rows`, then `narrow_rows` with a block a row, or rounds
of `sift` and `iterate` with several, then `solve_rest`.

=====================  ===============================  ===============================================
kernel                 takes rows that are              leaves them
=====================  ===============================  ===============================================
`solve_rows`           any                              DONE, NOT_FINITE, OUTSIDE
`sort_rows`            any                              DONE, NOT_FINITE, OUTSIDE
`guess_rows`           any                              PENDING
`narrow_rows`          PENDING                          DONE, NOT_FINITE, OUTSIDE, or, for `solve_rest`,
`sift` and `iterate`   PENDING                          PENDING, SATURATED, NEEDS_MORE_DIGITS
`solve_rest`           PENDING, SATURATED,              DONE
                       NEEDS_MORE_DIGITS
`solve_pairs`          NEEDS_MORE_DIGITS, or DONE       NEEDS_MORE_DIGITS
`measure_rows`         DONE                             DONE
`measure_pairs`        DONE, NEEDS_MORE_DIGITS          DONE, NEEDS_MORE_DIGITS
=====================  ===============================  ===============================================

Rows whose eta float64 may not hold leave the first of these NEEDS_MORE_DIGITS; for p < 0.6 in float64 all rows need more
digits. What `solve_pairs` has found stays NEEDS_MORE_DIGITS, which says that eta is a mantissa and an exponent.

Where there are few long rows, `spread` has kernels that solve p = inf and measure norms with several blocks a row.

`steps` has the kernels for p = 1 of `project` and `maximize`, which solve other equations.

Within a kernel, a row that Newton's method leaves SATURATED is measured, and one that it leaves
NEEDS_MORE_DIGITS is bisected: see `newton.finish`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from numba_car._core.constants import SMALL_P
from numba_car._core.norms import MAXIMUM, ONE, TWO
from numba_car._cuda import copies, device_memory, launch, spread
from numba_car._cuda.double_double import measure_pairs, solve_pairs
from numba_car._cuda.long_rows import STATE, alone_kernel, rest_kernel, start_kernel
from numba_car._cuda.measure import flag_negative, flag_unreachable, measure_rows
from numba_car._cuda.multi_block import launch_rounds
from numba_car._cuda.newton import solve_kernel
from numba_car._cuda.problem import DeviceProblem
from numba_car._cuda.row import BFLOAT16_ROWS, NUMBER, STORED_NUMBER
from numba_car._cuda.sort import SCRATCH_ROWS, sort_rows
from numba_car._cuda.team import WARP
from numba_car._layout import DType

MOST_SORTED = 1 << 20  # elements; of more, the bitonic sort of one block takes seconds and more
_NO_ROW = np.iinfo(np.int64).max


class BadRowError(Exception):
    """A row has values that are an error; the message is written by the CPU's solver."""


class Unreachable(NamedTuple):
    """Rows that cannot reach eps: the first of them, how many there are, and eps and R of the first."""

    first: int
    size: int
    eps: Any
    max_norm: Any


class Solved(NamedTuple):
    """Eta as float64, and a verdict, one of each a row.

    `pairs` holds eta of the rows NEEDS_MORE_DIGITS as mantissas and exponents; it is empty if there is no such row.
    """

    eta: Any
    verdict: Any
    pairs: tuple[Any, ...] = ()


def no_row(task: DeviceProblem) -> Any:
    """Return memory for the least indices of two kinds of rows, with no row in it yet.

    The first is that of a row that asks for an error, the second that of one that needs more digits.
    """
    return device_memory.to_device(np.full(2, _NO_ROW, np.int64), task.stream)


def has_row(task: DeviceProblem, first: Any) -> bool:
    """Return whether a kernel stored a row in `first`, which is copied to the host for that."""
    return bool(device_memory.to_host(first, task.stream)[0] != _NO_ROW)


def check(task: DeviceProblem, first: Any) -> bool:
    """Raise BadRowError if a kernel stored a bad row in `first`; return whether it stored one that needs more digits."""
    is_bad, needs_more = device_memory.to_host(first, task.stream) != _NO_ROW
    if is_bad:
        raise BadRowError
    return bool(needs_more)


def solve(task: DeviceProblem, *, for_eps: bool = True) -> Solved:
    """Return eta of all rows, for the problem's eps, or for eps = 0, which validates the rows alone."""
    eta = device_memory.empty(task.count, np.float64, task.stream)
    verdict = device_memory.empty(task.count, np.int64, task.stream)
    if task.count == 0:
        return Solved(eta, verdict)
    first = no_row(task)
    results = np.float64(task.slack), eta, verdict, first
    if task.options.method == "sort" and len(task.norm) != MAXIMUM and for_eps and task.n > 0:
        _sort(task, results)
    else:
        _newton(task, task.eps if for_eps else (0.0,), results)
    solved = Solved(eta, verdict)
    if check(task, first) or (is_small_p(task) and for_eps):
        solved = _with_more_digits(task, solved)
    if task.options.infeasible != "saturate" and for_eps:
        flag_infeasible(task, solved, task.options.infeasible)
    return solved


def is_small_p(task: DeviceProblem) -> bool:
    """Return whether float64 sums have too few digits for p, as on the CPU."""
    least = SMALL_P * 2.0**-29 if task.compute == np.float32 else SMALL_P
    return task.norm[0] < least and task.norm[0] != 0.5


def _with_more_digits(task: DeviceProblem, solved: Solved) -> Solved:
    """Return the solution with eta of the rows NEEDS_MORE_DIGITS, or, for a small p, of all, in double-double."""
    dtypes = np.float64, np.int64, np.float64, np.int64
    eta, verdict, *pairs = (device_memory.empty(task.count, d, task.stream) for d in dtypes)
    shape = launch.row_teams(task.count, task.n)
    given = task.norm, task.eps, is_small_p(task), solved.eta, solved.verdict
    launch.run(solve_pairs, shape, task.stream, *task.rows, *given, (eta, verdict, *pairs))
    return Solved(eta, verdict, tuple(pairs))


def _newton(task: DeviceProblem, eps: tuple[Any, ...], results: tuple[Any, ...]) -> None:
    """Solve all rows by Newton's method, or by their maxima for p = inf."""
    # Powers of a general p leave the range of float32, as on the CPU.
    kind = len(task.norm)
    like = task.compute if kind in (ONE, TWO, MAXIMUM) else np.dtype(np.float64)
    plan = launch.spread(task.count, task.n) if kind == MAXIMUM else None
    if plan is not None:
        spread.solve_maximum_norm(task, plan, eps, results)
        return
    if kind == MAXIMUM:  # the maxima take a pass or two, and no memory
        shape: launch.Shape | None = launch.row_teams(task.count, task.n)
    else:
        shape = launch.keeping_teams(task.count, task.n, like)
    if shape is None:
        _solve_long(task, eps, like, results)
    else:
        kernel = solve_kernel(like, "on chip" if shape.shared else "anew")
        launch.run(kernel, shape, task.stream, *task.rows, eps, task.norm, *results)


def _solve_long(
    task: DeviceProblem, eps: tuple[Any, ...], like: DType, results: tuple[Any, ...]
) -> None:
    """Solve rows that are too long for the chip; all kernels are launched at once."""
    plan = launch.narrowing(task.count, task.n, like)
    rows, norm, stream = task.rows, task.norm, task.stream
    slack, eta, verdict, first = results
    columns = plan.shape.blocks * plan.shape.threads[0]  # of all rows, or of those in work at once
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
        launch_rounds(task, eps, like, plan, kept, results)
    shape = launch.row_teams(task.count, task.n)
    launch.run(rest_kernel(like), shape, stream, *rows, eps, norm, eta, verdict, first)


def _sort(task: DeviceProblem, results: tuple[Any, ...]) -> None:
    """Solve all rows by sorting their breakpoints."""
    if task.n > MOST_SORTED:
        raise NotImplementedError(
            f'method must be "newton" for rows of more than {MOST_SORTED:,} elements on a GPU, where one block sorts '
            f"a row, found rows of {task.n:,}: numba_car sorts those of NumPy arrays"
        )
    shape, size = launch.sorting_blocks(task.count, task.n, 8 * (SCRATCH_ROWS + 1))
    slack, eta, verdict, first = results
    scratch = device_memory.empty(shape.blocks * SCRATCH_ROWS * size, np.float64, task.stream)
    order = device_memory.empty(shape.blocks * size, np.int64, task.stream)
    numbers = np.int64(size), task.eps, task.norm, slack
    arguments = *task.rows, *numbers, scratch, order, eta, verdict, first
    launch.run(sort_rows, shape, task.stream, *arguments)


def measure(task: DeviceProblem, solved: Solved, eta: tuple[Any, ...]) -> Any:
    """Return N(eta) of all rows; with eta = inf that is R."""
    reached = device_memory.empty(task.count, np.float64, task.stream)
    if task.count == 0:
        return reached
    needs_digits = bool(solved.pairs) or is_small_p(task)
    plan = None if needs_digits else launch.spread(task.count, task.n)
    if plan is not None:
        spread.measure(task, plan, solved.verdict, eta, reached)
    else:
        kernel = measure_pairs if needs_digits else measure_rows
        arguments = *task.rows, task.norm, solved.verdict, eta, reached
        launch.run(kernel, launch.row_teams(task.count, task.n), task.stream, *arguments)
    return reached


def max_norms(task: DeviceProblem, solved: Solved) -> Any:
    """Return R of all rows."""
    return measure(task, solved, (math.inf,))


def norms(task: DeviceProblem) -> Any:
    """Return N at the scales that are in the place of eps."""
    first = no_row(task)
    if task.count:
        shape = launch.Shape(copies.blocks_for(task.count), (copies.THREADS, 1))
        launch.run(flag_negative, shape, task.stream, task.eps, np.int64(task.count), first)
    check(task, first)
    return measure(task, solve(task, for_eps=False), task.eps)


def values_of(name: str, task: DeviceProblem) -> tuple[Any, ...]:
    """Return, by row, the values of the public function `solve`, `max_norm`, `norm` or `eta`."""
    if name == "solve":
        return solution(task)
    if name == "norm":
        return (norms(task),)
    solved = solve(task, for_eps=name != "max_norm")
    return (max_norms(task, solved) if name == "max_norm" else solved.eta,)


def flag_infeasible(task: DeviceProblem, solved: Solved, rule: str, max_norm: Any = None) -> Any:
    """Return which rows cannot reach eps, after doing with them what the rule (`infeasible`) says."""
    saturated = device_memory.empty(task.count, np.bool_, task.stream)
    if task.count == 0:
        return saturated
    max_norm = max_norms(task, solved) if max_norm is None else max_norm
    rounded = copies.rounded_to(task.dtype, max_norm, task.stream)
    first = no_row(task)
    shape = launch.Shape(copies.blocks_for(task.count), (32, 1))
    arguments = task.eps, max_norm, rounded, rule == "nan", solved.eta, saturated, first
    launch.run(flag_unreachable, shape, task.stream, *arguments)
    if rule == "raise":
        check(task, first)
    if rule == "warn" and has_row(task, first):
        task.unreachable.append(_unreachable(task, max_norm, saturated))
    return saturated


def _eps_of(task: DeviceProblem, row: int) -> Any:
    """Return eps of a row, copied to the host."""
    if len(task.eps) == NUMBER:
        return np.float64(task.eps[0])
    place = 0 if len(task.eps) == STORED_NUMBER else row * int(task.eps[1])
    value = device_memory.to_host(task.eps[0], task.stream)[place]
    if len(task.eps) == BFLOAT16_ROWS:
        value = np.left_shift(value, 16, dtype=np.uint32).view(np.float32)
    return np.float64(value)


def _unreachable(task: DeviceProblem, max_norm: Any, saturated: Any) -> Unreachable:
    """Return which rows cannot reach eps."""
    rows = np.flatnonzero(device_memory.to_host(saturated, task.stream))
    first = int(rows[0])
    reached = np.float64(device_memory.to_host(max_norm, task.stream)[first])
    return Unreachable(first, rows.size, _eps_of(task, first), reached)


def solution(
    task: DeviceProblem, solved: Solved | None = None, reached: Any = None
) -> tuple[Any, Any, Any, Any]:
    """Return, by row, eta, the norm that eta reaches once rounded to the result's dtype, R, and eps > R.

    The problem may be `solved` already, and the norms be known as `reached`.
    """
    solved = solved or solve(task)
    reachable = max_norms(task, solved)
    saturated = flag_infeasible(task, solved, "saturate", reachable)
    if reached is None:
        rounded = copies.rounded_to(task.dtype, solved.eta, task.stream)
        reached = measure(task, solved, rounded)
    return solved.eta, reached, reachable, saturated
