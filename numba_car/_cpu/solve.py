"""The public functions' work on NumPy arrays: problems in, flat arrays of results out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numba_car._cpu.pipeline import Batch, Block, OutsideError
from numba_car._layout import Array, Rows
from numba_car._problem import Options, Problem, check_order


class _Infeasible:
    """What becomes of rows whose eps cannot be reached."""

    def __init__(self, batch: Batch, rule: str) -> None:
        self._batch, self._rule = batch, rule
        self._found: list[tuple[int, int, float, float]] = []

    def __call__(self, block: Block) -> None:
        """Take eta from those rows, or remember them, unless they may saturate."""
        if self._rule == "saturate":
            return
        max_norm = self._batch.max_norms(block)
        rows = np.flatnonzero(self._batch.is_unreachable(block, max_norm))
        if self._rule == "nan":
            block.discard(rows)
        elif rows.size:
            first = rows[0]
            self._found.append((block.start + first, rows.size, block.eps[first], max_norm[first]))

    def close(self) -> None:
        """Raise if rows were remembered."""
        if self._found:
            row, _, eps, max_norm = min(self._found)
            problem = self._batch.problem
            raise ValueError(
                "eps must be reachable where infeasible='raise': "
                f"it is not in {sum(size for _, size, _, _ in self._found)} of {problem.count} rows, "
                f"the first at index {problem.row_index(row)}: eps {eps} > max_norm {max_norm}"
            )


def solve_blocks(problem: Problem, options: Options, each: Callable[[Batch, Block], None]) -> Batch:
    """Solve all blocks and hand each over while it is in the cache; raise after the last."""
    batch = Batch(problem, options)
    infeasible = _Infeasible(batch, options.infeasible)

    def work(start: int, stop: int) -> None:
        block = batch.solve(start, stop)
        infeasible(block)
        each(batch, block)

    try:
        batch.for_blocks(work)
    except OutsideError:
        check_order(*problem.inputs[2:])
        raise ValueError(batch.describe_outside()) from None
    infeasible.close()
    return batch


def eta(problem: Problem, options: Options) -> Array:
    """Solve for eta alone, in float64."""
    result = np.empty(problem.count)

    def store(_: Batch, block: Block) -> None:
        result[block.start : block.stop] = block.eta

    solve_blocks(problem, options, store)
    return result


def rescale(problem: Problem, options: Options, out: Rows, *, in_one_go: bool) -> Array:
    """Rescale into `out`: block by block, or only once nothing can fail any more. Return eta."""
    eta = np.empty(problem.count)
    blocks: list[Block] = []

    def write(batch: Batch, block: Block) -> None:
        eta[block.start : block.stop] = block.eta
        batch.rescale(block, out)

    def keep(_: Batch, block: Block) -> None:
        eta[block.start : block.stop] = block.eta
        blocks.append(block._replace(rows=()))

    batch = solve_blocks(problem, options, write if in_one_go else keep)
    by_start = {block.start: block for block in blocks}
    if by_start:
        batch.for_blocks(
            lambda start, stop: batch.rescale(
                by_start[start]._replace(rows=batch.rows(start, stop)), out
            )
        )
    return eta


def solve(problem: Problem, options: Options) -> tuple[Array, Array, Array, Array]:
    """Solve for eta and measure what it reaches, rounded to dtype: eta, norm, max_norm, saturated."""
    eta, norm, max_norm = (np.empty(problem.count, problem.dtype) for _ in range(3))
    saturated = np.empty(problem.count, bool)

    def store(batch: Batch, block: Block) -> None:
        rows = slice(block.start, block.stop)
        reachable = batch.max_norms(block)
        eta[rows], max_norm[rows] = block.eta, reachable
        saturated[rows] = batch.is_unreachable(block, reachable)
        # The norm asked for is finite; only the rounding of eta can make it overflow.
        reached = batch.norms(block, eta[rows].astype(np.float64))
        norm[rows] = np.minimum(reached, problem.largest)

    solve_blocks(problem, options, store)
    return eta, norm, max_norm, saturated


def max_norm(problem: Problem, options: Options) -> Array:
    """Measure R alone; the problem's eps is 0."""
    result = np.empty(problem.count, problem.dtype)

    def store(batch: Batch, block: Block) -> None:
        result[block.start : block.stop] = batch.max_norms(block)

    solve_blocks(problem, options, store)
    return result
