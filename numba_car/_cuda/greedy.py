"""Best ascent for p = 1, a team a row: the pivot, then y; `_cpu/greedy.py` says what they are.

The size |g| of the pivot is found by halving a range of bit patterns, then, among elements of that size, its index
by halving a range of indices: a pass over the row each.
"""

import functools
import math
from typing import Any

import numpy as np
from numba import cuda

from numba_car._core.double_double import grid_of, on_grid, two_sum
from numba_car._core.norms import is_float32
from numba_car._core.selection import room_in_units, units_of_rooms
from numba_car._core.verdicts import PENDING
from numba_car._cuda.exact import bits_of, size_of_bits
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.measure import max_abs
from numba_car._cuda.newton import report_number
from numba_car._cuda.row import at, element, loaded, my_element, store
from numba_car._cuda.team import SLOTS, place_in, size_of, team_sum
from numba_car._cuda.terms import NO_TERMS
from numba_car._cuda.validate import read_and_validate
from numba_car._layout import DType

_DIGITS = 29  # by which float64 is longer than float32


@device
def room_in(row, i, units):
    """Return |g| and the room of element i in units."""
    x, g, lower, upper = element(row, i, np.float64)
    return abs(g), room_in_units(x, g, lower, upper, units)


@device
def sum_before(row, size, last, units, team):
    """Return the rooms of the elements with |g| > size, and of those with |g| = size up to an index, as a pair."""
    grid, total, lost, i = grid_of(units[0]), 0.0, 0.0, place_in(team)
    while i < row[5]:
        here, distance = room_in(row, i, units)
        if here > size or (here == size and i <= last):
            high = on_grid(distance, grid)
            total, error = two_sum(total, high)
            lost += error + (distance - high)
        i += size_of(team)
    return team_sum(total, team), team_sum(lost, team)


@device
def exceeds(row, size, last, units, target, team):
    """Return whether the sum of `sum_before` is beyond the target."""
    total, lost = sum_before(row, size, last, units, team)
    return (total - target) + lost > 0


@device
def select_row(row, eps, like, team):
    """Return the index of the pivot, its |g|, and the rest of eps for it.

    They are -1, 0 and 0 if all rooms together are at most eps.
    """
    units, none = units_of_rooms(eps), np.int64(-1)
    target, n = eps * units[1], row[5]
    if not exceeds(row, 0.0, none, units, target, team):
        return none, 0.0, 0.0
    shift = _DIGITS if is_float32(like) else 0  # sizes of float32 have as many zeros at the end
    low, high = np.int64(0), bits_of(max_abs(row, team)) >> shift
    while high - low > 1:
        middle = low + ((high - low) >> 1)  # without overflow
        if exceeds(row, size_of_bits(middle << shift), none, units, target, team):
            low = middle
        else:
            high = middle
    size, before, pivot = size_of_bits(high << shift), none, n - 1
    while pivot - before > 1:
        middle = (before + pivot) >> 1
        if exceeds(row, size, middle, units, target, team):
            pivot = middle
        else:
            before = middle
    total, lost = sum_before(row, size, before, units, team)
    _, distance = room_in(row, pivot, units)
    rest = min(max((target - total) - lost, 0.0), distance)
    return pivot, size, rest / units[1]


@functools.cache
def pivot_kernel(dtype: DType) -> Any:
    """Return the kernel that finds pivots, for rows that are computed in that dtype."""
    real = dtype.type

    @kernel
    def select_rows(x, g, lower, upper, count, n, eps, slack, pivot, size, rest, verdict, first):
        """Store the pivots of all rows, their |g|, and the rests of eps for them; the rest is NaN for bad rows."""
        lower, upper = loaded(lower), loaded(upper)
        team, like = (cuda.shared.array(SLOTS, np.float64),), real(0)
        r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
        while r < count:
            row, goal = (x, g, lower, upper, r, n), at(eps, r, 0, np.float64)
            _, validity = read_and_validate(row, slack, like, NO_TERMS, team)
            place, largest, left = np.int64(-1), 0.0, 0.0
            if validity == PENDING and 0 <= goal < math.inf:
                place, largest, left = select_row(row, goal, like, team)
            report_number(r, validity, goal, left, rest, verdict, first)
            if cuda.threadIdx.x == 0:
                pivot[r], size[r] = place, largest
            r += np.int64(cuda.gridDim.x) * cuda.blockDim.y

    return select_rows


@device
def takes_all(here, size, i, pivot):
    """Return whether element i, whose |g| is `here`, comes before the pivot, whose |g| is `size`: it takes all its room."""
    return here > size or (here == size and i < pivot)


@kernel
def write_pivots(x, g, lower, upper, count, n, pivot, size, rest, largest, out):
    """Store y of all rows, a thread an element; out may be x or g."""
    r, i = my_element()
    if r < count and i < n:
        x_i, g_i, lower_i, upper_i = element((x, g, lower, upper, r, n), i, np.float64)
        low, high = max(lower_i, -largest), min(upper_i, largest)
        k = pivot[r]
        if takes_all(abs(g_i), size[r], i, k):
            y = high if g_i > 0 else low
        else:
            step = rest[r] if i == k else 0.0
            y = min(max(x_i + (step if g_i > 0 else -step), low), high)
        store(out, r, i, math.nan if math.isnan(rest[r]) else y)
