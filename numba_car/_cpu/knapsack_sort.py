"""The multiplier of the projection of one row for p = 1 by sorting and scanning its 2n breakpoints.

With the tops |d| and the bottoms |d| - room, phi(lam) = sum_{tops > lam} (top - lam) - sum_{bottoms > lam}
(bottom - lam). From the largest breakpoint down, phi grows from 0; the piece on which it reaches eps has the root.
"""

import numpy as np

from numba_car._core.coordinate import room
from numba_car._cpu.row import element
from numba_car._cpu.sort import _INDEX, _radix_sort
from numba_car._cpu.sums import add
from numba_car._jit import rows


@rows
def _gather(row, low, high, breakpoints, indices):
    """Store the breakpoints from low to high, tops with even indices, bottoms with odd ones.

    Return their number, the sum of all tops less that of all bottoms beyond, and the number of tops less bottoms.
    """
    count, total, lost, free = 0, 0.0, 0.0, 0.0
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
            breakpoints[count], indices[count] = top, 2 * count
            count += 1
        if bottom >= low:
            breakpoints[count], indices[count] = bottom, 2 * count + 1
            count += 1
    return count, total + lost, free


@rows
def _scan(breakpoints, words, total, free, target, low):
    """Return the multiplier on the first piece from the right that reaches the target."""
    lost = 0.0
    for k in range(words.size - 1, -1, -1):
        index = words[k] & _INDEX
        value = breakpoints[index >> 1]
        if (total - free * value) + lost >= target:
            break
        sign = -1.0 if index & 1 else 1.0
        total, lost = add(total, lost, sign * value)
        free += sign
    return max(((total - target) + lost) / free, low) if free > 0 else low


@rows
def sort_row(row, eps, low, high):
    """Return the multiplier between two numbers, near its root, by sorting the breakpoints between them."""
    size = 2 * row[0].size
    breakpoints, words, spare = np.empty(size), np.empty(size, np.int64), np.empty(size, np.int64)
    count, total, free = _gather(row, low, high, breakpoints, words)
    if count == 0:
        return max((total - eps) / free, low) if free > 0 else low
    ordered, _ = _radix_sort(breakpoints[:count], words[:count], spare[:count])
    return _scan(breakpoints, ordered, total, free, eps, low)
