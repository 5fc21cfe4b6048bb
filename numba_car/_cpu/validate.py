"""Validation: is a row finite and inside its bounds? Strict arithmetic, since fast-math would delete the tests."""

import numpy as np

from numba_car._core.constants import LARGEST_DELTA
from numba_car._core.coordinate import is_inside, is_outside
from numba_car._core.norms import largest_number
from numba_car._core.verdicts import NEEDS_MORE_DIGITS, NOT_FINITE, OUTSIDE, PENDING
from numba_car._cpu.row import element, rows_of
from numba_car._jit import kernel, rows


@rows
def needs_validation(row):
    """Return whether some element of a row is not finite, very large, or outside its bounds by any amount."""
    found, dtype = False, row[0].dtype.type
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, dtype)
        inside = is_inside(x, lower, upper, largest_number(dtype(0)))
        # A count instead of a flag takes twice as long.
        found |= not (inside & (abs(delta) < dtype(LARGEST_DELTA)))
    return found


@rows
def _outside(row, slack):
    """Return how many x are outside their bounds by more than the slack, and the index of the first."""
    count, first = 0, -1
    for i in range(row[0].size):
        x, _, lower, upper = element(row, i, np.float64)
        if is_outside(x, lower, upper, slack):
            first = i if count == 0 else first
            count += 1
    return count, first


@rows
def validate_row(row, slack):
    """Return PENDING for a row that is finite and inside its bounds up to the relative slack, else another verdict."""
    verdict = PENDING
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        if not lower <= upper:
            return OUTSIDE
        if (x - x) + (delta - delta) != 0:
            verdict = NOT_FINITE
        elif abs(delta) >= LARGEST_DELTA and verdict == PENDING:
            verdict = NEEDS_MORE_DIGITS
    return OUTSIDE if verdict != NOT_FINITE and _outside(row, slack)[0] > 0 else verdict


@kernel
def validate_rows(x, delta, lower, upper, n, slack, eta, verdict):
    """Validate the PENDING of a block of rows whose eta is 0."""
    for r in range(verdict.size):
        if verdict[r] == PENDING and eta[r] == 0:
            row = rows_of(x, delta, lower, upper, r, n)
            if needs_validation(row):
                verdict[r] = validate_row(row, slack)


@kernel
def count_outside(x, delta, lower, upper, n, count, slack):
    """Return how many elements of a block of rows are outside, and the row and the index of the first."""
    total, first_row, first_index = 0, -1, -1
    for r in range(count):
        row = rows_of(x, delta, lower, upper, r, n)
        outside, index = _outside(row, slack) if validate_row(row, slack) == OUTSIDE else (0, -1)
        if outside > 0 and total == 0:
            first_row, first_index = r, index
        total += outside
    return total, first_row, first_index
