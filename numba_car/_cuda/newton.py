"""Newton's method, a team a row: what a row needs is read from memory once and kept as powers."""

import functools
import math

import numpy as np
from numba import cuda

from numba_car._core.constants import MAX_PASSES, NEAR_FLOAT32
from numba_car._core.coordinate import is_clipped, room
from numba_car._core.double_double import two_sum
from numba_car._core.newton import advance, conclude, in_range, is_safe
from numba_car._core.norms import MAXIMUM, divisor, is_float32, relative, term, unit_of
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, OUTSIDE, PENDING, SATURATED
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.measure import bisect, largest_breakpoint, norm_reached, solve_maximum_norm
from numba_car._cuda.row import at, element
from numba_car._cuda.team import SLOTS, WARP, place_in, size_of, team_sum
from numba_car._cuda.validate import inspect


@device
def raise_powers(n, norm, unit, max_abs_delta, like, terms, team):
    """Turn a row's rooms and |delta| into their powers; return about the sum of the weights."""
    caps, weights, base = terms
    by_unit, by_speed = divisor(type(like)(unit), norm), divisor(type(like)(max_abs_delta), norm)
    total, i = type(like)(0), place_in(team)
    while i < n:
        place = np.uint64(base + i)
        caps[place] = term(relative(caps[place], by_unit, norm), norm)
        weight = term(relative(weights[place], by_speed, norm), norm)
        weights[place] = weight
        total += weight
        i += size_of(team)
    return team_sum(total, team)


@device
def weight_and_cap_at(terms, i, like):
    """Return the powers of an element: kept as (caps, weights, where), or (row, norm, two divisors).

    Or set aside by `narrow`, as (caps, weights, counts, slot, layers, columns).
    """
    if len(terms) == 3:
        place = np.uint64(terms[2] + i)
        return terms[1][place], terms[0][place]
    if len(terms) == 6:
        caps, weights, counts, slot, layers, columns = terms
        layer = np.uint32(i) // np.uint32(columns)
        column = np.uint32(i) - layer * np.uint32(columns)
        kept = counts[np.uint64((slot * columns + column) // WARP)]
        place = np.uint64(slot * layers * columns + i)
        weight, cap = weights[place], caps[place]  # before it is known whether they are any
        is_kept = np.int64(layer) * WARP + np.int64(column) % WARP < kept
        return (weight, cap) if is_kept else (type(like)(0), type(like)(0))
    row, norm, by_unit, by_speed = terms
    x, delta, lower, upper = element(row, i, type(like))
    weight = term(relative(abs(delta), by_speed, norm), norm)
    return weight, term(relative(room(x, delta, lower, upper), by_unit, norm), norm)


@device
def tally(sums, terms, t):
    """Add an element's cap to the first sum where it is reached at t, else its weight to the other."""
    weight, cap = terms
    nothing, reached = type(t)(0), is_clipped(weight, cap, t)
    return sums[0] + (cap if reached else nothing), sums[1] + (nothing if reached else weight)


@device
def chain_of(like):
    """Return how many terms a thread adds up in the row's precision before compensation sets in."""
    return 16 if is_float32(like) else 4  # p < 1 magnifies what a float64 result loses


@device
def newton_sums(n, t, terms, team):
    """Sum the caps that are reached at t, and the weights that are free."""
    clipped, clipped_lost, free, free_lost = 0.0, 0.0, 0.0, 0.0
    i, step, chain = place_in(team), size_of(team), chain_of(t)
    while i < n:
        stop, sums = min(n, i + chain * step), (type(t)(0), type(t)(0))
        while i + 3 * step < stop:  # four at a time, so that the loads wait for memory together
            first = weight_and_cap_at(terms, i, t)
            second = weight_and_cap_at(terms, i + step, t)
            third = weight_and_cap_at(terms, i + 2 * step, t)
            fourth = weight_and_cap_at(terms, i + 3 * step, t)
            sums = tally(tally(tally(tally(sums, first, t), second, t), third, t), fourth, t)
            i += 4 * step
        while i < stop:
            sums = tally(sums, weight_and_cap_at(terms, i, t), t)
            i += step
        clipped, error = two_sum(clipped, np.float64(sums[0]))
        clipped_lost += error
        free, error = two_sum(free, np.float64(sums[1]))
        free_lost += error
    return team_sum(clipped + clipped_lost, team), team_sum(free + free_lost, team)


@device
def nearness(like):
    """Return how near a step must be to be the last."""
    return NEAR_FLOAT32 if is_float32(like) else 0.0


@device
def next_step(t, target, clipped, free, is_first, near, like):
    """Return the next t and a verdict; float32 has to hold the sums."""
    t, verdict = advance(t, target, clipped, free, is_first, near)
    if is_float32(like) and not is_safe(t, clipped, free):
        verdict = NEEDS_MORE_DIGITS
    return t, verdict


@device
def iterate(n, target, start, near, like, terms, team):
    """Iterate from any start until the free set repeats; return t and the verdict.

    The free set shrinks in each pass but the first, by one element in rows built for that: those are
    NEEDS_MORE_DIGITS, and left to `bisect`, whose passes are about 140 whatever the row.
    """
    t, verdict, passes = start, PENDING, 0
    while verdict == PENDING and passes < MAX_PASSES:
        clipped, free = newton_sums(n, type(like)(t), terms, team)
        t, verdict = next_step(t, target, clipped, free, passes == 0, near, like)
        passes += 1
    return t, NEEDS_MORE_DIGITS if verdict == PENDING else verdict


@device
def finish(row, norm, eps, eta, verdict, team):
    """Return eta where Newton's method found it, and otherwise measure the row until it is found."""
    if verdict == DONE:
        return eta
    # Weights that underflow look like saturation, too.
    if verdict == SATURATED and norm_reached(row, norm, math.inf, team) <= eps:
        return largest_breakpoint(row, team)
    return bisect(row, norm, eps, team)


@device
def solve_finite(row, norm, eps, max_abs_delta, like, terms, team):
    """Solve a row that is finite and can move, for finite p and eps > 0.

    Where there are no `terms` to keep its powers in, each pass reads the row and takes them anew.
    """
    float32 = is_float32(like)
    unit, max_abs_delta = unit_of(eps, norm, float32), unit_of(max_abs_delta, norm, float32)
    target = term(eps / unit, norm)
    if not in_range(target):
        return bisect(row, norm, eps, team)
    if len(terms) == 3:
        weight = raise_powers(row[5], norm, unit, max_abs_delta, like, terms, team)
        start = target / weight if weight > 0 else 0.0
        t, verdict = iterate(row[5], target, start, nearness(like), like, terms, team)
    else:
        divisors = divisor(type(like)(unit), norm), divisor(type(like)(max_abs_delta), norm)
        anew = (row, norm, divisors[0], divisors[1])
        t, verdict = iterate(row[5], target, 0.0, nearness(like), like, anew, team)
    eta, verdict = conclude(unit / max_abs_delta, t, 0.0, norm, verdict)
    return finish(row, norm, eps, eta, verdict, team)


@device
def report(r, found, goal, answer, eta, verdict, first):
    """Store a row's answer; `first` takes the least index of a row that the caller must hear of."""
    if cuda.threadIdx.x == 0:
        eta[r] = answer if found == PENDING else math.nan
        verdict[r] = DONE if found == PENDING else found
        if found == OUTSIDE or not 0 <= goal < math.inf:
            cuda.atomic.min(first, 0, r)


@functools.cache
def solve_kernel(dtype, where):
    """Return the kernel with powers of that dtype: kept "on chip", or taken "anew" in each pass."""
    real = dtype.type

    @kernel
    def solve_rows(x, delta, lower, upper, count, n, eps, norm, slack, eta, verdict, first):
        team = (cuda.shared.array(SLOTS, np.float64),)
        like, r = real(0), np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
        if where == "on chip":
            kept = cuda.shared.array(0, real)
            terms = (kept, kept[n:], 2 * n * np.int64(cuda.threadIdx.y))
        else:
            terms = ()  # type: ignore[assignment]
        while r < count:
            row = (x, delta, lower, upper, r, n)
            max_abs_delta, found = inspect(row, slack, like, terms, team)
            goal, answer = at(eps, r, 0, np.float64), 0.0
            if found == PENDING and goal > 0 and max_abs_delta > 0:
                if len(norm) == MAXIMUM:
                    answer = solve_maximum_norm(row, goal, team)
                else:
                    answer = solve_finite(row, norm, goal, max_abs_delta, like, terms, team)
            report(r, found, goal, answer, eta, verdict, first)
            r += np.int64(cuda.gridDim.x) * cuda.blockDim.y

    return solve_rows
