"""Newton's method on G(t) = sum min(w*t, c), a team a row: one loop for all kinds of terms.

The loop takes the row's `terms` as `_cuda.terms` has them, and what is known of the row beyond them, the
`rest`, whose length is its kind:

===========  ====================================  ===================================================
kind         rest                                  meaning
===========  ====================================  ===================================================
`NOTHING`    ``()``                                the terms are all of the row's
`SUMS`       ``(clipped, free, open, low, high)``  the terms are those of the elements that are free
                                                   at `low` and may be clipped at `high`; their weights
                                                   sum to `open`. At any t between low and high, of all
                                                   others the caps of the clipped sum to `clipped`, and
                                                   the weights of the free to `free`.
===========  ====================================  ===================================================
"""

import functools
import math

import numpy as np
from numba import cuda

from numba_car._core.constants import MAX_PASSES
from numba_car._core.newton import conclude, in_range, nearness, next_step, start_of, units_of
from numba_car._core.norms import MAXIMUM, divisor, is_float32
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, OUTSIDE, PENDING, SATURATED
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.measure import bisect, largest_breakpoint, norm_reached, solve_maximum_norm
from numba_car._cuda.row import at, loaded
from numba_car._cuda.team import SLOTS
from numba_car._cuda.terms import KEPT, NO_TERMS, raise_powers, sum_terms
from numba_car._cuda.validate import read_and_validate

NOTHING, SUMS = 0, 5
_LEAST, _MOST = 2.0**-1000, 2.0**1000  # an eta in between has all digits
NO_REST = ()  # the rest of the kind NOTHING


@device
def holds_at(rest, t):
    """Return whether the sums of the rest hold at t."""
    if len(rest) == SUMS:
        return rest[3] <= t <= rest[4]
    return True


@device
def sums_at(n, t, rest, terms, team):
    """Return the sums of the caps that t clips and of the free weights, over the terms and the rest."""
    clipped, free = sum_terms(n, t, terms, team)
    if len(rest) == SUMS:
        return rest[0] + clipped, rest[1] + free
    return clipped, free


@device
def iterate(n, target, start, is_first, rest, near, like, terms, team):
    """Iterate until the free set repeats or a step is relatively below `near`.

    Returns the t before the last step, t, and the verdict, which is PENDING only where the sums of the rest
    do not hold at t. With SUMS for a rest, `start` is its low end. `is_first` says that the start may be
    right of the root, so that the first step may lead to the left.

    The free set shrinks in each pass but the first, by one element in rows built for that: those get the
    verdict NEEDS_MORE_DIGITS, for `bisect`, which takes about 140 passes whatever the row.
    """
    before, t, verdict, passes = start, start, PENDING, 0
    if len(rest) == SUMS:  # at the low end all of the terms are free: the first step takes no pass
        free = rest[1] + rest[2]
        t, verdict = next_step(start, target, rest[0], free, is_first, near, like)
        is_first = False
    while verdict == PENDING and passes < MAX_PASSES and holds_at(rest, t):
        clipped, free = sums_at(n, type(like)(t), rest, terms, team)
        before, may_return = t, is_first and passes == 0
        t, verdict = next_step(t, target, clipped, free, may_return, near, like)
        passes += 1
    is_slow = verdict == PENDING and passes == MAX_PASSES
    return before, t, NEEDS_MORE_DIGITS if is_slow else verdict


@device
def finish(row, norm, eps, eta, verdict, team):
    """Return eta where Newton's method found it, else eta from measurements of the row."""
    if verdict == DONE:
        return eta
    # Where weights underflow, too, no element is free.
    if verdict == SATURATED and norm_reached(row, norm, math.inf, team) <= eps:
        return largest_breakpoint(row, team)
    return bisect(row, norm, eps, team)


@device
def solve_finite(row, norm, eps, max_abs_delta, like, terms, team):
    """Return eta of a row that is finite and can move, for finite p and eps > 0."""
    unit, max_abs_delta, target = units_of(eps, max_abs_delta, norm, is_float32(like))
    if not in_range(target):
        return bisect(row, norm, eps, team)
    n, near = row[5], nearness(like)
    if len(terms) == KEPT:
        start = start_of(target, raise_powers(n, norm, unit, max_abs_delta, like, terms, team))
        _, t, verdict = iterate(n, target, start, True, NO_REST, near, like, terms, team)
    else:
        divisors = divisor(type(like)(unit), norm), divisor(type(like)(max_abs_delta), norm)
        recomputed = (row, norm, divisors[0], divisors[1])
        _, t, verdict = iterate(n, target, 0.0, True, NO_REST, near, like, recomputed, team)
    eta, verdict = conclude(unit / max_abs_delta, t, 0.0, norm, verdict)
    return finish(row, norm, eps, eta, verdict, team)


@device
def report_number(r, validity, eps, found, eta, verdict, first):
    """Store a number and the verdict of row r; `first` takes the least index of a row that asks for an error."""
    if cuda.threadIdx.x == 0:
        eta[r] = found if validity == PENDING else math.nan
        verdict[r] = DONE if validity == PENDING else validity
        if validity == OUTSIDE or not 0 <= eps < math.inf:
            cuda.atomic.min(first, 0, r)


@device
def report(r, validity, eps, found, eta, verdict, first):
    """Store eta and the verdict of row r, NEEDS_MORE_DIGITS for an eta that float64 may not hold.

    `first` takes the least index of a row that asks for an error, and that of a row that needs more digits.
    """
    report_number(r, validity, eps, found, eta, verdict, first)
    if cuda.threadIdx.x == 0 and validity == PENDING and found > 0 and not _LEAST <= found <= _MOST:
        verdict[r] = NEEDS_MORE_DIGITS
        cuda.atomic.min(first, 1, r)


@functools.cache
def solve_kernel(dtype, where):
    """Return the kernel for terms of that dtype, kept "on chip" or raised "anew" in each pass."""
    real = dtype.type

    @kernel
    def solve_rows(x, delta, lower, upper, count, n, eps, norm, slack, eta, verdict, first):
        """Solve all rows, a team a row."""
        lower, upper = loaded(lower), loaded(upper)
        team = (cuda.shared.array(SLOTS, np.float64),)
        like, r = real(0), np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
        if where == "on chip":
            kept = cuda.shared.array(0, real)
            terms = (kept, kept[n:], 2 * n * np.int64(cuda.threadIdx.y))
        else:
            terms = NO_TERMS  # type: ignore[assignment]
        while r < count:
            row = (x, delta, lower, upper, r, n)
            max_abs_delta, validity = read_and_validate(row, slack, like, terms, team)
            goal, found = at(eps, r, 0, np.float64), 0.0
            if validity == PENDING and goal > 0 and max_abs_delta > 0:
                if len(norm) == MAXIMUM:
                    found = solve_maximum_norm(row, goal, team)
                else:
                    found = solve_finite(row, norm, goal, max_abs_delta, like, terms, team)
            report(r, validity, goal, found, eta, verdict, first)
            r += np.int64(cuda.gridDim.x) * cuda.blockDim.y

    return solve_rows
