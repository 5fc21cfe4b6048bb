"""Projection and best ascent for p = 1, whose rows are solved by kernels of their own: blocks and their answers."""

from __future__ import annotations

import numpy as np

from numba_car._core.verdicts import OUTSIDE, PENDING
from numba_car._cpu import greedy, l1_projection, validate
from numba_car._cpu.pipeline import Batch, Block, OutsideError
from numba_car._problem import Problem


class ThresholdBatch(Batch):
    """The projections of z for p = 1: eta of a block is the threshold of |z - x|, of which `low` has more digits."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.low = np.zeros(problem.count)

    def solve(self, start: int, stop: int) -> Block:
        """Return a block with its thresholds. Raise OutsideError if a row's x is out of its bounds."""
        block = self.solved(start, stop)
        how = self.problem.slack, self.problem.options.method == "sort"
        answer = block.eta, self.low[start:stop], block.verdict
        l1_projection.solve_rows(*block.rows, block.eps, *how, *answer)
        if (block.verdict == OUTSIDE).any():
            raise OutsideError
        return block


class PivotBatch(Batch):
    """Best ascent for p = 1: eta of a block is what the elements at `pivot` take of eps."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.pivot = np.full(problem.count, -1)

    def solve(self, start: int, stop: int) -> Block:
        """Return a block with its pivots. Raise OutsideError if a row's x is out of its bounds."""
        block = self.solved(start, stop)
        block.verdict[:] = PENDING
        how = block.eps, greedy.scratch_for(self.problem.n)
        answer = self.pivot[start:stop], block.eta, block.verdict
        if not greedy.select_rows(*block.rows, *how, False, *answer):
            validate.validate_rows(*block.rows, self.problem.slack, block.eta, block.verdict)
            if (block.verdict == OUTSIDE).any():
                raise OutsideError
            greedy.select_rows(*block.rows, *how, True, *answer)
        return block
