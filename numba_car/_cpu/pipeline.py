"""Batches on the CPU: blocks of rows over threads, and what the verdicts on a block ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numba_car._core.constants import MOST_SORTED, SMALLEST_SUM
from numba_car._core.norms import MAXIMUM, TWO
from numba_car._core.verdicts import (
    CLEARED,
    DISCARDED,
    DONE,
    NEEDS_MORE_DIGITS,
    NOT_FINITE,
    OUTSIDE,
    PENDING,
    SATURATED,
    SLOW,
    SUSPECT,
)
from numba_car._cpu import long_rows, newton_double_double, sort, validate
from numba_car._cpu.sums import padded
from numba_car._cpu.threads import default_threads, run
from numba_car._cpu.tuning import COPIED, POWERS, plan_of, tasks_of
from numba_car._layout import Array, Rows
from numba_car._problem import Options, Problem

_NO_FLOATS, _NO_INTEGERS = np.zeros(0), np.zeros(0, np.int64)
_ROWS_AHEAD = 4  # as many long rows per thread, and each thread takes rows of its own


class Block(NamedTuple):
    """Rows start to stop as kernels take them, and their answer.

    Where the verdict is NEEDS_MORE_DIGITS, eta is mantissa * 2**exponent, and `eta` may not hold it.
    """

    start: int
    stop: int
    rows: tuple[Any, ...]
    eps: Array
    eta: Array
    verdict: Array
    mantissa: Array
    exponent: Array

    def discard(self, rows: Array) -> None:
        """Leave these rows without an answer."""
        self.eta[rows] = np.nan
        self.verdict[rows] = DISCARDED


class OutsideError(Exception):
    """Some x is not between its bounds; the batch says where."""


class Batch:
    """A problem, cut into blocks and ready for kernels."""

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem, self._method = problem, options.method
        self._parts = problem.x, problem.delta, problem.lower, problem.upper
        plan = plan_of(problem.p, problem.x.dtype)
        self.norm, self._powers, self._block, self._is_small_p, self._powers_dtype, at_once = plan
        at_once = min(at_once, POWERS) if self._method == "sort" else at_once
        if any(isinstance(part, Rows) and part.is_copied for part in self._parts):
            at_once = min(at_once, COPIED // problem.x.dtype.itemsize)
        is_small = problem.count * problem.n <= at_once
        num_threads = options.num_threads or (1 if is_small else default_threads())
        # Only Newton's passes can be shared; other rows are one thread's work each.
        is_shared = problem.n >= long_rows.LONG and problem.count < _ROWS_AHEAD * num_threads
        is_shared = is_shared and self._method != "sort" and not self._is_small_p
        self._threads = 1 if is_shared else num_threads
        self._functions = long_rows.block_functions(problem.n, num_threads if is_shared else 1)
        self._tasks = tasks_of(problem.count, problem.n, self._threads, at_once)

    def for_blocks(self, work: Callable[[int, int], None]) -> None:
        """Call work(start, stop) for all blocks, over the threads."""

        def task(index: int) -> None:
            with np.errstate(all="ignore"):
                work(*self._tasks[index])

        run(task, len(self._tasks), self._threads)

    def rows(self, start: int, stop: int) -> tuple[Any, ...]:
        """Return x, delta, lower, upper and n as kernels take them."""
        blocks = (p.block(start, stop) if isinstance(p, Rows) else p for p in self._parts)
        return (*blocks, self.problem.n)

    def solve(self, start: int, stop: int) -> Block:
        """Solve one block. Raise OutsideError if a row's x is out of its bounds."""
        rows, eps = self.rows(start, stop), self.problem.eps[start:stop].astype(np.float64)
        eta, verdict = np.zeros(eps.size), np.zeros(eps.size, np.int64)  # which is PENDING
        solve = self._sort if self._method == "sort" and len(self.norm) != MAXIMUM else self._newton
        all_done = solve(rows, eps, eta, verdict)
        if not all_done and (verdict == SUSPECT).any():
            validate.validate_rows(*rows, self.problem.slack, verdict)
            all_done = solve(rows, eps, eta, verdict)
        block = Block(start, stop, rows, eps, eta, verdict, _NO_FLOATS, _NO_INTEGERS)
        return block if all_done and not self._is_small_p else self._attend(block)

    def solved(self, start: int, stop: int, eta: Array) -> Block:
        """Return a block whose eta is known."""
        rows, eps = self.rows(start, stop), self.problem.eps[start:stop].astype(np.float64)
        verdict = np.full(stop - start, DONE)
        return Block(start, stop, rows, eps, eta[start:stop], verdict, _NO_FLOATS, _NO_INTEGERS)

    def _newton(self, rows: tuple[Any, ...], eps: Array, eta: Array, verdict: Array) -> bool:
        # Long rows take powers of 1 and 2 anew in each pass, and p = inf has none.
        n, kind = self.problem.n, len(self.norm)
        if kind <= TWO:
            if self._functions.solve_plain(*rows, eps, self.norm, self._block, eta, verdict):
                return True
            if not np.isin(verdict, (PENDING, CLEARED)).any():
                return False
        kept = 0 if kind == MAXIMUM or (kind <= TWO and n >= long_rows.LONG) else n
        scratch = np.empty((2, padded(kept)), self._powers_dtype)
        solve_rows = self._functions.solve_rows
        return bool(solve_rows(*rows, eps, self.norm, self._block, scratch, eta, verdict))

    def _sort(self, rows: tuple[Any, ...], eps: Array, eta: Array, verdict: Array) -> bool:
        kept = padded(min(self.problem.n, MOST_SORTED))
        scratch = np.empty((sort.SCRATCH_ROWS, kept))
        options = self.norm, self._block
        return bool(sort.sort_rows(*rows, eps, *options, scratch, eta, verdict))

    def _attend(self, block: Block) -> Block:
        """Do what the verdicts other than DONE ask for."""
        eta, verdict = block.eta, block.verdict
        if (verdict == OUTSIDE).any():
            raise OutsideError
        if self._method != "sort" and len(self.norm) != MAXIMUM:
            # A second chance: to sort, powers are brought into range.
            eta[verdict == NEEDS_MORE_DIGITS] = 0
            verdict[verdict == NEEDS_MORE_DIGITS] = SLOW
        if (verdict == SLOW).any():
            self._sort(block.rows, block.eps, eta, verdict)
        if self._is_small_p:
            verdict[((verdict == DONE) & (eta > 0)) | (verdict == SATURATED)] = NEEDS_MORE_DIGITS
        if (verdict == SATURATED).any():
            options = self.norm, self._block
            self._functions.saturate_rows(*block.rows, block.eps, *options, eta, verdict)
        eta[verdict == NOT_FINITE] = np.nan
        if (verdict == NEEDS_MORE_DIGITS).any():
            mantissa, exponent = np.zeros(eta.size), np.zeros(eta.size, np.int64)
            pairs = verdict, eta, mantissa, exponent
            newton_double_double.solve_rows(*block.rows, block.eps, *self._powers, *pairs)
            return block._replace(mantissa=mantissa, exponent=exponent)
        return block

    def norms(self, block: Block, eta: Array) -> Array:
        """N(eta) of a block of rows; with eta = inf that is R."""
        reached = np.full(eta.size, -1.0)  # nothing known yet
        if not self._is_small_p:
            self._functions.measure_rows(*block.rows, self.norm, self._block, eta, reached)
            # Below, the steps were rounded as the subnormal numbers that they are.
            moves = (reached > 0) | ((eta > 0) & (eta < np.inf))
            reached[moves & (reached < SMALLEST_SUM)] = -1.0
        if (reached < 0).any():
            newton_double_double.measure_rows(*block.rows, *self._powers, eta, reached)
        reached[(block.verdict == NOT_FINITE) | np.isnan(eta)] = np.nan
        return reached

    def max_norms(self, block: Block) -> Array:
        """R of a block of rows."""
        return self.norms(block, np.full(block.eta.size, np.inf))

    def is_unreachable(self, block: Block, max_norm: Array) -> Array:
        """Which rows ask for more than R, be it R itself or R as the result's dtype shows it."""
        shown = max_norm.astype(self.problem.dtype).astype(np.float64)
        return block.eps > np.maximum(max_norm, shown)

    def rescale(self, block: Block, out: Rows) -> None:
        """Write clip(x + eta*delta) of a block of rows."""
        largest, target = self.problem.largest, out.scratch(block.start, block.stop)
        self._functions.rescale_rows(*block.rows, block.verdict, block.eta, largest, target)
        if block.exponent.size:
            pairs = block.verdict, block.mantissa, block.exponent
            newton_double_double.rescale_rows(*block.rows, *pairs, largest, target)
        out.store(block.start, block.stop, target[0])

    def describe_outside(self) -> str:
        """Say how many x are outside their bounds, and which is the first."""
        found: dict[int, tuple[int, int, int]] = {}

        def count(start: int, stop: int) -> None:
            rows = self.rows(start, stop)
            found[start] = validate.count_outside(*rows, stop - start, self.problem.slack)

        self.for_blocks(count)
        total = sum(outside for outside, _, _ in found.values())
        start = min(start for start, (outside, _, _) in found.items() if outside)
        _, row, index = found[start]
        x, _, lower, upper, n = self.rows(start + row, start + row + 1)
        low, high = (b[0][index] if isinstance(b, tuple) else b for b in (lower, upper))
        value = x[0][index]
        rule = f"below lower = {low}" if value < low else f"above upper = {high}"
        place = self.problem.index(start + row, index)
        return (
            f"x must lie within its bounds: {total} of {self.problem.count * n} elements do not, "
            f"the first at index {place}: {value} is {rule}; np.clip(x, lower, upper) brings x inside"
        )
