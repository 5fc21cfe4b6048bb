"""The paper's method on one row: sort the breakpoints, scan the sums, pick the piece."""

import numpy as np

from numba_car._core.constants import BLOCK_POWERS, MOST_SORTED
from numba_car._core.coordinate import is_clipped
from numba_car._core.newton import conclude
from numba_car._core.norms import ONE, STORED_POWERS, term, unit_of
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, PENDING, SATURATED
from numba_car._cpu.maxima import bits_of, max_abs
from numba_car._cpu.newton import iterate
from numba_car._cpu.radix_select import gather_between, select
from numba_car._cpu.row import rows_of
from numba_car._cpu.solve_row import residue, rest_of_target
from numba_car._cpu.sums import add
from numba_car._cpu.terms import raise_row
from numba_car._jit import kernel, rows

_DIGITS, _BITS, _INDEX_BITS = 4, 8, 32  # a key of 31 bits is sorted by four digits of eight bits
_INDEX = (1 << _INDEX_BITS) - 1
SCRATCH_ROWS = 5  # caps, weights, breakpoints, their indices, and spare memory
_BELOW = 1.0 - 1e-9  # times a rounded lower bound of eta: a bound that rounding cannot break


@rows
def _fill_words(breakpoints, words, counts):
    """Put 31 leading bits of each breakpoint's place in their range before its index; count digits."""
    low = high = bits_of(breakpoints[0])
    for value in breakpoints:
        low, high = min(low, bits_of(value)), max(high, bits_of(value))
    shift = 0
    while (high - low) >> shift >= 1 << 31:
        shift += 1
    for i in range(breakpoints.size):
        key = (bits_of(breakpoints[i]) - low) >> shift
        words[i] |= key << _INDEX_BITS
        for digit in range(_DIGITS):
            counts[digit, (key >> (_BITS * digit)) & ((1 << _BITS) - 1)] += 1


@rows
def _radix_sort(breakpoints, words, spare):
    """Return indices in the order of their breakpoints, as the lower bits of words, and spare memory.

    Breakpoints are in order to within 2**-31 of their range as bit patterns, some 2**-20 of themselves.
    """
    counts = np.zeros((_DIGITS, 1 << _BITS), np.int64)
    _fill_words(breakpoints, words, counts)
    for digit in range(_DIGITS):
        place, shift = counts[digit], _INDEX_BITS + _BITS * digit
        if place.max() == words.size:
            continue  # all share this digit
        start = 0
        for value in range(place.size):
            start, place[value] = start + place[value], start
        for word in words:
            value = (word >> shift) & ((1 << _BITS) - 1)
            spare[place[value]] = word
            place[value] += 1
        words, spare = spare, words
    return words, spare


@rows
def _gather(caps, weights, start, breakpoints, indices):
    """Store the breakpoints beyond start; return their number, and the sum of the caps of those before."""
    count, clipped_sum, lost = 0, 0.0, 0.0
    for i in range(caps.size):
        if weights[i] > 0:
            if is_clipped(weights[i], caps[i], start):
                clipped_sum, lost = add(clipped_sum, lost, caps[i])
            else:
                breakpoints[count], indices[count] = caps[i] / weights[i], i
                count += 1
    return count, clipped_sum + lost


@rows
def _scan(caps, weights, target, clipped_sum, beyond, words, free_sums):
    """Return t on the first piece that reaches the target; weights of sum `beyond` are free on all pieces."""
    free_sum = beyond
    for k in range(words.size - 1, -1, -1):
        free_sum += weights[words[k] & _INDEX]
        free_sums[k] = free_sum
    t, lost, reached = 0.0, 0.0, 0.0
    for k in range(words.size):
        i = words[k] & _INDEX
        t = (target - (clipped_sum + lost)) / free_sums[k]
        here = caps[i] / weights[i]
        if t <= here:
            return max(t, reached), DONE
        reached = here
        clipped_sum, lost = add(clipped_sum, lost, caps[i])
    if beyond > 0:
        return max((target - (clipped_sum + lost)) / beyond, reached), DONE
    return t, SATURATED


@rows
def _sorted_scan(scratch, count, target, clipped_sum, beyond):
    """Return t and the verdict of `_scan`, after sorting that many breakpoints, whose indices follow them."""
    if count == 0:
        return 0.0, SATURATED
    words, spare = scratch[3, :count].view(np.int64), scratch[4, :count].view(np.int64)
    words, spare = _radix_sort(scratch[2, :count], words, spare)
    free_sums = spare.view(np.float64)
    return _scan(scratch[0], scratch[1], target, clipped_sum, beyond, words, free_sums)


@rows
def _sort_long_row(row, norm, eps, max_abs_delta, block, scratch):
    """Return eta and the verdict as `sort_row` does, with scratch memory for MOST_SORTED elements only."""
    unit, largest = unit_of(eps, norm, False), unit_of(max_abs_delta, norm, False)
    x, delta, lower, upper = row
    terms = x, delta, lower, upper, unit, largest
    target = term(eps / unit, norm)
    low, shift, clipped_sum, beyond, free = select(terms, norm, target, MOST_SORTED)
    if low < 0:
        return 0.0, SATURATED
    if shift == 0:  # all that are left are equal, and there may be any number of them
        t, verdict = (target - clipped_sum) / free, DONE
    else:
        count = gather_between(terms, norm, low, shift, scratch)
        indices = scratch[3].view(np.int64)
        for i in range(count):
            indices[i] = i
        t, verdict = _sorted_scan(scratch, count, target, clipped_sum, beyond)
    if verdict == DONE:
        t, verdict = _sum_once_more(terms, norm, target, t, block)
    return conclude(unit / largest, t, 0.0, norm, verdict)


@rows
def _sum_once_more(terms, norm, target, t, block):
    """Return t and the verdict after Newton steps from the t of a scan, whose sums are long chains that round."""
    t, verdict = iterate(terms, norm, target, t, 0.0, 0.0, block, block)
    return t, DONE if verdict == PENDING else verdict


@rows
def sort_row(row, norm, eps, least, block, scratch):
    """Return eta, which is known to be at least `least`, and the verdict."""
    max_abs_delta = max_abs(row[1])
    if eps == 0 or max_abs_delta == 0:
        return 0.0, DONE
    n = row[0].size
    if n > MOST_SORTED:
        return _sort_long_row(row, norm, eps, max_abs_delta, block, scratch)
    terms, unit, largest = raise_row(row, norm, eps, max_abs_delta, scratch)
    caps, weights, _, _ = terms
    target, scale = term(eps / unit, norm), unit / largest
    start = term(least / scale, norm) if least > 0 else 0.0
    indices = scratch[3].view(np.int64)
    count, clipped_sum = _gather(caps[:n], weights[:n], start, scratch[2], indices)
    t, verdict = _sorted_scan(scratch, count, target, clipped_sum, 0.0)
    if verdict == DONE:
        t, verdict = _sum_once_more(terms, STORED_POWERS, target, t, block)
    lost = residue(terms, norm, target, t, verdict, rest_of_target(eps / unit, norm))
    return conclude(scale, t, lost, norm, verdict)


@kernel
def sort_rows(x, delta, lower, upper, n, eps, norm, block, scratch, eta, verdict):
    """Solve the PENDING, whose eta is a lower bound, and the NEEDS_MORE_DIGITS of a block of rows."""
    block = min(block, BLOCK_POWERS) if len(norm) == ONE else block  # no root halves what sums lose
    for r in range(eps.size):
        if verdict[r] == PENDING or verdict[r] == NEEDS_MORE_DIGITS:
            row = rows_of(x, delta, lower, upper, r, n)
            least = eta[r] * _BELOW if verdict[r] == PENDING else 0.0
            eta[r], verdict[r] = sort_row(row, norm, eps[r], least, block, scratch)
