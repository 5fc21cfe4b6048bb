"""Best ascent for p = 1: which elements of a row take all their room, and which one takes the rest of eps.

In the order of falling |g|, and of the index where these are equal, elements take all their room towards sign(g)
until eps is spent. The element that spends it is the *pivot*. A selection finds it in O(n): a sample proposes two sizes
|g|, the sums of room above them tell between which sizes the pivot lies, and the elements in between are
gathered and narrowed likewise, until few are left to sort, or all left are of one size.

This is `docs/derivation.md`, eq. (46). Rooms are cut at twice eps, which changes no comparison of sums with eps, and
summed in two parts, of which the first is exact: so every order of summation agrees on the pivot.
"""

import math

import numpy as np
from numba.extending import register_jitable

from numba_car._core.constants import MOST_SORTED
from numba_car._core.double_double import grid_of, on_grid
from numba_car._core.selection import room_in_units, units_of_rooms
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, NOT_FINITE, PENDING
from numba_car._cpu.maxima import bits_of, size_of_bits
from numba_car._cpu.row import element, parts_of, rows_of
from numba_car._cpu.sums import add
from numba_car._cpu.validate import needs_validation
from numba_car._jit import formula, kernel, loop, rows

_FEW = 32  # elements that are sorted by insertion
_SAMPLE = 64  # sizes in a sample
_SPREAD = 1.5  # standard deviations, roughly, between the estimate of the pivot's place in a sample and each proposal
_BUCKETS = 256  # of sizes, as bit patterns, whose rooms are summed at a time
_EXACT = 1 << 10  # elements of one block of a sum that is exact
_SCANNED = 1 << 6  # elements whose sum is taken before they are looked at one by one
SCRATCH_ROWS = 4  # rooms, -|g|, indices, and places of gathered elements


def scratch_for(n: int) -> np.ndarray:
    """Return the scratch memory of `select_rows` for rows of n elements."""
    return np.empty((SCRATCH_ROWS, min(n, MOST_SORTED)))


register_jitable(scratch_for)  # as a decorator, it would hide its type


@loop
def _sum_above(row, first, second, units, grid):
    """Return the sums over a block of the rooms with |g| > first, and with |g| > second, each in two parts."""
    a, a_rest, b, b_rest = 0.0, 0.0, 0.0, 0.0
    for i in range(row[0].size):
        x, g, lower, upper = element(row, i, np.float64)
        distance, size = room_in_units(x, g, lower, upper, units), abs(g)
        high = on_grid(distance, grid)
        low = distance - high
        a += high if size > first else 0.0
        a_rest += low if size > first else 0.0
        b += high if size > second else 0.0
        b_rest += low if size > second else 0.0
    return a, a_rest, b, b_rest


@rows
def _sums(row, first, second, base, base_lost, units):
    """Return the sums of `_sum_above` over a row, each added to a pair (base, lost)."""
    a, a_lost, b, b_lost = base, base_lost, base, base_lost
    grid = grid_of(units[0])
    for start in range(0, row[0].size, _EXACT):
        here = parts_of(row, start, min(start + _EXACT, row[0].size))
        a_block, a_rest, b_block, b_rest = _sum_above(here, first, second, units, grid)
        a, a_lost = add(a, a_lost + a_rest, a_block)
        b, b_lost = add(b, b_lost + b_rest, b_block)
    return a, a_lost, b, b_lost


@formula
def _exceeds(total, lost, target):
    return (total - target) + lost > 0


@formula
def _size_before(size):
    return size_of_bits(bits_of(size) - 1) if size > 0 else 0.0


@rows
def _draw(row, units, sizes, rooms):
    """Store the sizes and rooms of a sample of a row, by falling size; return how many."""
    stride = max(1, (row[0].size // _SAMPLE - 1) | 1)  # odd: images have sides of even length
    count = min(_SAMPLE, (row[0].size - 1) // stride + 1)
    for k in range(count):
        x, g, lower, upper = element(row, k * stride, np.float64)
        size, place = abs(g), k
        while place > 0 and sizes[place - 1] < size:
            sizes[place], rooms[place] = sizes[place - 1], rooms[place - 1]
            place -= 1
        sizes[place], rooms[place] = size, room_in_units(x, g, lower, upper, units)
    return count


@rows
def _propose_by_sample(row, missing, units):
    """Return two sizes, second <= first, between which that of the pivot probably is."""
    sizes, rooms = np.empty(_SAMPLE), np.empty(_SAMPLE)
    count = _draw(row, units, sizes, rooms)
    target, total, place = missing * (count / row[0].size), 0.0, 0
    while place < count - 1 and total + rooms[place] <= target:
        total += rooms[place]
        place += 1
    spread = 2 + int(_SPREAD * math.sqrt(min(place, count - place)))
    first, second = sizes[max(place - spread, 0)], sizes[min(place + spread, count - 1)]
    return first, _size_before(second)  # elements of the size of second are in between


@rows
def _propose_by_digit(row, low, high, missing, units):
    """Return two sizes, second <= first, that agree in 7 more bits than low and high do: the pivot's are in between.

    Unless rounding misplaces it. `missing` is the sum of room that the elements from high downwards still have to reach.
    """
    least, shift = bits_of(low) + 1, 0
    while (bits_of(high) - least) >> shift >= _BUCKETS:
        shift += 1
    sums = np.zeros(_BUCKETS)
    for i in range(row[0].size):
        x, g, lower, upper = element(row, i, np.float64)
        key = bits_of(abs(g)) - least
        if 0 <= key <= bits_of(high) - least:
            sums[key >> shift] += room_in_units(x, g, lower, upper, units)
    place = (bits_of(high) - least) >> shift
    while place > 0 and sums[place] <= missing:
        missing -= sums[place]
        place -= 1
    before = least - 1 + (place << shift)
    return min(size_of_bits(before + (1 << shift)), high), size_of_bits(before)


@loop
def _mark(row, low, high, units, rooms, deltas, marks):
    """Store rooms and -|g| of a block of elements, and whether low < |g| <= high."""
    for i in range(row[0].size):
        x, g, lower, upper = element(row, i, np.float64)
        size = abs(g)
        rooms[i], deltas[i] = room_in_units(x, g, lower, upper, units), -size
        marks[i] = (size > low) & (size <= high)


@rows
def _gather(row, low, high, units, rooms, deltas, places):
    """Store rooms, -|g| and places of the elements with low < |g| <= high; return how many, -1 if too many.

    The arrays may be those of the row.
    """
    count, n = 0, row[0].size
    block, marks = np.empty((2, _EXACT)), np.empty(_EXACT, np.uint8)
    for start in range(0, n, _EXACT):
        stop = min(start + _EXACT, n)
        if count + (stop - start) > places.size:
            return -1
        _mark(parts_of(row, start, stop), low, high, units, block[0], block[1], marks)
        found = 0
        for i in range(stop - start):  # without a branch
            places[count + found] = i
            found += int(marks[i])
        for k in range(count, count + found):
            i = places[k]
            rooms[k], deltas[k], places[k] = block[0, i], block[1, i], start + i
        count += found
    return count


@rows
def _sort(rooms, deltas, indices):
    """Sort a few elements by falling size; those of one size stay in their order."""
    for i in range(1, rooms.size):
        distance, delta, index = rooms[i], deltas[i], indices[i]
        place = i
        while place > 0 and deltas[place - 1] > delta:
            rooms[place], deltas[place] = rooms[place - 1], deltas[place - 1]
            indices[place] = indices[place - 1]
            place -= 1
        rooms[place], deltas[place], indices[place] = distance, delta, index


@rows
def _scan(row, low, high, above, lost, target, units):
    """Return the place of the pivot and the rest for it, where the elements with low < |g| <= high are in order.

    `above + lost` is the sum of room of all elements before them. Without a pivot the place is -1.
    """
    n, grid = row[0].size, grid_of(units[0])
    for start in range(0, n, _SCANNED):
        stop = min(start + _SCANNED, n)
        a, a_rest, b, b_rest = _sum_above(parts_of(row, start, stop), high, low, units, grid)
        following, following_lost = add(above, lost + (b_rest - a_rest), b - a)
        if not _exceeds(following, following_lost, target):
            above, lost = following, following_lost
            continue
        for i in range(start, stop):
            x, g, lower, upper = element(row, i, np.float64)
            if low < abs(g) <= high:
                distance = room_in_units(x, g, lower, upper, units)
                following, following_lost = add(above, lost, distance)
                if _exceeds(following, following_lost, target):
                    return i, min(max((target - above) - lost, 0.0), distance)
                above, lost = following, following_lost
    if (
        low > 0
    ):  # sums in another order differ by less than 2**-80: the last element takes all its room
        for i in range(n - 1, -1, -1):
            x, g, lower, upper = element(row, i, np.float64)
            if low < abs(g) <= high:
                return i, room_in_units(x, g, lower, upper, units)
    return -1, 0.0


@formula
def _is_one_size(low, high):
    return bits_of(high) - bits_of(low) <= 1


@rows
def _narrow(row, low, high, above, lost, base, base_lost, target, sampled, units):
    """Return a narrower range of sizes, low < |g| <= high, that holds the pivot, and the sum of room above it.

    `base + base_lost` is the sum of room above all elements of this row.
    """
    missing = max(target - above, 0.0)
    if sampled:
        first, second = _propose_by_sample(row, missing, units)
    else:
        first, second = _propose_by_digit(row, low, high, missing, units)
    a, a_lost, b, b_lost = _sums(row, first, second, base, base_lost, units)
    if _exceeds(a, a_lost, target):
        return first, high, above, lost
    if _exceeds(b, b_lost, target) or 0 < second <= low:
        return second, first, a, a_lost
    return low, second, b, b_lost


@rows
def _select_gathered(rooms, deltas, indices, places, low, high, above, lost, target, units):
    """Return the index of the pivot and the rest for it, among gathered elements."""
    count, units = rooms.size, (units[0], 1.0)
    while count > _FEW and not _is_one_size(low, high):
        here = rooms[:count], deltas[:count], 0.0, math.inf  # reads like a row
        given = low, high, above, lost, above, lost
        low, high, above, lost = _narrow(here, *given, target, False, units)
        count = _gather(here, low, high, units, rooms, deltas, places)
        for i in range(count):
            indices[i] = indices[places[i]]
    if not _is_one_size(low, high):
        _sort(rooms[:count], deltas[:count], indices[:count])
    here = rooms[:count], deltas[:count], 0.0, math.inf
    place, rest = _scan(here, low, high, above, lost, target, units)
    return (indices[place] if place >= 0 else -1), rest


@rows
def select_row(row, eps, scratch):
    """Return the index of the pivot and the rest of eps for it; -1 and 0 if all rooms together are at most eps."""
    units = units_of_rooms(eps)
    target, low, high, above, lost = eps * units[1], 0.0, math.inf, 0.0, 0.0
    rooms, deltas = scratch[0], scratch[1]
    indices, places = scratch[2].view(np.int64), scratch[3].view(np.int64)
    count, sampled = -1, True
    if row[0].size <= _SAMPLE:
        count = _gather(row, low, high, units, rooms, deltas, indices)
    while count < 0:
        given = low, high, above, lost, 0.0, 0.0
        low, high, above, lost = _narrow(row, *given, target, sampled, units)
        if _is_one_size(low, high):
            place, rest = _scan(row, low, high, above, lost, target, units)
            return place, rest / units[1]
        count, sampled = _gather(row, low, high, units, rooms, deltas, indices), False
    found = rooms[:count], deltas[:count], indices[:count], places[:count]
    index, rest = _select_gathered(*found, low, high, above, lost, target, units)
    return index, rest / units[1]


@kernel
def select_rows(x, g, lower, upper, n, eps, scratch, validated, pivot, rest, verdict):
    """Store the pivots of the PENDING of a block of rows, and the rests for them; return whether all rows are DONE.

    Unless `validated`, rows that need validation are left as they are. Afterwards those that are NOT_FINITE get the
    rest NaN.
    """
    all_done = True
    for r in range(eps.size):
        if verdict[r] == PENDING or (validated and verdict[r] == NEEDS_MORE_DIGITS):
            row = rows_of(x, g, lower, upper, r, n)
            if validated or not needs_validation(row):
                pivot[r], rest[r] = select_row(row, eps[r], scratch)
                verdict[r] = DONE
        elif verdict[r] == NOT_FINITE:
            pivot[r], rest[r] = -1, math.nan
        all_done &= verdict[r] == DONE
    return all_done
