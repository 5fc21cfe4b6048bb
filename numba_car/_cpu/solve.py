"""The public functions on problems: flat arrays of results, one number a row."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable

import numpy as np

from numba_car._cpu.pipeline import Batch, Block, OutsideError
from numba_car._layout import Array, Rows
from numba_car._problem import Problem, check_order

_INSIDE = {"numba_car", "torch", "jax", "tensorflow", "eagerpy", "dask"}  # frameworks call back


def frames_inside() -> int:
    """Return the stack level of the first caller outside the package and the frameworks, for a warning."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    return level


class _Infeasible:
    """The rule for rows whose eps cannot be reached: "warn", "nan" or "raise"."""

    def __init__(self, batch: Batch, rule: str) -> None:
        self._batch, self._rule = batch, rule
        self._found: list[tuple[int, int, float, float]] = []

    def __call__(self, block: Block) -> None:
        """Set eta of unreachable rows of a block to NaN, or record the rows for `close`, by the rule."""
        max_norm = self._batch.max_norms(block)
        rows = np.flatnonzero(self._batch.is_unreachable(block, max_norm))
        if self._rule == "nan":
            block.discard(rows)
        elif rows.size:
            first = rows[0]
            self._found.append((block.start + first, rows.size, block.eps[first], max_norm[first]))

    def close(self) -> None:
        """Raise a ValueError, or warn, if rows were recorded."""
        if not self._found:
            return
        row, _, eps, max_norm = min(self._found)
        problem = self._batch.problem
        where = (
            f"in {sum(size for _, size, _, _ in self._found)} of {problem.count} rows, "
            f"the first at index {problem.row_index(row)}: eps {eps} > max_norm {max_norm}"
        )
        if self._rule == "raise":
            raise ValueError(f"eps must be reachable where infeasible='raise': it is not {where}")
        warnings.warn(f"eps cannot be reached {where}", RuntimeWarning, stacklevel=frames_inside())


def solve_blocks(
    batch: Batch,
    each: Callable[[Block], None] | None = None,
    unless: Callable[[int, int], bool] | None = None,
    solve: Callable[[int, int], Block] | None = None,
) -> Array:
    """Solve all blocks, call `each` while a block is in the cache, and return eta; raise after the last block.

    A block of rows start to stop is left out if `unless(start, stop)` has done all that is wanted of it. By default
    `batch.solve(start, stop)` solves it.
    """
    solve = solve or batch.solve
    rule = batch.problem.options.infeasible
    infeasible = None if rule == "saturate" else _Infeasible(batch, rule)

    def work(start: int, stop: int) -> None:
        if unless and unless(start, stop):
            return
        block = solve(start, stop)
        if infeasible:
            infeasible(block)
        if each:
            each(block)

    try:
        batch.for_blocks(work)
    except OutsideError:
        check_order(*batch.problem.inputs[2:])
        raise ValueError(batch.format_outside()) from None
    if infeasible:
        infeasible.close()
    return batch.eta


def eta(problem: Problem) -> Array:
    """Return eta in float64."""
    return solve_blocks(Batch(problem))


def solution_of(batch: Batch) -> tuple[tuple[Array, ...], Callable[[Block], None]]:
    """Return arrays for what `solve` returns, and the function that fills them from solved blocks."""
    count, dtype = batch.problem.count, batch.problem.dtype
    eta, norm, max_norm = (np.empty(count, dtype) for _ in range(3))
    saturated = np.empty(count, bool)

    def store(block: Block) -> None:
        rows = slice(block.start, block.stop)
        with np.errstate(over="ignore"):
            eta[rows] = block.eta
            reached, reachable = batch.norms_and_max_norms(block, eta[rows].astype(np.float64))
            max_norm[rows] = reachable
        saturated[rows] = batch.is_unreachable(block, reachable)
        # The norm asked for is finite; only the rounding of eta can make it overflow.
        norm[rows] = np.minimum(reached, batch.problem.largest)

    return (eta, norm, max_norm, saturated), store


def _ignore(_: Block) -> None:
    pass


def solve(problem: Problem) -> tuple[Array, ...]:
    """Return eta, the norm that it reaches, max_norm and saturated; floats rounded to the result's dtype."""
    batch = Batch(problem)
    found, store = solution_of(batch)
    solve_blocks(batch, store)
    return found


def rescale(problem: Problem, out: Rows, *, at_once: bool) -> Array:
    """Store the rescaled rows in `out`, block by block or only once no error can occur; return eta in float64."""
    batch = Batch(problem)
    if at_once and batch.writes_while_solving:
        return solve_blocks(batch, solve=functools.partial(batch.solve_and_rescale, out=out))
    return write_blocks(batch, out, batch.rescale, at_once=at_once)


def rescale_and_solve(problem: Problem, out: Rows, *, at_once: bool) -> tuple[Array, ...]:
    """Store the rescaled rows in `out` as `rescale` does, and return what `solve` returns."""
    batch = Batch(problem)
    found, store = solution_of(batch)
    write_blocks(batch, out, batch.rescale, at_once=at_once, each=store)
    return found


def write_blocks(
    batch: Batch,
    out: Rows,
    write: Callable[[Block, Rows], None],
    *,
    at_once: bool,
    each: Callable[[Block], None] = _ignore,
    solve: Callable[[int, int], Block] | None = None,
) -> Array:
    """Solve all blocks, call `each` and then `write` with each, and return eta.

    Unless `at_once`, nothing is written before no error can occur.
    """
    problem = batch.problem
    if at_once or (len(batch.tasks) == 1 and problem.options.infeasible != "raise"):

        def solve_and_write(block: Block) -> None:
            each(block)
            write(block, out)

        return solve_blocks(batch, solve_and_write, solve=solve)
    blocks = dict[int, Block]()

    def keep(block: Block) -> None:
        each(block)
        blocks[block.start] = block._replace(rows=())

    def write_kept(start: int, stop: int) -> None:
        write(blocks[start]._replace(rows=problem.rows(start, stop)), out)

    solve_blocks(batch, keep, solve=solve)
    batch.for_blocks(write_kept)
    return batch.eta


def norm(problem: Problem, eta: Array) -> Array:
    """Return N(eta); the problem's eps is 0."""
    batch, result = Batch(problem), np.empty(problem.count, problem.dtype)

    def store(block: Block) -> None:
        at = np.ascontiguousarray(eta[block.start : block.stop])
        with np.errstate(over="ignore"):
            result[block.start : block.stop] = batch.norms(block, at)

    solve_blocks(batch, store)
    return result


def max_norm(problem: Problem) -> Array:
    """Return R; the problem's eps is 0."""
    batch, result = Batch(problem), np.empty(problem.count, problem.dtype)

    def store_quick(start: int, stop: int) -> bool:
        found, are_all = batch.quick_max_norms(start, stop)
        with np.errstate(over="ignore"):
            result[start:stop] = found
        return are_all

    def store_others(block: Block) -> None:
        rows = result[block.start : block.stop]
        others = rows < 0
        with np.errstate(over="ignore"):
            rows[others] = batch.max_norms(block)[others]

    solve_blocks(batch, store_others, store_quick)
    return result
