"""Radix selection, for rows too long to sort in little memory: find the breakpoints around the root first.

Positive floats order as their bit patterns do. The numbers of breakpoints, and the sums of their caps and
weights, by leading bits tell between which of them the root lies; the next bits narrow that range until few are left.
"""

import numpy as np

from numba_car._cpu.maxima import bits_of, size_of_bits
from numba_car._cpu.terms import recompute
from numba_car._jit import rows

_DIGIT, _ALL = 12, 63  # bits of a key that one pass distinguishes, and all bits of a key
_CHUNK = 4096  # elements whose powers are in memory at a time


@rows
def _chunk(terms, norm, start):
    """Return the caps and weights of a chunk of `RECOMPUTED` terms."""
    caps, weights, _, _ = recompute(terms, norm, start, min(start + _CHUNK, terms[0].size))
    return caps, weights


@rows
def _add_up(caps, weights, low, shift, counts, cap_sums, weight_sums):
    """Add caps and weights to the sums of their breakpoints' place: their distance from low in 2**shift keys."""
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
    """Return the first place at whose end the target is reached, or -1, and the sum of the caps before it."""
    for place in range(cap_sums.size):
        following, free_sum = clipped_sum + cap_sums[place], free_sums[place + 1]
        end = size_of_bits(low + ((place + 1) << shift))
        if (following + end * free_sum if free_sum > 0 else following) >= target:
            return place, clipped_sum
        clipped_sum = following
    return -1, clipped_sum


@rows
def select(terms, norm, target, most):
    """Return a range of at most `most` breakpoints in which the root lies.

    The range is the key of its lower end, its width in bits, the sum of the caps before, and the sums of the weights
    beyond and from the lower end on; or a negative key if the target cannot be reached.
    """
    low, shift, clipped_sum, free_sum = 0, _ALL - _DIGIT, 0.0, 0.0
    while True:
        counts, sums = np.zeros(1 << _DIGIT, np.int64), np.zeros((2, 1 << _DIGIT))
        for start in range(0, terms[0].size, _CHUNK):
            caps, weights = _chunk(terms, norm, start)
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
def gather_between(terms, norm, low, shift, found):
    """Store caps, weights and breakpoints with keys from low to low + 2**shift; return how many there are."""
    count = 0
    for start in range(0, terms[0].size, _CHUNK):
        caps, weights = _chunk(terms, norm, start)
        for i in range(caps.size):
            cap, weight = caps[i], weights[i]
            if weight > 0:
                distance = bits_of(cap / weight) - low
                if distance >= 0 and distance >> shift == 0:
                    found[0, count], found[1, count], found[2, count] = cap, weight, cap / weight
                    count += 1
    return count
