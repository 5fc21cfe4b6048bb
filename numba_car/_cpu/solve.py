"""The public functions on problems: flat arrays of results, one number a row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numba_car._cpu.pipeline import Batch, Block, OutsideError
from numba_car._layout import Array, Rows
from numba_car._problem import Problem, check_order


class _Infeasible:
    """The rule for rows whose eps cannot be reached: "nan" or "raise"."""

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
        """Raise a ValueError if rows were recorded."""
        if self._found:
            row, _, eps, max_norm = min(self._found)
            problem = self._batch.problem
            raise ValueError(
                "eps must be reachable where infeasible='raise': "
                f"it is not in {sum(size for _, size, _, _ in self._found)} of {problem.count} rows, "
                f"the first at index {problem.row_index(row)}: eps {eps} > max_norm {max_norm}"
            )


def solve_blocks(
    batch: Batch,
    each: Callable[[Block], None] | None = None,
    unless: Callable[[int, int], bool] | None = None,
) -> Array:
    """Solve all blocks, call `each` while a block is in the cache, and return eta; raise after the last block.

    A block of rows start to stop is left out if `unless(start, stop)` has done all that is wanted of it.
    """
    rule = batch.problem.options.infeasible
    infeasible = None if rule == "saturate" else _Infeasible(batch, rule)

    def work(start: int, stop: int) -> None:
        if unless and unless(start, stop):
            return
        block = batch.solve(start, stop)
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


def rescale(problem: Problem, out: Rows, *, at_once: bool) -> Array:
    """Store the rescaled rows in `out`, block by block or only once no error can occur; return eta in float64."""
    batch = Batch(problem)
    if at_once or (len(batch.tasks) == 1 and problem.options.infeasible != "raise"):
        return solve_blocks(batch, lambda block: batch.rescale(block, out))
    blocks: dict[int, Block] = {}

    def keep(block: Block) -> None:
        blocks[block.start] = block._replace(rows=())

    def write(start: int, stop: int) -> None:
        batch.rescale(blocks[start]._replace(rows=problem.rows(start, stop)), out)

    solve_blocks(batch, keep)
    batch.for_blocks(write)
    return batch.eta


def solve(problem: Problem) -> tuple[Array, Array, Array, Array]:
    """Return eta, the norm that it reaches, max_norm and saturated; floats rounded to the result's dtype."""
    batch = Batch(problem)
    eta, norm, max_norm = (np.empty(problem.count, problem.dtype) for _ in range(3))
    saturated = np.empty(problem.count, bool)

    def store(block: Block) -> None:
        rows = slice(block.start, block.stop)
        with np.errstate(over="ignore"):
            eta[rows] = block.eta
            reached, reachable = batch.norms_and_max_norms(block, eta[rows].astype(np.float64))
            max_norm[rows] = reachable
        saturated[rows] = batch.is_unreachable(block, reachable)
        # The norm asked for is finite; only the rounding of eta can make it overflow.
        norm[rows] = np.minimum(reached, problem.largest)

    solve_blocks(batch, store)
    return eta, norm, max_norm, saturated


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
