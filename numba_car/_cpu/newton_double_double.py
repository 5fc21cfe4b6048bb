"""Newton's method in double-double arithmetic: for powers out of range, or a small p that magnifies rounding.

Every size is a mantissa and a power of two, so that nothing over- or underflows; sums are pairs. Such numbers
need formulas of their own: `_is_clipped` and `_step` are `is_clipped` and `step` of `_core.coordinate`. The
iteration is in eta instead of t = eta**p. Each pass halves what remains of eps**p or
the free sum (Dinkelbach's argument), so the passes are bounded by the exponents of float64.
"""

import math

import numpy as np

from numba_car._core import double_double as dd
from numba_car._core.coordinate import room
from numba_car._core.verdicts import NEEDS_MORE_DIGITS
from numba_car._cpu.row import element, row_of, rows_of
from numba_car._jit import kernel, rows

_FAR = 4000  # beyond all exponents of quotients of float64


@rows
def to_float(mantissa, exponent):
    """Return mantissa * 2**exponent, for an exponent of any size."""
    return np.ldexp(mantissa, min(max(exponent, -_FAR), _FAR))


@rows
def _quotient(a, b):
    """Return a/b as mantissa in (0.5, 2) and exponent, for finite positive a and b."""
    (a_mantissa, a_exponent), (b_mantissa, b_exponent) = math.frexp(a), math.frexp(b)
    return a_mantissa / b_mantissa, a_exponent - b_exponent


@rows
def _exceeds(a, b):
    """Return whether one normalised (mantissa, exponent) is larger than another; zero has mantissa 0."""
    if a[0] == 0 or b[0] == 0:
        return a[0] > b[0]
    return a[1] > b[1] or (a[1] == b[1] and a[0] > b[0])


@rows
def _is_clipped(distance, abs_delta, eta):
    """Return whether eta*abs_delta >= distance."""
    if distance == math.inf:
        return False
    (distance_mantissa, distance_exponent), (mantissa, exponent) = (
        math.frexp(distance),
        math.frexp(abs_delta),
    )
    return to_float(eta[0] * mantissa, eta[1] + exponent - distance_exponent) >= distance_mantissa


@rows
def _arrival(distance, abs_delta):
    """Return distance/abs_delta, normalised, and rounded up so that eta*abs_delta is not below the distance."""
    mantissa, exponent = _quotient(distance, abs_delta)
    mantissa, extra = math.frexp(mantissa)
    if not _is_clipped(distance, abs_delta, (mantissa, exponent + extra)):
        mantissa += 2.0**-53
    return mantissa, exponent + extra


@rows
def _term(a, b, p):
    """Return (a/b)**p as a pair."""
    mantissa, exponent = _quotient(a, b)
    value, whole = dd.power(mantissa, exponent, 0.0, p)
    return to_float(value[0], whole), to_float(value[1], whole)


@rows
def _root(total, inverse):
    """Return total**(1/p) of a pair, as mantissa and exponent."""
    mantissa, exponent = math.frexp(total[0])
    value, whole = dd.power(mantissa, exponent, total[1] / total[0], inverse)
    return value[0] + value[1], whole


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
            eta = _arrival(distance, abs_delta)
            if _exceeds(eta, largest):
                largest = eta
    return largest


@rows
def _survey(row, eta):
    """Return the number of clipped coordinates, and the largest |delta| of the free."""
    count, largest = 0, 0.0
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        if abs_delta > 0 and _is_clipped(distance, abs_delta, eta):
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
        if abs_delta > 0 and distance > 0 and _is_clipped(distance, abs_delta, eta):
            total = dd.add(total, _term(distance, eps, p))
    return total


@rows
def _free_sum(row, largest, p, eta):
    """Return the sum of (|delta|/largest)**p over the free, as a pair."""
    total = (0.0, 0.0)
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        if abs_delta > 0 and not _is_clipped(distance, abs_delta, eta):
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
            root = _root(dd.divide(remaining, _free_sum(row, largest, p, eta)), inverse)
            mantissa, exponent = _quotient(eps, largest)
            mantissa, extra = math.frexp(mantissa * root[0])
            following = mantissa, exponent + extra + root[1]
            # The exact iterates increase after the first: a step back is rounding error of the
            # remaining sum, and would cross a breakpoint that the root is known to be beyond.
            if passes > 0 and not _exceeds(following, eta):
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
    return _arrival(reachable, largest)


@rows
def _step(distance, abs_delta, eta):
    """Return min(eta*abs_delta, room), normalised."""
    if _is_clipped(distance, abs_delta, eta):
        return math.frexp(distance)
    (mantissa, extra), exponent = (
        math.frexp(eta[0] * math.frexp(abs_delta)[0]),
        math.frexp(abs_delta)[1],
    )
    return mantissa, eta[1] + exponent + extra


@rows
def norm_reached(row, p, inverse, eta):
    """Return N(eta), which is R for an eta beyond all breakpoints."""
    unit = (0.0, 0)
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        if abs_delta > 0:
            size = _step(distance, abs_delta, eta)
            unit = size if _exceeds(size, unit) else unit
    if unit[0] == 0 or inverse[0] == 0:
        return to_float(unit[0], unit[1])
    total = (0.0, 0.0)
    for i in range(row[0].size):
        distance, abs_delta = _moves(row, i)
        size = _step(distance, abs_delta, eta) if abs_delta > 0 else (0.0, 0)
        if size[0] > 0:
            value, whole = dd.power(size[0] / unit[0], size[1] - unit[1], 0.0, p)
            total = dd.add(total, (to_float(value[0], whole), to_float(value[1], whole)))
    root = _root(total, inverse)
    return to_float(root[0] * unit[0], root[1] + unit[1])


@rows
def solve_row(row, eps, p, inverse, start):
    """Return eta as mantissa and exponent; p and 1/p are pairs, 1/p is 0 for p = inf."""
    return (
        _solve_largest(row, eps) if inverse[0] == 0 else _solve_finite(row, eps, p, inverse, start)
    )


@rows
def max_norm(row, p, inverse):
    """Return R, the norm at an eta beyond all breakpoints."""
    return norm_reached(row, p, inverse, (0.5, 2 * _FAR))


@rows
def rescale_row(row, eta, largest, out):
    """Store clip(x + eta*delta) in out."""
    for i in range(out.size):
        x, delta, lower, upper = element(row, i, np.float64)
        distance, abs_delta = _moves(row, i)
        if abs_delta > 0 and _is_clipped(distance, abs_delta, eta):
            x = upper if delta > 0 else lower
        elif abs_delta > 0:
            x += math.copysign(to_float(*_step(distance, abs_delta, eta)), delta)
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
