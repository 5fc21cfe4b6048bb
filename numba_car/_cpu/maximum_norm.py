"""Solve rows for p = inf: the largest |delta| among the elements with room enough decides."""

import math

from numba_car._core.constants import LARGEST_DELTA
from numba_car._core.coordinate import arrival
from numba_car._core.newton import in_range
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, PENDING
from numba_car._cpu.maxima import largest_delta, largest_deltas, largest_step
from numba_car._cpu.row import rows_of
from numba_car._jit import kernel, rows


@rows
def solve_maximum_norm(row, eps, validated):
    """Return eta and the verdict of a row; PENDING, and eta 0, if it needs validation."""
    max_abs_delta, largest_of_all = largest_deltas(row, eps)
    if not (validated or largest_of_all < LARGEST_DELTA):
        return 0.0, PENDING
    if eps == 0:
        return 0.0, DONE
    reachable = eps
    if max_abs_delta == 0:
        reachable = min(eps, largest_step(row, math.inf))
        if reachable == 0:
            return 0.0, DONE
        max_abs_delta = largest_delta(row, reachable)
    eta = arrival(reachable, max_abs_delta)
    return eta, DONE if in_range(eta) else NEEDS_MORE_DIGITS


@kernel
def solve_maximum_norm_rows(x, delta, lower, upper, n, eps, validated, eta, verdict):
    """Solve the PENDING of a block of rows as `solve_maximum_norm` does; return whether all are DONE."""
    all_done = True
    for r in range(eps.size):
        if verdict[r] == PENDING:
            row = rows_of(x, delta, lower, upper, r, n)
            eta[r], verdict[r] = solve_maximum_norm(row, eps[r], validated)
        all_done &= verdict[r] == DONE
    return all_done
