"""Newton's method in double-double arithmetic: for powers out of range, or a small p that magnifies rounding.

Every size is a mantissa and a power of two, so that nothing over- or underflows; sums are pairs. The formulas of
such numbers are those of `_core.extended_range`. The iteration is in eta instead of t = eta**p. Each pass halves what remains of eps**p or
the free sum (Dinkelbach's argument), so the passes are bounded by the exponents of float64.
"""

import math

import numpy as np

from numba_car._core import double_double as dd
from numba_car._core.coordinate import room
from numba_car._core.extended_range import (
    BEYOND,
    arrival,
    exceeds,
    is_clipped,
    quotient,
    raised,
    root,
    step,
    to_float,
)
from numba_car._core.verdicts import NEEDS_MORE_DIGITS
from numba_car._cpu.row import element, row_of, rows_of
from numba_car._jit import kernel, rows


@rows
def _term(a, b, p):
    """Return (a/b)**p as a pair."""
    mantissa, exponent = quotient(a, b)
    return raised(mantissa, exponent, p)


@rows
def _moves(row, index):
    """Return the room and |delta| of one coordinate."""
    x, delta, lower, upper = element(row, index, np.float64)
    return room(x, delta, lower, upper), abs(delta)


@rows
def _largest_breakpoint(row):
    """Return max room/|delta|, rounded up so that no element is free there."""
    largest = (0.0, 0)
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        if abs_delta > 0 and distance > 0:
            eta = arrival(distance, abs_delta)
            if exceeds(eta, largest):
                largest = eta
    return largest


@rows
def _survey(row, eta):
    """Return the number of clipped coordinates, and the largest |delta| of the free."""
    count, largest = 0, 0.0
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        if abs_delta > 0 and is_clipped(distance, abs_delta, eta):
            count += 1
        else:
            largest = max(largest, abs_delta)
    return count, largest


@rows
def _clipped_sum(row, eps, p, eta):
    """Return the sum of (room/eps)**p over the clipped, as a pair."""
    total = (0.0, 0.0)
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        if abs_delta > 0 and distance > 0 and is_clipped(distance, abs_delta, eta):
            total = dd.add(total, _term(distance, eps, p))
    return total


@rows
def _free_sum(row, largest, p, eta):
    """Return the sum of (|delta|/largest)**p over the free, as a pair."""
    total = (0.0, 0.0)
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        if abs_delta > 0 and not is_clipped(distance, abs_delta, eta):
            total = dd.add(total, _term(abs_delta, largest, p))
    return total


@rows
def _solve_finite(row, eps, p, inverse, start):
    """Return eta as mantissa and exponent; the start may be any guess."""
    eta, before, passes = start, -1, 0
    while True:
        count, largest = _survey(row, eta)
        if count == before:
            return eta
        remaining = (0.0, 0.0)
        if largest > 0:
            clipped = _clipped_sum(row, eps, p, eta)
            remaining = dd.add((1.0, 0.0), (-clipped[0], -clipped[1]))
        if remaining[0] > 0:
            factor = root(dd.divide(remaining, _free_sum(row, largest, p, eta)), inverse)
            mantissa, exponent = quotient(eps, largest)
            mantissa, extra = math.frexp(mantissa * factor[0])
            following = mantissa, exponent + extra + factor[1]
            # The exact iterates increase after the first: a step back is rounding error of the
            # remaining sum, and would cross a breakpoint that the root is known to be beyond.
            if passes > 0 and not exceeds(following, eta):
                return eta
            eta, before = following, count
        elif passes == 0 and eta[0] > 0:
            eta = (0.0, 0)  # too far right of the root for a step back
        else:
            return eta if largest > 0 else _largest_breakpoint(row)
        passes += 1


@rows
def _solve_largest(row, eps):
    """Return eta for p = inf, as mantissa and exponent."""
    reachable = 0.0
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        reachable = max(reachable, distance if abs_delta > 0 else 0.0)
    reachable = min(reachable, eps)
    if reachable == 0:
        return 0.0, 0
    largest = 0.0
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        largest = max(largest, abs_delta if distance >= reachable else 0.0)
    return arrival(reachable, largest)


@rows
def norm_reached(row, p, inverse, eta):
    """Return N(eta), which is R for an eta beyond all breakpoints."""
    unit = (0.0, 0)
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        if abs_delta > 0:
            size = step(distance, abs_delta, eta)
            unit = size if exceeds(size, unit) else unit
    if unit[0] == 0 or inverse[0] == 0:
        return to_float(unit[0], unit[1])
    total = (0.0, 0.0)
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        size = step(distance, abs_delta, eta) if abs_delta > 0 else (0.0, 0)
        if size[0] > 0:
            total = dd.add(total, raised(size[0] / unit[0], size[1] - unit[1], p))
    mantissa, exponent = root(total, inverse)
    return to_float(mantissa * unit[0], exponent + unit[1])


@rows
def solve_row(row, eps, p, inverse, start):
    """Return eta as mantissa and exponent; p and 1/p are pairs, 1/p is 0 for p = inf."""
    return (
        _solve_largest(row, eps) if inverse[0] == 0 else _solve_finite(row, eps, p, inverse, start)
    )


@rows
def max_norm(row, p, inverse):
    """Return R, the norm at an eta beyond all breakpoints."""
    return norm_reached(row, p, inverse, BEYOND)


@rows
def rescale_row(row, eta, largest, out):
    """Store clip(x + eta*delta) in out."""
    for i in range(out.size):
        x, delta, lower, upper = element(row, i, np.float64)
        distance, abs_delta = _moves(row, i)
        if abs_delta > 0 and is_clipped(distance, abs_delta, eta):
            x = upper if delta > 0 else lower
        elif abs_delta > 0:
            x += math.copysign(to_float(*step(distance, abs_delta, eta)), delta)
        out[i] = min(max(x, lower, -largest), upper, largest)


@kernel
def solve_rows(x, delta, lower, upper, n, eps, p, inverse, verdict, eta, mantissa, exponent):
    """Solve those of a block of rows that are NEEDS_MORE_DIGITS, from a guess in eta and to pairs."""
    for r in range(eps.size):
        if verdict[r] == NEEDS_MORE_DIGITS:
            row = rows_of(x, delta, lower, upper, r, n)
            mantissa[r], exponent[r] = solve_row(row, eps[r], p, inverse, math.frexp(eta[r]))
            eta[r] = to_float(mantissa[r], exponent[r])


@kernel
def measure_rows(x, delta, lower, upper, n, p, inverse, eta, norm):
    """Store what norm is reached at eta, which may be inf, by those rows whose norm is negative."""
    for r in range(eta.size):
        if norm[r] < 0:
            row = rows_of(x, delta, lower, upper, r, n)
            if eta[r] == math.inf:
                norm[r] = max_norm(row, p, inverse)
            else:
                norm[r] = norm_reached(row, p, inverse, math.frexp(eta[r]))


@kernel
def rescale_rows(x, delta, lower, upper, n, verdict, mantissa, exponent, largest, out):
    """Rescale those of a block of rows that are NEEDS_MORE_DIGITS."""
    for r in range(verdict.size):
        if verdict[r] == NEEDS_MORE_DIGITS:
            row = rows_of(x, delta, lower, upper, r, n)
            rescale_row(row, (mantissa[r], exponent[r]), largest, row_of(out, r, n))
