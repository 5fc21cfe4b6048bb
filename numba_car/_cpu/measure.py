"""The norm that a scale reaches, measured on a row, and the scale of saturated rows."""

import math

from numba_car._core.newton import in_range
from numba_car._core.norms import MAXIMUM, root, unit_of
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, SATURATED
from numba_car._cpu.maxima import largest_breakpoint, largest_step
from numba_car._cpu.row import rows_of
from numba_car._cpu.sums import sum_steps
from numba_car._jit import kernel, rows


@rows
def norm_reached(row, norm, eta, block):
    """Return N(eta); with eta = inf that is R."""
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
