"""Batches of results on a grid: the continuous problem is solved first, and its eta is moved to what the grid reaches."""

from __future__ import annotations

import math

import numpy as np

from numba_car._core.norms import norm_of
from numba_car._cpu import grid
from numba_car._cpu.distance import distances
from numba_car._cpu.pipeline import Batch, Block
from numba_car._cpu.solve import solution_of, write_blocks
from numba_car._layout import Array, Rows, table_of
from numba_car._problem import Problem


class GridBatch(Batch):
    """A problem whose results lie on ``lower + k*step``; `rate` is eta/step of each row."""

    def __init__(self, problem: Problem, step: float) -> None:
        super().__init__(problem)
        self.step, self.rate = float(step), np.full(problem.count, math.nan)
        self._powers = norm_of(problem.p)
        self._is_inside = problem.options.side == "inside"

    def find_rates(self, block: Block) -> None:
        """Store the rates of a block that is solved. Raise ValueError if some x is not on the grid."""
        x, _, lower, _, n = block.rows
        off = grid.count_off_grid(x, lower, n, block.eta.size, self.step, self.problem.slack)
        if off[0]:
            _, row, element = off
            place = self.problem.index(block.start + row, element)
            value = x[0][row * x[1] + element]
            raise ValueError(
                f"x must lie on the grid lower + k*step for step = {self.step}, "
                f"found {value} at index {place}"
            )
        how = block.eps, self._powers, self.step, self._is_inside, np.empty((grid.SCRATCH_ROWS, n))
        grid.solve_rows(*block.rows, *how, block.eta, self.rate[block.start : block.stop])

    def check_for_nan(self, block: Block) -> None:
        """Raise ValueError if a row of a block has no answer, which integers cannot hold."""
        is_nan = np.isnan(self.rate[block.start : block.stop])
        if is_nan.any():
            index = self.problem.row_index(block.start + int(np.argmax(is_nan)))
            raise ValueError(
                f"x must hold floats where rows become NaN, found integers and NaN at row {index}"
            )

    def write(self, block: Block, out: Rows) -> None:
        """Store the results of a block."""
        target = out.scratch(block.start, block.stop)
        grid.write_rows(*block.rows, self.step, self.rate[block.start : block.stop], target)
        out.store(block.start, block.stop, target[0])

    def norms_on_grid(self, block: Block) -> Array:
        """Return the norms that a block reaches on the grid."""
        x, *_, n = block.rows
        reached = np.empty((block.eta.size, n))
        rate = self.rate[block.start : block.stop]
        grid.write_rows(*block.rows, self.step, rate, (reached.reshape(-1), n))
        found = distances(reached, table_of(x, *reached.shape), self.problem.p, 1)
        found[np.isnan(rate)] = math.nan
        return found


def rescale_on_grid(
    problem: Problem, out: Rows, *, at_once: bool, with_facts: bool
) -> tuple[Array, ...]:
    """Store the results on the grid of `options.step` in `out`; return eta, and if asked for all that `solve` returns.

    The norms are those that are reached on the grid.
    """
    assert problem.options.step is not None
    batch = GridBatch(problem, problem.options.step)
    (eta, norm, max_norm, saturated), store = solution_of(batch)

    def each(block: Block) -> None:
        batch.find_rates(block)
        if with_facts:
            store(block)
            norm[block.start : block.stop] = batch.norms_on_grid(block)
        if out.dtype.kind in "iu":
            batch.check_for_nan(block)

    write_blocks(batch, out, batch.write, at_once=at_once, each=each)
    with np.errstate(over="ignore"):
        eta[:] = batch.rate * batch.step
    return eta, norm, max_norm, saturated
