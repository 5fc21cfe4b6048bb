"""The first pass over a row, which finds the largest |delta| and whether all values are valid.

A row is valid if its x and delta are finite and x is between its bounds. If not all of this holds in the
first pass, the row must be validated, in a second pass in float64 that allows x a relative slack.
"""

import numpy as np

from numba_car._core.coordinate import is_outside
from numba_car._core.verdicts import NOT_FINITE, OUTSIDE, PENDING
from numba_car._cuda.jit import device
from numba_car._cuda.row import element, four
from numba_car._cuda.team import place_in, size_of, team_max
from numba_car._cuda.terms import keep

# The faults of an element in order: the largest of a row's is the row's.
NO_FAULT, OUTSIDE_BOUNDS, NO_NUMBER = range(3)


@device
def needs_validation(values):
    """Return whether an element is not finite, or not between its bounds, if only by rounding."""
    x, delta, lower, upper = values
    # The GPU's largest drops NaN: what is not finite must be found by itself.
    return not ((lower <= x) & (x <= upper) & (delta - delta == 0) & (x - x == 0))


@device
def worst(fault, values, slack):
    """Return the larger of a fault, given in the type of its accumulator, and that of an element."""
    if not needs_validation(values):
        return fault
    x, delta, lower, upper = values
    if not (delta - delta == 0 and x - x == 0):
        return type(fault)(NO_NUMBER)
    wide = np.float64(x), np.float64(lower), np.float64(upper)
    is_wrong = not lower <= upper or is_outside(wide[0], wide[1], wide[2], slack)
    return max(fault, type(fault)(OUTSIDE_BOUNDS)) if is_wrong else fault


@device
def verdict_of(fault):
    """Return the verdict on a row with that largest fault."""
    return NOT_FINITE if fault == NO_NUMBER else OUTSIDE if fault == OUTSIDE_BOUNDS else PENDING


@device
def worst_fault(row, slack, team):
    """Return the largest fault of a row."""
    fault, i = 0.0, place_in(team)
    while i < row[5]:
        fault = worst(fault, element(row, i, np.float64), slack)
        i += size_of(team)
    return team_max(fault, team)


@device
def validate_row(row, slack, team):
    """Return NOT_FINITE, OUTSIDE, or PENDING for a valid row."""
    return verdict_of(worst_fault(row, slack, team))


@device
def read_element(found, values, i, terms):
    """Return (largest |delta|, whether the row must be validated) with element i, which `terms` may keep."""
    keep(terms, i, values)
    return max(found[0], abs(values[1])), found[1] | needs_validation(values)


@device
def read_row(row, like, terms, team):
    """Return the largest |delta| of a row, and whether it must be validated; keep the row in `terms`."""
    n, i, step = row[5], place_in(team), size_of(team)
    found = type(like)(0), False
    while i + 3 * step < n:
        first, second, third, fourth = four(row, i, step, type(like))
        found = read_element(found, first, i, terms)
        found = read_element(found, second, i + step, terms)
        found = read_element(found, third, i + 2 * step, terms)
        found = read_element(found, fourth, i + 3 * step, terms)
        i += 4 * step
    while i < n:
        found = read_element(found, element(row, i, type(like)), i, terms)
        i += step
    return team_max(found[0], team), team_max(1.0 if found[1] else 0.0, team) > 0


@device
def read_and_validate(row, slack, like, terms, team):
    """Return the largest |delta| of a row and the verdict of `validate_row`; keep the row in `terms`."""
    max_abs_delta, to_validate = read_row(row, like, terms, team)
    return max_abs_delta, validate_row(row, slack, team) if to_validate else PENDING
