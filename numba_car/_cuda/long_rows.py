"""Rows too long for the chip: kernels that narrow t down, a block a row, and do what that leaves."""

import functools
import math
from typing import Any

import numpy as np
from numba import cuda

from numba_car._core.newton import conclude, in_range
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, PENDING, SATURATED
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.measure import max_abs
from numba_car._cuda.newton import finish, nearness, report, solve_finite
from numba_car._cuda.row import at
from numba_car._cuda.sampled_bracket import bracket_of_step, close_in, guess, narrow
from numba_car._cuda.team import SLOTS
from numba_car._cuda.validate import verdict_of
from numba_car._layout import DType

ROUNDS = 3  # of narrowing; one does unless the sample misled
STATE = 6  # numbers: units and bracket


@device
def usable(goal):
    """Return an eps that arithmetic can be done with; what is none is reported in the end."""
    return goal if 0.0 < goal < math.inf else 1.0


@device
def answer_or_leave(r, goal, sums, units, norm, t, step, eta, verdict, first):
    """Report a row that is done, or not to be done; note else, and return, how far it is."""
    found = verdict_of(sums[4])
    answer, step = conclude(units[0] / units[1], t, 0.0, norm, step)
    if sums[3] == 0 or not goal > 0:
        answer, step = 0.0, DONE
    elif not in_range(units[2]):
        step = NEEDS_MORE_DIGITS
    if found != PENDING or step == DONE:
        report(r, found, goal, answer, eta, verdict, first)
        return DONE
    if cuda.threadIdx.x == 0:
        verdict[r] = step
    return step


@device
def load_state(state, r):
    """Return the units and the bracket of a row."""
    s = STATE * r
    return (state[s], state[s + 1], state[s + 2]), (state[s + 3], state[s + 4], state[s + 5])


@device
def store_state(state, r, units, bracket):
    """Keep the units and the bracket of a row for the next launch."""
    s = STATE * r
    if cuda.threadIdx.x == 0:
        state[s], state[s + 1], state[s + 2] = units
        state[s + 3], state[s + 4], state[s + 5] = bracket


@functools.cache
def start_kernel(dtype: DType) -> Any:
    """Return the kernel that comes first, with powers of that dtype."""
    real = dtype.type

    @kernel
    def guess_rows(x, delta, lower, upper, count, n, eps, norm, stride, size, state, verdict):
        """Have a sample of each row suggest a bracket, a block a row."""
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
    """Return the kernel that narrows rows down, with powers of that dtype."""
    real = dtype.type

    @kernel
    def narrow_rows(
        x, delta, lower, upper, count, n, eps, norm, slack,
        scratch, layers, counts, state, eta, verdict, first,
    ):  # fmt: skip
        """Narrow all rows down, a block a row."""
        team, like = (cuda.shared.array(SLOTS, np.float64),), real(0)
        r, column = np.int64(cuda.blockIdx.x), np.int64(cuda.threadIdx.x)
        aside = (
            scratch,
            scratch[scratch.size // 2 :],
            counts,
            r,
            layers,
            np.int64(cuda.blockDim.x),
        )
        near, whole = nearness(like), np.int64(1)
        while r < count:
            row, goal = (x, delta, lower, upper, r, n), at(eps, r, 0, np.float64)
            (units, bracket), step, k = load_state(state, r), PENDING, 0
            while step == PENDING and k < ROUNDS:
                sums = narrow(row, column, whole, units, bracket, norm, slack, like, aside, team)
                before, t, step = close_in(sums, units[2], bracket, k == 0, near, like, aside, team)
                step = answer_or_leave(r, goal, sums, units, norm, t, step, eta, verdict, first)
                bracket, k = bracket_of_step(before, t), k + 1
            r += np.int64(cuda.gridDim.x)

    return narrow_rows


@functools.cache
def rest_kernel(dtype: DType) -> Any:
    """Return the kernel for the rows that narrowing left, with powers of that dtype."""
    real = dtype.type

    @kernel
    def solve_rest(x, delta, lower, upper, count, n, eps, norm, eta, verdict, first):
        """Solve these rows, a block a row; their verdict says why they were left."""
        team, like = (cuda.shared.array(SLOTS, np.float64),), real(0)
        r = np.int64(cuda.blockIdx.x)
        while r < count:
            row, goal, step = (x, delta, lower, upper, r, n), at(eps, r, 0, np.float64), verdict[r]
            if step == PENDING:
                answer = solve_finite(row, norm, goal, max_abs(row, team), like, (), team)
                report(r, PENDING, goal, answer, eta, verdict, first)
            elif step in (SATURATED, NEEDS_MORE_DIGITS, NEEDS_MORE_DIGITS):
                answer = finish(row, norm, goal, 0.0, step, team)
                report(r, PENDING, goal, answer, eta, verdict, first)
            r += np.int64(cuda.gridDim.x)

    return solve_rest
