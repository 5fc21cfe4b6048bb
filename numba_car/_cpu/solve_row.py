"""Solve one row for finite p, and blocks of such rows.

The functions here run interpreted for rows of `long_rows.LONG` elements or more.
"""

import math

from numba_car._core.coordinate import is_clipped
from numba_car._core.double_double import grid_of, on_grid, two_product
from numba_car._core.newton import conclude, in_range
from numba_car._core.norms import GENERAL, HALVES, is_float32, term
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, PENDING
from numba_car._cpu.maxima import max_abs
from numba_car._cpu.newton import largest_sum, solve_t, validate_and_sum
from numba_car._cpu.rescale import rescale_row
from numba_car._cpu.row import row_of, rows_of
from numba_car._cpu.sums import add
from numba_car._cpu.terms import prepare
from numba_car._cpu.validate import needs_validation
from numba_car._jit import kernel, loop, rows

_ROUNDED = 2.0**-44  # relative to t: more than the rounding error of t
_EXACT = 1 << 12  # elements whose sums lose no more than 2**-80 of the sum of a row


@loop
def _sum_on_grids(caps, weights, t, before, cap_grid, weight_grid):
    """Return the sums of the caps clipped at t, of the free weights, both in two parts, and of the just clipped."""
    clipped_high, clipped_low, free_high, free_low, just_clipped = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(caps.size):
        clipped = is_clipped(weights[i], caps[i], t)
        cap, weight = (caps[i] if clipped else 0.0), (0.0 if clipped else weights[i])
        high = on_grid(cap, cap_grid)
        clipped_high += high
        clipped_low += cap - high
        high = on_grid(weight, weight_grid)
        free_high += high
        free_low += weight - high
        is_just_clipped = clipped & (not is_clipped(weights[i], caps[i], before))
        just_clipped += weights[i] if is_just_clipped else 0.0
    return clipped_high, clipped_low, free_high, free_low, just_clipped


@rows
def rest_of_target(ratio, norm):
    """Return ratio**p less its rounded value, for p = 1/2 and 3/2, which have no other unit than powers of two."""
    if len(norm) != HALVES or norm[0] >= 2.0 or not ratio > 0:
        return 0.0
    square_root = math.sqrt(ratio)
    square, lost = two_product(square_root, square_root)
    rest = ((ratio - square) - lost) / (2.0 * square_root)
    if norm[0] < 1.0:
        return rest
    return two_product(square_root, ratio)[1] + rest * ratio


@rows
def residue(terms, norm, target, t, verdict, rest=0.0):
    """Return the error of t, for p < 2 in float64, where 1/p of it goes to eta: eq. (23); else 0.

    `target + rest` is the target with more digits than float64 has.
    """
    if len(norm) < GENERAL:
        return 0.0
    caps, weights, _, _ = terms
    if norm[0] >= 2.0 or is_float32(caps.dtype.type(0)) or verdict != DONE or not t > 0:
        return 0.0
    if not in_range(target / t):
        return 0.0
    # At the root the clipped caps add up to the target at most, and the free weights to target/t.
    grids = grid_of(2.0 * target), grid_of(2.0 * target / t)
    left, left_lost, free, free_lost, just_clipped = target, rest, 0.0, 0.0, 0.0
    for start in range(0, caps.size, _EXACT):
        stop = min(start + _EXACT, caps.size)
        here = caps[start:stop], weights[start:stop], t, (1.0 - _ROUNDED) * t
        found = _sum_on_grids(*here, *grids)
        left, left_lost = add(left, left_lost - found[1], -found[0])
        free, free_lost = add(free, free_lost + found[3], found[2])
        just_clipped += found[4]
    product, lost = two_product(t, free)
    missing = (left - product) + (left_lost - lost - t * free_lost)
    # To the left G may be steeper, which stops a step from going too far; to the right it is flatter.
    slope = free if missing > 0 else free + just_clipped
    # A longer step could cross breakpoints, and is not taken: see eq. (23).
    return missing / slope if 0 < abs(missing) <= _ROUNDED * t * slope else 0.0


@rows
def solve_ordinary(row, norm, eps, block):
    """Return eta and the verdict of a row for p = 1 or 2, without units and without stored powers.

    The verdict is PENDING, and eta 0, for a row that needs validation, or whose sums need units.
    """
    if eps == 0:
        like = row[0].dtype.type(0)
        weight_sum = validate_and_sum(row, norm, like)[2]
        return 0.0, DONE if weight_sum <= largest_sum(like) else PENDING
    t, verdict = solve_t(row, norm, norm, term(eps, norm), block)
    eta, verdict = conclude(1.0, t, 0.0, norm, verdict)
    return (0.0, PENDING) if verdict == NEEDS_MORE_DIGITS else (eta, verdict)


@rows
def solve_valid(row, norm, eps, block, scratch):
    """Return eta and the verdict of a row that is finite and inside its bounds, in units chosen for the row."""
    max_abs_delta = max_abs(row[1])
    if eps == 0 or max_abs_delta == 0:
        return 0.0, DONE
    terms, reading, unit, largest = prepare(row, norm, eps, max_abs_delta, scratch)
    target = term(eps / unit, norm)
    if not in_range(target):
        return 0.0, NEEDS_MORE_DIGITS
    t, verdict = solve_t(terms, reading, norm, target, block)
    # The powers of a float32 row in float64 have digits to spare, unless p is tiny.
    is_rough = len(norm) >= GENERAL and (norm[0] < 2.0**-10 or not is_float32(row[0].dtype.type(0)))
    rest = rest_of_target(eps / unit, norm)
    lost = residue(terms, norm, target, t, verdict, rest) if is_rough else 0.0
    return conclude(unit / largest, t, lost, norm, verdict)


@kernel
def solve_ordinary_rows(x, delta, lower, upper, n, eps, norm, block, eta, verdict, largest, out):
    """Solve the PENDING of a block of rows as `solve_ordinary` does; return whether all rows are DONE.

    Rescale those that become DONE, unless the array of `out` is empty.
    """
    all_done = True
    for r in range(eps.size):
        if verdict[r] == PENDING:
            row = rows_of(x, delta, lower, upper, r, n)
            eta[r], verdict[r] = solve_ordinary(row, norm, eps[r], block)
            if verdict[r] == DONE and out[0].size > 0:
                rescale_row(row, eta[r], largest, row_of(out, r, n))
        all_done &= verdict[r] == DONE
    return all_done


@kernel
def solve_rows(x, delta, lower, upper, n, eps, norm, block, scratch, validated, eta, verdict):
    """Solve the PENDING of a block of rows whose eta is 0 as `solve_valid` does; return whether all are DONE.

    Unless `validated`, rows that need validation are left as they are.
    """
    all_done = True
    for r in range(eps.size):
        if verdict[r] == PENDING and eta[r] == 0:
            row = rows_of(x, delta, lower, upper, r, n)
            if validated or not needs_validation(row):
                eta[r], verdict[r] = solve_valid(row, norm, eps[r], block, scratch)
        all_done &= verdict[r] == DONE
    return all_done
