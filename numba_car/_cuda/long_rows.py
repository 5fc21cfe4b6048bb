"""Kernels for rows whose terms do not fit shared memory, a block a row: see `sampled_bracket`.

`guess_rows` finds a bracket of t from a sample of each row; `narrow_rows`, or the kernels of `multi_block`,
iterate within such brackets; `solve_rest` solves the rows that these leave.
"""

import functools
import math
from typing import Any

import numpy as np
from numba import cuda

from numba_car._core.newton import conclude, in_range, nearness
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, PENDING, SATURATED
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.measure import max_abs
from numba_car._cuda.newton import finish, report, solve_finite
from numba_car._cuda.row import at, loaded
from numba_car._cuda.sampled_bracket import bracket_of_step, guess, iterate_in, narrow
from numba_car._cuda.team import SLOTS, read_once
from numba_car._cuda.terms import NO_TERMS
from numba_car._cuda.validate import verdict_of
from numba_car._layout import DType

ROUNDS = 3  # of a pass over the row and an iteration; one is enough unless the sample misled
STATE = 6  # numbers that a row keeps between launches: its units and its bracket


@device
def usable(goal):
    """Return eps, or 1 for an eps that is 0 or not valid, which `answer_or_leave` reports."""
    return goal if 0.0 < goal < math.inf else 1.0


@device
def answer_or_leave(r, goal, sums, units, norm, t, state, eta, verdict, first):
    """Report row r if it is DONE or not valid, else store the verdict `state`; return DONE or the state.

    `sums` are those of `narrow`; `state` is the verdict of the iteration that led to t.
    """
    validity = verdict_of(sums[4])
    found, state = conclude(units[0] / units[1], t, 0.0, norm, state)
    if sums[3] == 0 or not goal > 0:
        found, state = 0.0, DONE
    elif not in_range(units[2]):
        state = NEEDS_MORE_DIGITS
    if validity != PENDING or state == DONE:
        report(r, validity, goal, found, eta, verdict, first)
        return DONE
    if cuda.threadIdx.x == 0:
        verdict[r] = state
    return state


@device
def load_state(state, r):
    """Return the units and the bracket of a row."""
    s = STATE * r
    return (state[s], state[s + 1], state[s + 2]), (state[s + 3], state[s + 4], state[s + 5])


@device
def store_state(state, r, units, bracket):
    """Store the units and the bracket of a row for the next launch."""
    s = STATE * r
    if cuda.threadIdx.x == 0:
        state[s], state[s + 1], state[s + 2] = units
        state[s + 3], state[s + 4], state[s + 5] = bracket


@functools.cache
def start_kernel(dtype: DType) -> Any:
    """Return the kernel that is launched first, for terms of that dtype."""
    real = dtype.type

    @kernel
    def guess_rows(x, delta, lower, upper, count, n, eps, norm, stride, size, state, verdict):
        """Store units and a bracket for all rows, and the verdict PENDING."""
        lower, upper = loaded(lower), loaded(upper)
        team, like = (cuda.shared.array(SLOTS, np.float64),), real(0)
        kept, r = cuda.shared.array(0, real), np.int64(cuda.blockIdx.x)
        terms = (kept, kept[size:], np.int64(0))
        while r < count:
            row, goal = (x, delta, lower, upper, r, n), usable(at(eps, r, 0, np.float64))
            units, bracket = guess(row, norm, goal, stride, size, like, terms, team)
            store_state(state, r, units, bracket)
            if cuda.threadIdx.x == 0:
                verdict[r] = PENDING
            r += np.int64(cuda.gridDim.x)

    return guess_rows


@functools.cache
def alone_kernel(dtype: DType) -> Any:
    """Return the kernel that iterates within brackets, a block a row, for terms of that dtype."""
    real = dtype.type

    @kernel
    def narrow_rows(
        x, delta, lower, upper, count, n, eps, norm, slack,
        scratch, layers, counts, state, eta, verdict, first,
    ):  # fmt: skip
        """Solve all rows, or store the verdict of those left: PENDING, SATURATED, NEEDS_MORE_DIGITS."""
        lower, upper = loaded(lower), loaded(upper)
        team, like = (cuda.shared.array(SLOTS, np.float64),), real(0)
        r, column = np.int64(cuda.blockIdx.x), np.int64(cuda.threadIdx.x)
        half, columns = scratch.size // 2, np.int64(cuda.blockDim.x)
        aside = (scratch, scratch[half:], counts, r, layers, columns)
        near, whole = nearness(like), np.int64(1)
        while r < count:
            row, goal = (x, delta, lower, upper, r, n), at(eps, r, 0, np.float64)
            (units, bracket), found, k = load_state(state, r), PENDING, 0
            while found == PENDING and k < ROUNDS:
                sums = narrow(row, column, whole, units, bracket, norm, slack, like, aside, team)
                before, t, found = iterate_in(
                    bracket, sums, units[2], k == 0, near, like, aside, team
                )
                found = answer_or_leave(r, goal, sums, units, norm, t, found, eta, verdict, first)
                bracket, k = bracket_of_step(before, t), k + 1
            r += np.int64(cuda.gridDim.x)

    return narrow_rows


@functools.cache
def rest_kernel(dtype: DType) -> Any:
    """Return the kernel for the rows that are left, for terms of that dtype."""
    real = dtype.type

    @kernel
    def solve_rest(x, delta, lower, upper, count, n, eps, norm, eta, verdict, first):
        """Solve the rows that are PENDING, SATURATED or NEEDS_MORE_DIGITS, a team a row."""
        lower, upper = loaded(lower), loaded(upper)
        team, like = (cuda.shared.array(SLOTS, np.float64),), real(0)
        r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
        while r < count:
            row, goal = (x, delta, lower, upper, r, n), at(eps, r, 0, np.float64)
            left = np.int64(read_once(verdict, r, team))
            if left == PENDING:
                found = solve_finite(row, norm, goal, max_abs(row, team), like, NO_TERMS, team)
                report(r, PENDING, goal, found, eta, verdict, first)
            elif left in (SATURATED, NEEDS_MORE_DIGITS):
                found = finish(row, norm, goal, 0.0, left, team)
                report(r, PENDING, goal, found, eta, verdict, first)
            r += np.int64(cuda.gridDim.x) * cuda.blockDim.y

    return solve_rest
