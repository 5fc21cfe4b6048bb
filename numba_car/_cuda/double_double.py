"""Eta, norms and results in double-double arithmetic, a team a row: `_cpu.newton_double_double` has the same.

For p < 0.6 in float64, which magnifies rounding, and for rows whose eta float64 does not hold with all digits. There
eta is a mantissa and an exponent.
"""

import math

import numpy as np
from numba import cuda
from numba.cuda.extending import overload

from numba_car._core.coordinate import room
from numba_car._core.double_double import add, divide
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
from numba_car._core.norms import MAXIMUM, ONE, TWO
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS
from numba_car._cuda.exact import team_pair
from numba_car._cuda.jit import IS_SIMULATED, device, kernel
from numba_car._cuda.rescale import moved
from numba_car._cuda.row import at, element, loaded, my_element, store
from numba_car._cuda.team import SLOTS, place_in, size_of, team_max, team_sum

_OFFSET = 10000.0  # makes exponents positive

if not IS_SIMULATED:

    @overload(np.ldexp)
    def _ldexp(mantissa, exponent):
        return lambda mantissa, exponent: math.ldexp(mantissa, np.int32(exponent))  # type: ignore[arg-type]


@device
def powers_of(norm):
    """Return p and 1/p of a norm as pairs."""
    if len(norm) == ONE:
        return (1.0, 0.0), (1.0, 0.0)
    if len(norm) == TWO:
        return (2.0, 0.0), (0.5, 0.0)
    return (norm[0], 0.0), (norm[1], norm[2])


@device
def moves(row, i):
    """Return the room and |delta| of element i; the room of one that does not move is 0."""
    x, delta, lower, upper = element(row, i, np.float64)
    return room(x, delta, lower, upper) if delta != 0 else 0.0, abs(delta)


@device
def team_total(pair, team):
    """Return the sum of the threads' pairs, which are not negative, as a pair; (inf, 0) where it overflows."""
    largest = 2.0 * team_sum(pair[0], team)
    if not largest < math.inf:
        return math.inf, 0.0
    return team_pair(pair[0], pair[1], largest, team)


@device
def team_largest(size, team):
    """Return the largest of the threads' sizes, each a mantissa and an exponent."""
    most = team_max(size[1] + _OFFSET if size[0] > 0 else 0.0, team)
    mantissa = team_max(size[0] if size[0] > 0 and size[1] + _OFFSET == most else 0.0, team)
    return mantissa, np.int64(most - _OFFSET) if mantissa > 0 else np.int64(0)


@device
def larger(a, b):
    """Return the larger of two sizes, each a mantissa and an exponent."""
    return a if exceeds(a, b) else b


@device
def largest_breakpoint(row, team):
    """Return max room/|delta|, rounded up so that no element is free there."""
    largest, i = (0.0, np.int64(0)), place_in(team)
    while i < row[5]:
        distance, abs_delta = moves(row, i)
        if distance > 0:
            mantissa, exponent = arrival(distance, abs_delta)
            largest = larger((mantissa, np.int64(exponent)), largest)
        i += size_of(team)
    return team_largest(largest, team)


@device
def survey(row, eta, team):
    """Return the number of clipped elements, and the largest |delta| of the free."""
    count, largest, i = 0.0, 0.0, place_in(team)
    while i < row[5]:
        distance, abs_delta = moves(row, i)
        if abs_delta > 0 and is_clipped(distance, abs_delta, eta):
            count += 1.0
        else:
            largest = max(largest, abs_delta)
        i += size_of(team)
    return team_sum(count, team), team_max(largest, team)


@device
def sums(row, eps, largest, p, eta, team):
    """Return the sum of (room/eps)**p over the clipped and of (|delta|/largest)**p over the free, as pairs."""
    clipped, free, i = (0.0, 0.0), (0.0, 0.0), place_in(team)
    while i < row[5]:
        distance, abs_delta = moves(row, i)
        ends = abs_delta > 0 and is_clipped(distance, abs_delta, eta)
        size, unit = (distance, eps) if ends else (abs_delta, largest)
        if size > 0:
            mantissa, exponent = quotient(size, unit)
            term = raised(mantissa, exponent, p)
            if ends:
                clipped = add(clipped, term)
            else:
                free = add(free, term)
        i += size_of(team)
    return team_total(clipped, team), team_total(free, team)


@device
def solve_finite(row, eps, p, inverse, start, team):
    """Return eta for finite p, from any start; the iteration is that of `_cpu.newton_double_double`."""
    eta, before, passes = start, -1.0, 0
    while True:
        count, largest = survey(row, eta, team)
        if count == before:
            return eta
        remaining, free = (0.0, 0.0), (0.0, 0.0)
        if largest > 0:
            clipped, free = sums(row, eps, largest, p, eta, team)
            remaining = add((1.0, 0.0), (-clipped[0], -clipped[1]))
        if remaining[0] > 0:
            factor = root(divide(remaining, free), inverse)
            mantissa, exponent = quotient(eps, largest)
            mantissa, extra = math.frexp(mantissa * factor[0])
            following = mantissa, np.int64(exponent + extra + factor[1])
            if passes > 0 and not exceeds(following, eta):
                return eta
            eta, before = following, count
        elif passes == 0 and eta[0] > 0:
            eta = (0.0, np.int64(0))
        else:
            return eta if largest > 0 else largest_breakpoint(row, team)
        passes += 1


@device
def solve_maximum(row, eps, team):
    """Return eta for p = inf."""
    reachable, i = 0.0, place_in(team)
    while i < row[5]:
        reachable = max(reachable, moves(row, i)[0])
        i += size_of(team)
    reachable = min(team_max(reachable, team), eps)
    largest, i = 0.0, place_in(team)
    while i < row[5]:
        distance, abs_delta = moves(row, i)
        largest = max(largest, abs_delta if distance >= reachable else 0.0)
        i += size_of(team)
    largest = team_max(largest, team)
    if reachable == 0 or largest == 0:
        return 0.0, np.int64(0)
    mantissa, exponent = arrival(reachable, largest)
    return mantissa, np.int64(exponent)


@device
def step_at(row, i, eta):
    """Return min(eta*|delta|, room) of element i as mantissa and exponent."""
    distance, abs_delta = moves(row, i)
    if distance == 0:
        return 0.0, np.int64(0)
    mantissa, exponent = step(distance, abs_delta, eta)
    return mantissa, np.int64(exponent)


@device
def norm_reached(row, norm, eta, team):
    """Return N(eta), which is R for an eta beyond all breakpoints."""
    unit, i = (0.0, np.int64(0)), place_in(team)
    while i < row[5]:
        unit = larger(step_at(row, i, eta), unit)
        i += size_of(team)
    unit = team_largest(unit, team)
    if unit[0] == 0 or len(norm) == MAXIMUM:
        return to_float(unit[0], unit[1])
    (p, inverse), total, i = powers_of(norm), (0.0, 0.0), place_in(team)
    while i < row[5]:
        size = step_at(row, i, eta)
        if size[0] > 0:
            total = add(total, raised(size[0] / unit[0], size[1] - unit[1], p))
        i += size_of(team)
    mantissa, exponent = root(team_total(total, team), inverse)
    return to_float(mantissa * unit[0], exponent + unit[1])


@device
def as_size(eta):
    """Return a float64 that is not negative as mantissa and exponent; infinity is beyond all breakpoints."""
    if eta == math.inf:
        return BEYOND[0], np.int64(BEYOND[1])
    mantissa, exponent = math.frexp(eta)
    return mantissa, np.int64(exponent)


@kernel
def solve_pairs(x, delta, lower, upper, count, n, norm, eps, of_all, eta, verdict, results):
    """Store eta, the verdict, and for rows NEEDS_MORE_DIGITS also eta as mantissa and exponent.

    With `of_all`, rows that are DONE and move need more digits as well.
    """
    team = (cuda.shared.array(SLOTS, np.float64),)
    lower, upper = loaded(lower), loaded(upper)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        known, kind, found = eta[r], verdict[r], (0.0, np.int64(0))
        if kind == NEEDS_MORE_DIGITS or (of_all and kind == DONE and known > 0):
            kind = NEEDS_MORE_DIGITS
            row, goal = (x, delta, lower, upper, r, n), at(eps, r, 0, np.float64)
            if len(norm) == MAXIMUM:
                found = solve_maximum(row, goal, team)
            else:
                p, inverse = powers_of(norm)
                found = solve_finite(row, goal, p, inverse, as_size(known), team)
            known = to_float(found[0], found[1])
        if cuda.threadIdx.x == 0:
            results[0][r], results[1][r] = known, kind
            results[2][r], results[3][r] = found
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y


@kernel
def measure_pairs(x, delta, lower, upper, count, n, norm, verdict, eta, reached):
    """Store the norms that rows reach at eta, NaN for rows without an answer; with eta = (inf,), R."""
    team = (cuda.shared.array(SLOTS, np.float64),)
    lower, upper = loaded(lower), loaded(upper)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        scale, found = at(eta, r, 0, np.float64), math.nan
        if (verdict[r] == DONE or verdict[r] == NEEDS_MORE_DIGITS) and not math.isnan(scale):
            found = norm_reached((x, delta, lower, upper, r, n), norm, as_size(scale), team)
        if cuda.threadIdx.x == 0:
            reached[r] = found
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y


@kernel
def rescale_pairs(x, delta, lower, upper, count, n, verdict, eta, mantissa, exponent, largest, out):
    """Store clip(x + eta*delta) of all rows, a thread an element; out may be x or delta."""
    r, i = my_element()
    if r < count and i < n:
        x_i, delta_i, low, high = element((x, delta, lower, upper, r, n), i, np.float64)
        v = moved(x_i, delta_i, low, high, largest, eta[r])
        if verdict[r] == NEEDS_MORE_DIGITS and not math.isnan(eta[r]):
            distance, abs_delta = room(x_i, delta_i, low, high), abs(delta_i)
            scale, v = (mantissa[r], exponent[r]), x_i
            if abs_delta > 0 and is_clipped(distance, abs_delta, scale):
                v = high if delta_i > 0 else low
            elif abs_delta > 0:
                size, extra = step(distance, abs_delta, scale)
                v = x_i + math.copysign(to_float(size, extra), delta_i)
            v = min(max(v, low, -largest), high, largest)
        store(out, r, i, v)
