"""Sort and scan for a row too long to sort in little memory: find the breakpoints around the root first.

Positive floats order as their bit patterns do. Counting the breakpoints and summing up their caps and
weights by leading bits tells which of those the root lies between; and so on, until few are left to sort.
"""

import numpy as np

from numba_car._core.constants import MAX_PASSES
from numba_car._core.newton import advance
from numba_car._core.norms import STORED_POWERS
from numba_car._core.verdicts import PENDING, SLOW
from numba_car._cpu.maxima import bits_of, size_of_bits
from numba_car._cpu.row import parts_of
from numba_car._cpu.sums import add, fill_powers, row_sums
from numba_car._jit import rows

_DIGIT, _ALL = 12, 63  # bits that a pass looks at, of those of a key
CHUNK = 4096  # elements whose powers are in memory at a time


@rows
def _powers_from(start, row, norm, unit, max_abs_delta, powers):
    """Return the caps and weights of a chunk of a row, which stay until the next chunk's."""
    here = parts_of(row, start, min(start + CHUNK, row[0].size))
    caps, weights = powers[0, : here[0].size], powers[1, : here[0].size]
    fill_powers(here, norm, unit, max_abs_delta, caps, weights)
    return caps, weights


@rows
def _add_up(caps, weights, low, shift, counts, cap_sums, weight_sums):
    """Add up caps and weights by their breakpoints' distance from low, in units of 2**shift keys."""
    for i in range(caps.size):
        if weights[i] > 0:
            key = bits_of(caps[i] / weights[i])
            place = (key - low) >> shift
            if key >= low and place < counts.size:
                counts[place] += 1
                cap_sums[place] += caps[i]
                weight_sums[place] += weights[i]


@rows
def _first_beyond(target, clipped_sum, low, shift, cap_sums, free_sums):
    """Return the first place at whose end the target is reached, or -1, and the caps before it."""
    for place in range(cap_sums.size):
        following, free_sum = clipped_sum + cap_sums[place], free_sums[place + 1]
        end = size_of_bits(low + ((place + 1) << shift))
        if (following + end * free_sum if free_sum > 0 else following) >= target:
            return place, clipped_sum
        clipped_sum = following
    return -1, clipped_sum


@rows
def narrow(row, norm, unit, max_abs_delta, target, most, powers):
    """Find neighbours among the breakpoints, at most so many, that the root lies between.

    Return the key of the least, the width in bits, the sum of the caps before, and those of the weights
    beyond and from the first on; or a negative key if the target cannot be reached.
    """
    low, shift, clipped_sum, free_sum = 0, _ALL - _DIGIT, 0.0, 0.0
    while True:
        counts, sums = np.zeros(1 << _DIGIT, np.int64), np.zeros((2, 1 << _DIGIT))
        for start in range(0, row[0].size, CHUNK):
            caps, weights = _powers_from(start, row, norm, unit, max_abs_delta, powers)
            _add_up(caps, weights, low, shift, counts, sums[0], sums[1])
        free_sums = np.empty(counts.size + 1)
        free_sums[counts.size] = free_sum
        for place in range(counts.size - 1, -1, -1):
            free_sums[place] = free_sums[place + 1] + sums[1, place]
        place, clipped_sum = _first_beyond(target, clipped_sum, low, shift, sums[0], free_sums)
        if place < 0:
            return -1, 0, clipped_sum, 0.0, 0.0
        low, free_sum = low + (place << shift), free_sums[place + 1]
        if counts[place] <= most or shift == 0:
            return low, shift, clipped_sum, free_sum, free_sums[place]
        shift = max(shift - _DIGIT, 0)


@rows
def gather_between(row, norm, unit, max_abs_delta, low, shift, powers, found):
    """List caps, weights and breakpoints with keys from low to low + 2**shift; return how many."""
    count = 0
    for start in range(0, row[0].size, CHUNK):
        caps, weights = _powers_from(start, row, norm, unit, max_abs_delta, powers)
        for i in range(caps.size):
            cap, weight = caps[i], weights[i]
            if weight > 0:
                distance = bits_of(cap / weight) - low
                if distance >= 0 and distance >> shift == 0:
                    found[0, count], found[1, count], found[2, count] = cap, weight, cap / weight
                    count += 1
    return count


@rows
def iterate_long(row, norm, unit, max_abs_delta, target, t, block, powers):
    """Do as `iterate` does, with the powers of a chunk at a time."""
    is_first = True
    for _ in range(MAX_PASSES):
        first, first_lost, second, second_lost = 0.0, 0.0, 0.0, 0.0
        for start in range(0, row[0].size, CHUNK):
            caps, weights = _powers_from(start, row, norm, unit, max_abs_delta, powers)
            a, b = row_sums((caps, weights, 0.0, 0.0), STORED_POWERS, t, block, block)
            first, first_lost = add(first, first_lost, a)
            second, second_lost = add(second, second_lost, b)
        t, verdict = advance(t, target, first + first_lost, second + second_lost, is_first, 0.0)
        if verdict != PENDING:
            return t, verdict
        is_first = False
    return t, SLOW
