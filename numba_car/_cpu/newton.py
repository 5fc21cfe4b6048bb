"""Newton's method on one row, and on a block of rows.

`shared` runs all of these interpreted, too, with passes of its own.
"""

import math

import numpy as np

from numba_car._core.constants import BLOCK_CHAIN, LARGEST_DELTA, MAX_PASSES
from numba_car._core.coordinate import arrival, is_clipped
from numba_car._core.double_double import two_product
from numba_car._core.newton import advance, conclude, in_range, is_safe
from numba_car._core.norms import (
    GENERAL,
    MAXIMUM,
    STORED_POWERS,
    TWO,
    is_float32,
    root,
    term,
    unit_of,
)
from numba_car._core.verdicts import (
    CLEARED,
    DONE,
    NEEDS_MORE_DIGITS,
    PENDING,
    SATURATED,
    SLOW,
    SUSPECT,
)
from numba_car._cpu.maxima import (
    largest_breakpoint,
    largest_delta,
    largest_deltas,
    largest_step,
    max_abs,
)
from numba_car._cpu.plain import nearness, scale_row, solve_t
from numba_car._cpu.row import rows_of
from numba_car._cpu.sums import add, fill_powers, padded, row_sums
from numba_car._cpu.validate import is_suspect
from numba_car._jit import kernel, rows

_BESIDE = 2.0**-44  # of t: more than rounding takes
_SAMPLED = 2048  # elements from which on a sample saves more passes than it costs
_SAMPLES = 16  # blocks of a sample, each 1/16**2 of the row


@rows
def iterate(terms, norm, target, start, like, near, block, stride):
    """Iterate from any start until the free set repeats; return t and the verdict.

    Sums are of the type of `like`. A relatively near step is the last.
    """
    t, is_first = start, True
    for _ in range(MAX_PASSES):
        clipped_sum, free_sum = row_sums(terms, norm, type(like)(t), block, stride)
        t, verdict = advance(t, target, clipped_sum, free_sum, is_first, near)
        if is_float32(like) and not is_safe(t, clipped_sum, free_sum):
            return 0.0, NEEDS_MORE_DIGITS
        if verdict != PENDING:
            return t, verdict
        is_first = False
    return t, SLOW


@rows
def iterate_sample(terms, norm, target, start, like):
    """Return where a sample of the row settles, in some blocks of it; start, if the row is short."""
    n = terms[0].size
    if n < _SAMPLED:
        return start
    blocks = min(n // _SAMPLED, _SAMPLES)
    sample, stride = n // (_SAMPLES * blocks), n // blocks
    share = blocks * sample / n
    return iterate(terms, norm, share * target, start, like, 2.0**-10, sample, stride)[0]


@rows
def newton(terms, norm, target, weight, like, block):
    """Settle a row, from where a sample of it settles, or where all are free, whose weights sum up so."""
    start = target / weight if weight > 0 else 0.0
    start = iterate_sample(terms, norm, target, start, like)
    return iterate(terms, norm, target, start, like, nearness(like), block, block)


@rows
def unit_in(like, size, norm):
    """Return what to measure sizes like this in, as the like holds it."""
    return np.float64(type(like)(unit_of(size, norm, is_float32(like))))


@rows
def raised(row, norm, eps, max_abs_delta, scratch):
    """Return a row's terms as powers, the sum of their weights, their norm, units and like."""
    n, like = row[0].size, scratch.dtype.type(0)
    unit, max_abs_delta = unit_in(like, eps, norm), unit_in(like, max_abs_delta, norm)
    caps, weights = scratch[0, : padded(n)], scratch[1, : padded(n)]
    weight = fill_powers(row, norm, unit, max_abs_delta, caps[:n], weights[:n])
    caps[n:] = weights[n:] = 0
    return (caps, weights, 0.0, 0.0), weight, STORED_POWERS, unit, max_abs_delta, like


@rows
def residue(powers, norm, target, t, verdict):
    """Return what rounding lost of t, for p < 2, where 1/p of that is lost of eta; 0 for float32 powers."""
    caps, weights, _, _ = powers
    if len(norm) <= TWO or norm[0] >= 2.0 or is_float32(caps.dtype.type(0)) or verdict != DONE:
        return 0.0
    left, left_lost, free, free_lost, beside = target, 0.0, 0.0, 0.0, 0.0
    for i in range(caps.size):
        if is_clipped(weights[i], caps[i], t):
            left, left_lost = add(left, left_lost, -caps[i])
            if not is_clipped(weights[i], caps[i], (1.0 - _BESIDE) * t):
                beside += weights[i]
        else:
            free, free_lost = add(free, free_lost, weights[i])
    product, lost = two_product(t, free)
    missing = (left - product) + (left_lost - lost - t * free_lost)
    # To the left G may be steeper, which stops a step from going too far; to the right it is flatter.
    slope = free if missing > 0 else free + beside
    # What would be a longer step is nothing in G.
    return missing / slope if 0 < abs(missing) <= _BESIDE * t * slope else 0.0


@rows
def solve_maximum_norm(row, eps, verdict):
    """Solve for p = inf: the max_abs of the coordinates with room enough decides."""
    max_abs_delta, largest_of_all = largest_deltas(row, eps)
    if verdict != CLEARED and not largest_of_all < LARGEST_DELTA:
        return 0.0, SUSPECT
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


@rows
def solve_row(row, norm, eps, block, scratch):
    """Return eta and the verdict, for a row that is finite and inside its bounds."""
    if eps == 0:
        return 0.0, DONE
    max_abs_delta = max_abs(row[1])
    if max_abs_delta == 0:
        return 0.0, DONE
    if len(norm) <= TWO:
        return solve_scaled(row, norm, eps, max_abs_delta, block, scratch)
    return solve_powers(row, norm, eps, max_abs_delta, block, scratch)


@rows
def solve_scaled(row, norm, eps, max_abs_delta, block, scratch):
    """Solve a row for p = 1 or 2 as `plain` does, in units that are powers of two: to the same bits."""
    n, like = row[0].size, scratch.dtype.type(0)
    unit, max_abs_delta = unit_in(like, eps, norm), unit_in(like, max_abs_delta, norm)
    rooms, deltas = scratch[0, :n], scratch[1, :n]
    scale_row(row, norm, unit, max_abs_delta, rooms, deltas)
    scaled = rooms, deltas, type(like)(0), type(like)(math.inf)
    t, verdict = solve_t(scaled, norm, term(eps / unit, norm), block)
    if verdict == PENDING:
        return 0.0, NEEDS_MORE_DIGITS
    return conclude(unit / max_abs_delta, t, 0.0, norm, verdict)


@rows
def solve_powers(row, norm, eps, max_abs_delta, block, scratch):
    """Solve a row over its stored powers."""
    terms, weight, raised_norm, unit, max_abs_delta, like = raised(
        row, norm, eps, max_abs_delta, scratch
    )
    target = term(eps / unit, norm)
    if not in_range(target):
        return 0.0, NEEDS_MORE_DIGITS
    t, verdict = newton(terms, raised_norm, target, weight, like, block)
    return conclude(
        unit / max_abs_delta, t, residue(terms, norm, target, t, verdict), norm, verdict
    )


@rows
def norm_reached(row, norm, eta, block):
    """N(eta); with eta = inf that is R."""
    size = largest_step(row, eta)
    if len(norm) == MAXIMUM or not 0.0 < size < math.inf:
        return size
    unit = unit_of(size, norm, False)
    if len(norm) >= GENERAL:
        block = BLOCK_CHAIN if norm[0] >= 2.0 else 1
    return unit * root(row_sums(row, norm, (eta, unit), block, block)[0], norm)


@rows
def saturate_row(row, norm, eps, block):
    """Return the largest breakpoint, once R shows that nothing is free indeed."""
    # Weights that underflow look like saturation, too.
    if norm_reached(row, norm, math.inf, block) > eps:
        return 0.0, NEEDS_MORE_DIGITS
    eta = largest_breakpoint(row)
    return eta, DONE if eta == 0 or in_range(eta) else NEEDS_MORE_DIGITS


@kernel
def solve_rows(x, delta, lower, upper, n, eps, norm, block, scratch, eta, verdict):
    """Solve those of a block of rows that are new and not suspect, or cleared; return whether all are."""
    all_done = True
    for r in range(eps.size):
        row = rows_of(x, delta, lower, upper, r, n)
        if len(norm) == MAXIMUM:
            if verdict[r] in (PENDING, CLEARED):
                eta[r], verdict[r] = solve_maximum_norm(row, eps[r], verdict[r])
        else:
            if verdict[r] == PENDING:
                verdict[r] = SUSPECT if is_suspect(row) else CLEARED
            if verdict[r] == CLEARED:
                eta[r], verdict[r] = solve_row(row, norm, eps[r], block, scratch)
        all_done &= verdict[r] == DONE
    return all_done


@kernel
def saturate_rows(x, delta, lower, upper, n, eps, norm, block, eta, verdict):
    """Solve those of a block of rows whose verdict is SATURATED."""
    for r in range(eps.size):
        if verdict[r] == SATURATED:
            row = rows_of(x, delta, lower, upper, r, n)
            eta[r], verdict[r] = saturate_row(row, norm, eps[r], block)


@kernel
def measure_rows(x, delta, lower, upper, n, norm, block, eta, reached):
    """Store the norms that a block of rows reaches at eta."""
    for r in range(eta.size):
        reached[r] = norm_reached(rows_of(x, delta, lower, upper, r, n), norm, eta[r], block)
