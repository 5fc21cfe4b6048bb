"""The norm that a scale reaches, measured on a row, and the scale of saturated rows."""

import math

from numba_car._core.newton import in_range
from numba_car._core.norms import MAXIMUM, TWO, root, unit_of
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, SATURATED
from numba_car._cpu.maxima import largest_breakpoint, largest_step
from numba_car._cpu.row import rows_of
from numba_car._cpu.sums import sum_steps
from numba_car._cpu.validate import needs_validation
from numba_car._jit import kernel, rows


@rows
def norm_reached(row, norm, eta, block):
    """Return N(eta); with eta = inf that is R."""
    if len(norm) <= TWO:
        total = sum_steps(row, norm, eta, 1.0, block)
        if in_range(total):
            return root(total, norm)
    size = largest_step(row, eta)
    if len(norm) == MAXIMUM or not 0.0 < size < math.inf:
        return size
    unit = unit_of(size, norm, False)
    return unit * root(sum_steps(row, norm, eta, unit, block), norm)


@rows
def saturate_row(row, norm, eps, block):
    """Return the largest breakpoint, 0 if R > eps, and the verdict: NEEDS_MORE_DIGITS if R > eps or out of range."""
    # A row whose free weights all underflowed is SATURATED, too.
    if norm_reached(row, norm, math.inf, block) > eps:
        return 0.0, NEEDS_MORE_DIGITS
    eta = largest_breakpoint(row)
    return eta, DONE if eta == 0 or in_range(eta) else NEEDS_MORE_DIGITS


@kernel
def saturate_rows(x, delta, lower, upper, n, eps, norm, block, eta, verdict):
    """Solve the SATURATED of a block of rows."""
    for r in range(eps.size):
        if verdict[r] == SATURATED:
            row = rows_of(x, delta, lower, upper, r, n)
            eta[r], verdict[r] = saturate_row(row, norm, eps[r], block)


@kernel
def measure_rows(x, delta, lower, upper, n, norm, block, eta, reached):
    """Store the norms that a block of rows reaches at eta."""
    for r in range(eta.size):
        reached[r] = norm_reached(rows_of(x, delta, lower, upper, r, n), norm, eta[r], block)


@kernel
def measure_both_rows(x, delta, lower, upper, n, norm, block, eta, verdict, reached, max_norm):
    """Store N(eta) and R of a block of rows for p = 1 or 2, -1 where the sums of a row are out of range.

    Return whether all rows are DONE, and all norms large enough that no step lost digits, or 0 for eta = 0.
    """
    all_known = True
    for r in range(eta.size):
        row = rows_of(x, delta, lower, upper, r, n)
        steps = sum_steps(row, norm, eta[r], 1.0, block)
        rooms = sum_steps(row, norm, math.inf, 1.0, block)
        is_sure = eta[r] < math.inf and in_range(rooms) and (in_range(steps) or eta[r] == 0)
        reached[r] = root(steps, norm) if is_sure else -1.0
        max_norm[r] = root(rooms, norm) if is_sure else -1.0
        all_known &= is_sure and verdict[r] == DONE
    return all_known


@kernel
def max_norm_rows(x, delta, lower, upper, n, norm, block, max_norm):
    """Store R of the ordinary of a block of rows, -1 for others, for p = 1 or 2; return whether all are ordinary."""
    all_known = True
    for r in range(max_norm.size):
        row = rows_of(x, delta, lower, upper, r, n)
        rooms = sum_steps(row, norm, math.inf, 1.0, block)
        is_known = in_range(rooms) and not needs_validation(row)
        max_norm[r] = root(rooms, norm) if is_known else -1.0
        all_known &= is_known
    return all_known
