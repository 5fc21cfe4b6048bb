"""Newton's method on one row, and on a block of rows.

`shared` runs all of these interpreted, too, with passes of its own.
"""

import math

import numpy as np

from numba_car._core.double_double import two_product
from numba_car._core.limits import BLOCK_CHAIN, LARGEST_DELTA, MAX_PASSES
from numba_car._core.newton import (
    CLEARED,
    DONE,
    GO_ON,
    OUT_OF_RANGE,
    SATURATED,
    SLOW,
    SUSPECT,
    advance,
    conclude,
    in_range,
    is_safe,
)
from numba_car._core.norms import RAISED, is_short, root, term, unit_of
from numba_car._core.problem import arrival, is_clipped
from numba_car._cpu.checks import is_suspect
from numba_car._cpu.extremes import (
    fastest,
    largest_breakpoint,
    largest_delta,
    largest_deltas,
    largest_step,
)
from numba_car._cpu.plain import nearness, scale_row, solve_t
from numba_car._cpu.sums import add, fill_powers, padded, row_sums
from numba_car._cpu.views import rows_of
from numba_car._jit import kernel, rows

_BESIDE = 2.0**-44  # of t: more than rounding takes
_SAMPLED = 2048  # elements from which on a sample saves more passes than it costs
_SAMPLES = 16  # blocks of a sample, each 1/16**2 of the row


@rows
def settle(terms, norm, target, start, lane, near, block, stride):
    """Iterate from any start until the free set repeats; return t and the verdict.

    Sums are of the type of `lane`. A relatively near step is the last.
    """
    t, is_first = start, True
    for _ in range(MAX_PASSES):
        clipped_sum, free_sum = row_sums(terms, norm, type(lane)(t), block, stride)
        t, verdict = advance(t, target, clipped_sum, free_sum, is_first, near)
        if is_short(lane) and not is_safe(t, clipped_sum, free_sum):
            return 0.0, OUT_OF_RANGE
        if verdict != GO_ON:
            return t, verdict
        is_first = False
    return t, SLOW


@rows
def settle_sample(terms, norm, target, start, lane):
    """Return where a sample of the row settles, in some blocks of it; start, if the row is short."""
    n = terms[0].size
    if n < _SAMPLED:
        return start
    blocks = min(n // _SAMPLED, _SAMPLES)
    sample, stride = n // (_SAMPLES * blocks), n // blocks
    share = blocks * sample / n
    return settle(terms, norm, share * target, start, lane, 2.0**-10, sample, stride)[0]


@rows
def newton(terms, norm, target, weight, lane, block):
    """Settle a row, from where a sample of it settles, or where all are free, whose weights sum up so."""
    start = target / weight if weight > 0 else 0.0
    start = settle_sample(terms, norm, target, start, lane)
    return settle(terms, norm, target, start, lane, nearness(lane), block, block)


@rows
def unit_in(lane, size, norm):
    """Return what to measure sizes like this in, as the lane holds it."""
    return np.float64(type(lane)(unit_of(size, norm, is_short(lane))))


@rows
def raised(row, norm, eps, speed, scratch):
    """Return a row's terms as powers, the sum of their weights, their norm, units and lane."""
    n, lane = row[0].size, scratch.dtype.type(0)
    unit, speed = unit_in(lane, eps, norm), unit_in(lane, speed, norm)
    caps, weights = scratch[0, : padded(n)], scratch[1, : padded(n)]
    weight = fill_powers(row, norm, unit, speed, caps[:n], weights[:n])
    caps[n:] = weights[n:] = 0
    return (caps, weights, 0.0, 0.0), weight, RAISED, unit, speed, lane


@rows
def residue(powers, norm, target, t, verdict):
    """Return what rounding lost of t, for p < 2, where 1/p of that is lost of eta; 0 for float32 powers."""
    caps, weights, _, _ = powers
    if len(norm) < 3 or norm[0] >= 2.0 or is_short(caps.dtype.type(0)) or verdict != DONE:
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
def solve_largest(row, eps, verdict):
    """Solve for p = inf: the fastest of the coordinates with room enough decides."""
    speed, fastest_of_all = largest_deltas(row, eps)
    if verdict != CLEARED and not fastest_of_all < LARGEST_DELTA:
        return 0.0, SUSPECT
    if eps == 0:
        return 0.0, DONE
    reachable = eps
    if speed == 0:
        reachable = min(eps, largest_step(row, math.inf))
        if reachable == 0:
            return 0.0, DONE
        speed = largest_delta(row, reachable)
    eta = arrival(reachable, speed)
    return eta, DONE if in_range(eta) else OUT_OF_RANGE


@rows
def solve_row(row, norm, eps, block, scratch):
    """Return eta and the verdict, for a row that is finite and inside its bounds."""
    if eps == 0:
        return 0.0, DONE
    speed = fastest(row[1])
    if speed == 0:
        return 0.0, DONE
    if len(norm) < 3:
        return solve_scaled(row, norm, eps, speed, block, scratch)
    return solve_powers(row, norm, eps, speed, block, scratch)


@rows
def solve_scaled(row, norm, eps, speed, block, scratch):
    """Solve a row for p = 1 or 2 as `plain` does, in units that are powers of two: to the same bits."""
    n, lane = row[0].size, scratch.dtype.type(0)
    unit, speed = unit_in(lane, eps, norm), unit_in(lane, speed, norm)
    rooms, deltas = scratch[0, :n], scratch[1, :n]
    scale_row(row, norm, unit, speed, rooms, deltas)
    scaled = rooms, deltas, type(lane)(0), type(lane)(math.inf)
    t, verdict = solve_t(scaled, norm, term(eps / unit, norm), block)
    if verdict == GO_ON:
        return 0.0, OUT_OF_RANGE
    return conclude(unit / speed, t, 0.0, norm, verdict)


@rows
def solve_powers(row, norm, eps, speed, block, scratch):
    """Solve a row over its stored powers."""
    terms, weight, raised_norm, unit, speed, lane = raised(row, norm, eps, speed, scratch)
    target = term(eps / unit, norm)
    if not in_range(target):
        return 0.0, OUT_OF_RANGE
    t, verdict = newton(terms, raised_norm, target, weight, lane, block)
    return conclude(unit / speed, t, residue(terms, norm, target, t, verdict), norm, verdict)


@rows
def norm_reached(row, norm, eta, block):
    """N(eta); with eta = inf that is R."""
    size = largest_step(row, eta)
    if len(norm) == 4 or not 0.0 < size < math.inf:
        return size
    unit = unit_of(size, norm, False)
    if len(norm) > 2:
        block = BLOCK_CHAIN if norm[0] >= 2.0 else 1
    return unit * root(row_sums(row, norm, (eta, unit), block, block)[0], norm)


@rows
def saturate_row(row, norm, eps, block):
    """Return the largest breakpoint, once R shows that nothing is free indeed."""
    # Weights that underflow look like saturation, too.
    if norm_reached(row, norm, math.inf, block) > eps:
        return 0.0, OUT_OF_RANGE
    eta = largest_breakpoint(row)
    return eta, DONE if eta == 0 or in_range(eta) else OUT_OF_RANGE


@kernel
def solve_rows(x, delta, lower, upper, n, eps, norm, block, scratch, eta, verdict):
    """Solve those of a block of rows that are new and not suspect, or cleared; return whether all are."""
    all_done = True
    for r in range(eps.size):
        row = rows_of(x, delta, lower, upper, r, n)
        if len(norm) == 4:
            if verdict[r] in (GO_ON, CLEARED):
                eta[r], verdict[r] = solve_largest(row, eps[r], verdict[r])
        else:
            if verdict[r] == GO_ON:
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
