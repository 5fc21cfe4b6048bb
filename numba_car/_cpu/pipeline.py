"""Batches on the CPU: blocks of rows over threads, and the stages that solve a block.

`STAGES` shows what becomes of a row: each stage takes the rows of some verdict, and leaves them with another.
Kernels compile when they are first called, so a stage costs nothing where no row needs it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numba_car._core.constants import MOST_SORTED, SMALL_P, SMALLEST_SUM
from numba_car._core.norms import MAXIMUM, TWO
from numba_car._core.verdicts import (
    DONE,
    NEEDS_MORE_DIGITS,
    NOT_FINITE,
    OUTSIDE,
    PENDING,
    SATURATED,
)
from numba_car._cpu import (
    inside,
    long_rows,
    maximum_norm,
    measure,
    newton_double_double,
    rescale,
    short_measures,
    short_rows,
    solve_row,
    sort,
    validate,
)
from numba_car._cpu.sums import padded
from numba_car._cpu.threads import default_threads, run
from numba_car._cpu.tuning import POWERS, Plan, copied_at_once, in_tiles, plan_of, tasks_of
from numba_car._jit import interpreted
from numba_car._layout import Array, DType, Rows
from numba_car._problem import Problem, format_cure

_NO_FLOATS, _NO_INTEGERS = np.zeros(0), np.zeros(0, np.int64)
_ROWS_AHEAD = 4  # as many long rows per thread, and each thread takes rows of its own


class Block(NamedTuple):
    """Rows start to stop as kernels take them, and their answer.

    Where the verdict is NEEDS_MORE_DIGITS, the answer is mantissa * 2**exponent, which eta may not hold.
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
        """Set eta of these rows to NaN, and keep later stages from solving them."""
        self.eta[rows] = np.nan
        self.verdict[rows] = DONE


class OutsideError(Exception):
    """Some x is not between its bounds; `Batch.format_outside` says where."""


class Kernels(NamedTuple):
    """The kernels that rows of different lengths run differently: jitted, or interpreted for long rows."""

    solve_ordinary_rows: Callable[..., Any] = solve_row.solve_ordinary_rows
    solve_rows: Callable[..., Any] = solve_row.solve_rows
    solve_maximum_norm_rows: Callable[..., Any] = maximum_norm.solve_maximum_norm_rows
    saturate_rows: Callable[..., Any] = measure.saturate_rows
    measure_rows: Callable[..., Any] = measure.measure_rows
    measure_both_rows: Callable[..., Any] = measure.measure_both_rows
    rescale_rows: Callable[..., Any] = rescale.rescale_rows


_KERNELS = Kernels()


class Batch:
    """A problem, cut into blocks and ready for kernels, and eta of all rows, which the blocks share."""

    def __init__(self, problem: Problem) -> None:
        count, n, p, options = problem.count, problem.n, problem.p, problem.options
        setup = _setup_of_small if count * n <= POWERS and p >= SMALL_P else _setup
        dtype = problem.dtype if problem.is_plain else problem.x.dtype
        found = setup(count, n, problem.is_copied, p, dtype, options.method, options.num_threads)
        self.problem = problem
        self.plan, self.kernels, self._stages, self._threads, self.tasks, self.is_in_tiles = found
        self.norm = self.plan.norm
        self.eta = np.zeros(count)

    def for_blocks(self, work: Callable[[int, int], None]) -> None:
        """Call work(start, stop) for all blocks, over the threads."""
        if len(self.tasks) == 1:
            work(*self.tasks[0])
        else:
            run(lambda index: work(*self.tasks[index]), len(self.tasks), self._threads)

    def _block(self, start: int, stop: int, verdict: Array) -> Block:
        problem, eta = self.problem, self.eta
        eps = problem.eps
        if stop - start != problem.count:
            eps, eta = eps[start:stop], eta[start:stop]
        if not problem.is_plain:
            eps = np.ascontiguousarray(eps)
        rows = problem.rows(start, stop)
        return Block(start, stop, rows, eps, eta, verdict, _NO_FLOATS, _NO_INTEGERS)

    def solved(self, start: int, stop: int) -> Block:
        """Return a block whose eta is known."""
        return self._block(start, stop, np.full(stop - start, DONE))

    def solve(self, start: int, stop: int) -> Block:
        """Return a block with its answer. Raise OutsideError if a row's x is out of its bounds."""
        block = self._unsolved(start, stop)
        if self._stages[0].run(self, block) and not self.plan.is_small_p:
            return block
        return self._solve_rest(block)

    def _unsolved(self, start: int, stop: int) -> Block:
        return self._block(start, stop, np.zeros(stop - start, np.int64))  # PENDING

    def _solve_rest(self, block: Block) -> Block:
        """Return a block that the first stage has left with other verdicts than DONE."""
        for stage in self._stages[1:]:
            if any((block.verdict == taken).any() for taken in stage.takes):
                block = stage.run(self, block) or block
        return block

    @property
    def writes_while_solving(self) -> bool:
        """Return whether `solve_and_rescale` stores what `solve` and `rescale` do: rows are read once, not twice."""
        options = self.problem.options
        is_quick = len(self.norm) <= TWO and options.method != "sort" and self.problem.n > 0
        return is_quick and options.side == "nearest" and options.infeasible == "saturate"

    def solve_and_rescale(self, start: int, stop: int, out: Rows) -> Block:
        """Return a block with its answer as `solve` does, and store clip(x + eta*delta)."""
        block, target = self._unsolved(start, stop), out.scratch(start, stop)
        if not self._stages[0].run(self, block, target):
            is_written = block.verdict == DONE
            block = self._solve_rest(block)
            # A kernel leaves rows that need more digits alone, and is to leave those that are written.
            verdict = np.where(is_written, NEEDS_MORE_DIGITS, block.verdict)
            self._fill(block, verdict, target)
        out.store(start, stop, target[0])
        return block

    def norms(self, block: Block, eta: Array) -> Array:
        """Return N(eta) of a block of rows; with eta = inf that is R."""
        if not self.is_in_tiles:
            return self._norms_of_rows(block, eta)
        reached = np.full(eta.size, -1.0)  # nothing known yet
        short_measures.measure_short_rows(*block.rows, self.norm, eta, reached)
        reached[(block.verdict == NOT_FINITE) | np.isnan(eta)] = np.nan
        unknown = reached < 0
        if unknown.any():
            reached[unknown] = self._norms_of_rows(block, eta)[unknown]
        return reached

    def _norms_of_rows(self, block: Block, eta: Array) -> Array:
        reached = np.full(eta.size, -1.0)
        if not self.plan.is_small_p:
            self.kernels.measure_rows(*block.rows, self.norm, self.plan.block, eta, reached)
        return self._with_all_digits(block, eta, reached)

    def quick_max_norms(self, start: int, stop: int) -> tuple[Array, bool]:
        """Return R of ordinary rows, which are not solved, -1 for others, and whether there are no others."""
        found = np.full(stop - start, -1.0)
        is_long = self.problem.n >= long_rows.LONG
        if len(self.norm) > TWO or self.is_in_tiles or is_long or self.problem.n == 0:
            return found, False
        how = self.norm, self.plan.block, found
        return found, measure.max_norm_rows(*self.problem.rows(start, stop), *how)

    def max_norms(self, block: Block) -> Array:
        """Return R of a block of rows."""
        return self.norms(block, np.full(block.eta.size, np.inf))

    def norms_and_max_norms(self, block: Block, eta: Array) -> tuple[Array, Array]:
        """Return N(eta) and R of a block of rows."""
        reached, max_norm = np.full(eta.size, -1.0), np.full(eta.size, -1.0)
        if len(self.norm) <= TWO and not self.is_in_tiles:
            how = self.norm, self.plan.block, eta, block.verdict
            if self.kernels.measure_both_rows(*block.rows, *how, reached, max_norm):
                return reached, max_norm
        for found, at in ((reached, eta), (max_norm, np.full(eta.size, np.inf))):
            unknown = found < 0
            if unknown.any():
                found[unknown] = self.norms(block, at)[unknown]
            found[block.verdict == NOT_FINITE] = np.nan
        return reached, max_norm

    def _with_all_digits(self, block: Block, eta: Array, reached: Array) -> Array:
        """Return norms reached, those that are not known yet, or too small for float64, in double-double."""
        if not self.plan.is_small_p:
            # Below, the steps were rounded as the subnormal numbers that they are.
            moves = (reached > 0) | ((eta > 0) & (eta < np.inf))
            reached[moves & (reached < SMALLEST_SUM)] = -1.0
        if (reached < 0).any():
            newton_double_double.measure_rows(*block.rows, *self.plan.powers, eta, reached)
        reached[(block.verdict == NOT_FINITE) | np.isnan(eta)] = np.nan
        return reached

    def is_unreachable(self, block: Block, max_norm: Array) -> Array:
        """Return which rows have eps above both R and R rounded to the dtype of the result."""
        with np.errstate(over="ignore"):
            shown = max_norm.astype(self.problem.dtype).astype(np.float64)
        return block.eps > np.maximum(max_norm, shown)

    def rescale(self, block: Block, out: Rows) -> None:
        """Store clip(x + eta*delta) of a block of rows."""
        self.store(block, out, functools.partial(self.fill, block))

    def fill(self, block: Block, target: tuple[Array, int]) -> None:
        """Write clip(x + eta*delta) of a block of rows."""
        self._fill(block, block.verdict, target)

    def _fill(self, block: Block, verdict: Array, target: tuple[Array, int]) -> None:
        write = short_measures.rescale_short_rows if self.is_in_tiles else self.kernels.rescale_rows
        write(*block.rows, verdict, block.eta, self.problem.largest, target)
        self.rescale_pairs(block, target)

    def rescale_pairs(self, block: Block, target: tuple[Array, int]) -> None:
        """Write clip(x + eta*delta) of those rows of a block whose verdict is NEEDS_MORE_DIGITS."""
        if block.exponent.size:
            pairs = block.verdict, block.mantissa, block.exponent
            newton_double_double.rescale_rows(*block.rows, *pairs, self.problem.largest, target)

    def store(self, block: Block, out: Rows, write: Callable[[tuple[Array, int]], None]) -> None:
        """Store the results of a block that `write` writes to where it is told, by the rule of `side`."""
        target = out.scratch(block.start, block.stop)
        if self.problem.options.side == "nearest":
            write(target)
        else:
            (x, stride), stored = block.rows[0], self.problem.stored
            x = x.copy() if np.may_share_memory(x, target[0]) else x
            write(target)
            how = self.problem.n, self.norm, block.eps, block.eta, inside.STORED[stored]
            inside.keep_rows_inside((x, stride), *how, target)
        out.store(block.start, block.stop, target[0])

    def format_outside(self) -> str:
        """Return an error message: how many x are outside their bounds, and which is the first."""
        found: dict[int, tuple[int, int, int]] = {}

        def count(start: int, stop: int) -> None:
            rows = self.problem.rows(start, stop)
            found[start] = validate.count_outside(*rows, stop - start, self.problem.slack)

        self.for_blocks(count)
        total = sum(outside for outside, _, _ in found.values())
        start = min(start for start, (outside, _, _) in found.items() if outside)
        _, row, index = found[start]
        x, _, lower, upper, n = self.problem.rows(start + row, start + row + 1)
        low, high = (b[0][index] if isinstance(b, tuple) else b for b in (lower, upper))
        value = x[0][index]
        rule = f"below lower = {low}" if value < low else f"above upper = {high}"
        place = self.problem.index(start + row, index)
        return (
            f"x must lie within its bounds: {total} of {self.problem.count * n} elements do not, "
            f"the first at index {place}: {value} is {rule}; "
            + format_cure(value, high, self.problem.inputs[0].dtype)
        )


class _Setup(NamedTuple):
    """How a batch of some size is solved."""

    plan: Plan
    kernels: Kernels
    stages: list[Stage]
    num_threads: int
    tasks: list[tuple[int, int]]
    in_tiles: bool


def _setup(
    count: int, n: int, is_copied: bool, p: float, dtype: Any, method: str, num_threads: int | None
) -> _Setup:
    plan = plan_of(p, dtype)
    at_once = min(plan.at_once, POWERS) if method == "sort" else plan.at_once
    if num_threads is None:
        num_threads = 1 if count * n <= at_once else default_threads()
    if is_copied:
        at_once = copied_at_once(at_once, n, dtype.itemsize)
    short = in_tiles(n, plan.norm, dtype)
    stages, kernels = _stages_of(len(plan.norm), method, plan.is_small_p, short), _KERNELS
    if n >= long_rows.LONG:
        # Only Newton's passes can be shared; other rows are one thread's work each.
        is_shared = count < _ROWS_AHEAD * num_threads and method != "sort" and not plan.is_small_p
        passes = long_rows.passes(n, num_threads if is_shared else 1)
        # The stages look for overflow themselves.
        quiet = np.errstate(all="ignore")
        kernels = Kernels(*(quiet(interpreted(kernel, passes)) for kernel in _KERNELS))
        num_threads = 1 if is_shared else num_threads
    return _Setup(
        plan, kernels, stages, num_threads, tasks_of(count, n, num_threads, at_once), short
    )


# One thread solves small batches, whatever the environment says when they are solved again.
_setup_of_small = functools.lru_cache(256)(_setup)


@functools.cache
def _nowhere(dtype: DType) -> tuple[Array, int]:
    """Return rows of that dtype for a kernel that is to solve, and to write nothing."""
    return np.empty(0, dtype), 0


def _short_rows(batch: Batch, block: Block, out: tuple[Array, int] | None = None) -> bool:
    """Iterate on short rows in the units of x; all but ordinary rows stay PENDING. Return whether all rows are DONE.

    Rows that are DONE are rescaled if `out` is where to.
    """
    answer, out = (block.eta, block.verdict), out or _nowhere(block.rows[0][0].dtype)
    how = block.eps, batch.norm, *answer, batch.problem.largest, out
    return bool(short_rows.solve_short_rows(*block.rows, *how))


def _newton(
    batch: Batch, block: Block, out: tuple[Array, int] | None = None, *, validated: bool = False
) -> bool:
    """Iterate on rows in the units of x; rows that need validation or units stay PENDING with eta = 0.

    Return whether all rows are DONE. For p = 1 and 2 such rows are rescaled if `out` is where to.
    """
    answer, kind, n = (block.eta, block.verdict), len(batch.norm), batch.problem.n
    if kind == MAXIMUM:
        solve = batch.kernels.solve_maximum_norm_rows
        return bool(solve(*block.rows, block.eps, validated, *answer))
    how = block.eps, batch.norm, batch.plan.block
    if kind <= TWO and not validated:
        writes = batch.problem.largest, out or _nowhere(block.rows[0][0].dtype)
        return bool(batch.kernels.solve_ordinary_rows(*block.rows, *how, *answer, *writes))
    # Long rows take powers of 1 and 2 anew in each pass.
    kept = 0 if kind <= TWO and n >= long_rows.LONG else padded(n)
    scratch = np.empty((2, kept), batch.plan.powers_dtype)
    return bool(batch.kernels.solve_rows(*block.rows, *how, scratch, validated, *answer))


def _validate(batch: Batch, block: Block) -> None:
    """Validate rows; raise OutsideError if some x is outside its bounds."""
    validate.validate_rows(*block.rows, batch.problem.slack, block.eta, block.verdict)
    if (block.verdict == OUTSIDE).any():
        raise OutsideError
    block.eta[block.verdict == NOT_FINITE] = np.nan


def _newton_in_units(batch: Batch, block: Block) -> None:
    """Iterate on validated rows in units; rows that take too many passes stay PENDING, with eta a lower bound."""
    _newton(batch, block, validated=True)


def _sort(batch: Batch, block: Block) -> None:
    """Solve rows by sorting and scanning their breakpoints in float64."""
    scratch = np.empty((sort.SCRATCH_ROWS, padded(min(batch.problem.n, MOST_SORTED))))
    how = block.eps, batch.norm, batch.plan.block, scratch
    sort.sort_rows(*block.rows, *how, block.eta, block.verdict)


def _ask_for_more_digits(_: Batch, block: Block) -> None:
    """Make all answers for small p NEEDS_MORE_DIGITS, since float64 sums have too few digits for them."""
    verdict = block.verdict
    verdict[((verdict == DONE) & (block.eta > 0)) | (verdict == SATURATED)] = NEEDS_MORE_DIGITS


def _saturate(batch: Batch, block: Block) -> None:
    """Set eta of saturated rows to the largest breakpoint, or NEEDS_MORE_DIGITS if R is above eps."""
    how = block.eps, batch.norm, batch.plan.block
    batch.kernels.saturate_rows(*block.rows, *how, block.eta, block.verdict)


def _double_double(batch: Batch, block: Block) -> Block:
    """Return a block whose NEEDS_MORE_DIGITS rows are solved in double-double arithmetic."""
    mantissa, exponent = np.zeros(block.eta.size), np.zeros(block.eta.size, np.int64)
    given = block.eps, *batch.plan.powers, block.verdict, block.eta
    newton_double_double.solve_rows(*block.rows, *given, mantissa, exponent)
    return block._replace(mantissa=mantissa, exponent=exponent)


class Stage(NamedTuple):
    """What a stage does, which rows it takes, and the verdicts that it may leave these rows with."""

    run: Callable[..., Any]
    takes: tuple[int, ...]
    leaves: tuple[int, ...]


# In the order in which they run.
STAGES = {
    "short rows": Stage(_short_rows, (PENDING,), (DONE, SATURATED, PENDING)),
    "newton": Stage(_newton, (PENDING,), (DONE, SATURATED, PENDING, NEEDS_MORE_DIGITS)),
    "validate": Stage(_validate, (PENDING,), (PENDING, NOT_FINITE, OUTSIDE, NEEDS_MORE_DIGITS)),
    "units": Stage(_newton_in_units, (PENDING,), (DONE, SATURATED, PENDING, NEEDS_MORE_DIGITS)),
    "sort": Stage(_sort, (PENDING, NEEDS_MORE_DIGITS), (DONE, SATURATED, NEEDS_MORE_DIGITS)),
    "more digits": Stage(_ask_for_more_digits, (DONE, SATURATED), (DONE, NEEDS_MORE_DIGITS)),
    "saturate": Stage(_saturate, (SATURATED,), (DONE, NEEDS_MORE_DIGITS)),
    "double-double": Stage(_double_double, (NEEDS_MORE_DIGITS,), (NEEDS_MORE_DIGITS,)),
}


@functools.cache
def _stages_of(kind: int, method: str, is_small_p: bool, in_tiles: bool) -> list[Stage]:
    """Return the stages for norms of that kind, in order."""
    left_out = set() if is_small_p else {"more digits"}
    left_out |= set() if in_tiles else {"short rows"}
    if kind == MAXIMUM:
        left_out |= {"sort", "saturate"}
    elif method == "sort":
        left_out |= {"short rows", "newton", "units"}
    return [stage for name, stage in STAGES.items() if name not in left_out]
