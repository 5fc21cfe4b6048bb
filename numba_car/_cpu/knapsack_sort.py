"""The multiplier of the projection of one row for p = 1 by sorting and scanning its 2n breakpoints.

With the tops |d| and the bottoms |d| - room, phi(lam) = sum_{tops > lam} (top - lam) - sum_{bottoms > lam}
(bottom - lam), see `docs/derivation.md`, eq. (39) and (40). From the largest breakpoint down, phi grows from 0; the
piece on which it reaches eps has the root.
"""

import numpy as np

from numba_car._core.coordinate import room
from numba_car._cpu.row import element
from numba_car._cpu.sums import add
from numba_car._jit import rows

_DIGITS, _BITS = 8, 8  # floats that are not negative are sorted by their bits, in eight digits


@rows
def _radix_sort(values, spare):
    """Return floats that are not negative in order, in either array; both are overwritten.

    The order is complete, unlike that of `sort`: a top and its bottom may differ in their last digits alone.
    """
    words, others = values.view(np.int64), spare.view(np.int64)
    for digit in range(_DIGITS):
        shift, place = _BITS * digit, np.zeros(1 << _BITS, np.int64)
        for word in words:
            place[(word >> shift) & ((1 << _BITS) - 1)] += 1
        if place.max() == words.size:
            continue  # all share this digit
        start = 0
        for value in range(place.size):
            start, place[value] = start + place[value], start
        for word in words:
            value = (word >> shift) & ((1 << _BITS) - 1)
            others[place[value]] = word
            place[value] += 1
        words, others = others, words
    return words.view(np.float64)


@rows
def _gather(row, low, high, tops, bottoms):
    """Store the breakpoints from low to high, tops and bottoms, and return their numbers.

    Return also the sum of all tops less that of all bottoms beyond, and the number of tops less bottoms.
    """
    top_count, bottom_count, total, lost, free = 0, 0, 0.0, 0.0, 0.0
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, np.float64)
        top, distance = abs(z - x), room(x, z - x, lower, upper)
        bottom = top - distance
        if bottom > high:
            total, lost = add(total, lost, distance)
            continue
        if top > high:
            total, lost = add(total, lost, top)
            free += 1.0
        elif top >= low:
            tops[top_count] = top
            top_count += 1
        if bottom >= low:
            bottoms[bottom_count] = bottom
            bottom_count += 1
    return top_count, bottom_count, total + lost, free


@rows
def _scan(tops, bottoms, total, free, target, low):
    """Return the multiplier on the first piece from the right that reaches the target."""
    lost, i, j = 0.0, tops.size - 1, bottoms.size - 1
    while i >= 0 or j >= 0:
        is_top = j < 0 or (i >= 0 and tops[i] >= bottoms[j])
        value = tops[i] if is_top else bottoms[j]
        if (total - free * value) + lost >= target:
            break
        sign = 1.0 if is_top else -1.0
        total, lost = add(total, lost, sign * value)
        free += sign
        i, j = (i - 1, j) if is_top else (i, j - 1)
    return max(((total - target) + lost) / free, low) if free > 0 else low


@rows
def sort_row(row, eps, low, high):
    """Return the multiplier between two numbers, near its root, by sorting the breakpoints between them."""
    n = row[0].size
    tops, bottoms, spare = np.empty(n), np.empty(n), np.empty(n)
    top_count, bottom_count, total, free = _gather(row, low, high, tops, bottoms)
    # The order of both may end in the spare memory.
    tops = _radix_sort(tops[:top_count], spare[:top_count]).copy()
    bottoms = _radix_sort(bottoms[:bottom_count], spare[:bottom_count])
    return _scan(tops, bottoms, total, free, eps, low)
