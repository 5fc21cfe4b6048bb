"""Results on a grid: the eta whose rounded result has the norm nearest to eps, or the largest that is not beyond it.

The grid of an element is lower + k*step, for whole k from 0 to the last k not beyond upper, and x is on it. At eta the
element moves m = round(min(eta*|delta|/step, most)) steps towards sign(delta), where halves are rounded to an even k.
The norm of these whole steps, F(eta), is a staircase that never falls. Let `high` be the least eta of float64 with
F > (eps/step)**p, and `low` the float64 before: the answer is one of these two. See `docs/derivation.md`, eq. (48).

A bracket around the eta of the continuous problem is narrowed until few elements take other numbers of steps at its ends.
These are gathered, and the bit patterns of eta halved until `low` and `high` are neighbours: the sum of the others stays.
While there are many, F is taken where one of them moves on, where perhaps all do, or in the middle of the bit patterns.
"""

import math

import numpy as np

from numba_car._core.double_double import two_product
from numba_car._core.grid import arrive_on_grid, is_off_grid, place, slack_of, steps
from numba_car._core.norms import MAXIMUM, TWO, root, term
from numba_car._cpu.maxima import bits_of, size_of_bits
from numba_car._cpu.row import at, element, row_of, rows_of
from numba_car._cpu.sums import add
from numba_car._jit import formula, kernel, loop, rows

_BLOCK = 1 << 10
_FEW = 256  # elements that are searched by themselves at most
_FARTHER, _NEAREST = (
    1.5,
    2.0**-10,
)  # the first step of a bracket, relative to the missing norm, and to eta
_WIDE, _TIGHTER = (
    1 + 2.0**-5,
    2.0**-5,
)  # the least ratio of the ends of a bracket to be tightened, and to what share
_LARGEST = 2.0**1023
SCRATCH_ROWS = 3  # |delta|, the most steps, and 2 where k of x is odd, else 0


@loop
def _prepare(row, step, slack, sizes, most, odd):
    """Store what `steps` takes of the elements of a row."""
    for i in range(sizes.size):
        x, delta, lower, upper = element(row, i, np.float64)
        _, most[i], odd[i] = place(x, delta, lower, upper, step, slack)
        sizes[i] = abs(delta)


@loop
def _sum_block(sizes, most, odd, rate, norm):
    total = 0.0
    for i in range(sizes.size):
        total += term(steps(sizes[i], most[i], odd[i], rate), norm)
    return total


@loop
def _largest_steps(sizes, most, odd, rate):
    largest = np.int64(0)
    for i in range(sizes.size):
        largest = max(largest, bits_of(steps(sizes[i], most[i], odd[i], rate)))
    return size_of_bits(largest)


@rows
def _staircase(terms, rate, norm):
    """Return F: the sum of powers of whole steps, for p = inf the largest."""
    sizes, most, odd = terms
    if len(norm) == MAXIMUM:
        return _largest_steps(sizes, most, odd, rate)
    total, lost = 0.0, 0.0
    for start in range(0, sizes.size, _BLOCK):
        stop = min(start + _BLOCK, sizes.size)
        here = sizes[start:stop], most[start:stop], odd[start:stop]
        total, lost = add(total, lost, _sum_block(*here, rate, norm))
    return total + lost


@formula
def _norm_of(reached, norm):
    """Return the norm in steps, given F."""
    return reached if len(norm) == MAXIMUM else root(reached, norm)


@rows
def _is_beyond(reached, wanted, norm):
    """Return whether F is beyond that of a norm in steps; for p = 1, 2 and inf of whole steps exactly."""
    if len(norm) == MAXIMUM:
        return reached > wanted
    target, lost = term(wanted, norm), 0.0
    if len(norm) == TWO and wanted < 2.0**400:
        target, lost = two_product(wanted, wanted)
    return (reached - target) > lost


@loop
def _mark(sizes, most, odd, low, high, marks):
    """Store whether the elements of a block take more steps at rate `high` than at `low`."""
    for i in range(sizes.size):
        before = steps(sizes[i], most[i], odd[i], low)
        marks[i] = steps(sizes[i], most[i], odd[i], high) > before


@rows
def _gather(terms, low, high, moving):
    """Store the terms of the elements that take more steps at rate `high` than at `low`; return how many.

    With more than fit, only the first of these are stored.
    """
    sizes, most, odd = terms
    count, marks, places = 0, np.empty(_BLOCK, np.uint8), np.empty(_BLOCK, np.int64)
    for start in range(0, sizes.size, _BLOCK):
        stop = min(start + _BLOCK, sizes.size)
        _mark(sizes[start:stop], most[start:stop], odd[start:stop], low, high, marks)
        found = 0
        for i in range(stop - start):  # without a branch
            places[found] = start + i
            found += int(marks[i])
        for k in range(min(found, moving[0].size - count)):
            i = places[k]
            moving[0, count + k], moving[1, count + k] = sizes[i], most[i]
            moving[2, count + k] = odd[i]
        count += found
        if count > moving[0].size:
            break
    return count


@rows
def _moves_at(size, most, odd, number):
    """Return the rate at which an element reaches that number of steps, in most cases the least of float64."""
    rate = (number - 0.5) / size
    for _ in range(2):
        rate = _neighbour(rate, -1)
    for _ in range(4):
        if steps(size, most, odd, rate) >= number:
            break
        rate = _neighbour(rate, 1)
    return rate


@formula
def _neighbour(value, by):
    return size_of_bits(max(bits_of(value) + by, 0))


@rows
def _bracket(terms, start, reached, wanted, norm):
    """Return rates low < high with F(low) not beyond, and F(high) beyond, and F at both; high is negative if F never is.

    `reached` is F at the start.
    """
    is_beyond = _is_beyond(reached, wanted, norm)
    low, high, at_low, at_high = 0.0, start, 0.0, reached
    if not is_beyond:
        low, high, at_low, at_high = start, -1.0, reached, -1.0
    near = _norm_of(reached, norm)
    share = _FARTHER * abs(near - wanted) / max(near, wanted) + _NEAREST
    while start > 0 and share < 0.5:
        other = start * (1 - share if is_beyond else 1 + share)
        at_other = _staircase(terms, other, norm)
        if _is_beyond(at_other, wanted, norm):
            high, at_high = other, at_other
        else:
            low, at_low = other, at_other
        if low > 0 and high > 0:
            return low, high, at_low, at_high
        share *= 4
    if high < 0:
        at_high = _staircase(terms, _LARGEST, norm)
        high = _LARGEST if _is_beyond(at_high, wanted, norm) else -1.0
    return low, high, at_low, at_high


@rows
def _tighten(terms, low, high, at_low, at_high, wanted, norm):
    """Return a bracket and F at its ends, narrowed by F on either side of where the line between its ends is at eps."""
    before, after = _norm_of(at_low, norm), _norm_of(at_high, norm)
    rate, width = low + (high - low) * ((wanted - before) / (after - before)), high - low
    for other in (rate - _TIGHTER * width, rate + _TIGHTER * width):
        if low < other < high:
            reached = _staircase(terms, other, norm)
            if _is_beyond(reached, wanted, norm):
                high, at_high = other, reached
            else:
                low, at_low = other, reached
    return low, high, at_low, at_high


@rows
def _bisect(terms, low, high, base, wanted, norm):
    """Return the least rate of float64 with F beyond, by halving bit patterns; F is combined with that of others."""
    while bits_of(high) - bits_of(low) > 1:
        middle = _neighbour(low, (bits_of(high) - bits_of(low)) // 2)
        reached = _combined(base, _staircase(terms, middle, norm), norm)
        if _is_beyond(reached, wanted, norm):
            high = middle
        else:
            low = middle
    return high


@formula
def _combined(base, reached, norm):
    """Return F of two groups of elements, given F of each."""
    return max(base, reached) if len(norm) == MAXIMUM else base + reached


@rows
def _first_beyond(terms, low, high, at_low, at_high, wanted, norm):
    """Return the least rate of float64 with F beyond that of the norm wanted, and F before and at it, from a bracket."""
    moving, tries = np.empty((3, _FEW)), 0
    while bits_of(high) - bits_of(low) > 1:
        count = _gather(terms, low, high, moving)
        if count <= _FEW:
            few = moving[0, :count], moving[1, :count], moving[2, :count]
            # For p = inf the elements that do not move are not beyond.
            base = at_low if len(norm) == MAXIMUM else at_low - _staircase(few, low, norm)
            high = _bisect(few, low, high, base, wanted, norm)
            before = _staircase(few, _neighbour(high, -1), norm)
            beyond = _staircase(few, high, norm)
            return high, _combined(base, before, norm), _combined(base, beyond, norm)
        middle = _neighbour(low, (bits_of(high) - bits_of(low)) // 2)
        if tries % 2 == 0:  # where one element moves on, perhaps many do
            first = moving[0, 0], moving[1, 0], moving[2, 0]
            middle = _moves_at(*first, steps(*first, low) + 1)
        for rate in (middle, _neighbour(middle, -1)):
            if low < rate < high:
                reached = _staircase(terms, rate, norm)
                if _is_beyond(reached, wanted, norm):
                    high, at_high = rate, reached
                else:
                    low, at_low = rate, reached
        tries += 1
    return high, at_low, at_high


@rows
def _saturation(terms):
    """Return a rate from which on no element moves."""
    sizes, most, _ = terms
    rate = 0.0
    for i in range(sizes.size):
        if sizes[i] > 0:
            rate = max(rate, min(most[i] / sizes[i], _LARGEST))
    return min(rate * (1 + 2.0**-50), _LARGEST)


@rows
def solve_row(row, norm, eps, eta, step, inside, scratch):
    """Return the eta of the result on the grid, given that of the continuous problem, which may be any number."""
    terms = scratch[0], scratch[1], scratch[2]
    _prepare(row, step, slack_of(row[0].dtype.type(0)), *terms)
    wanted, start = eps / step, min(eta / step, _LARGEST)
    at_start = _staircase(terms, start, norm)
    low, high, at_low, at_high = _bracket(terms, start, at_start, wanted, norm)
    if high < 0:
        return _saturation(terms)
    if _WIDE * low < high < 2 * low:
        given = low, high, at_low, at_high
        low, high, at_low, at_high = _tighten(terms, *given, wanted, norm)
    given = low, high, at_low, at_high
    high, reached, beyond = _first_beyond(terms, *given, wanted, norm)
    short, excess = wanted - _norm_of(reached, norm), _norm_of(beyond, norm) - wanted
    is_below = inside or short <= excess
    if at_start == (reached if is_below else beyond):
        return start
    return _neighbour(high, -1) if is_below else high


@kernel
def solve_rows(x, delta, lower, upper, n, eps, norm, step, inside, scratch, eta, rate):
    """Store the rates, eta/step, of the results on the grid of a block of rows, given the etas of the continuous problem.

    NaN stays NaN.
    """
    for r in range(eps.size):
        if math.isnan(eta[r]):
            rate[r] = math.nan
        else:
            row = rows_of(x, delta, lower, upper, r, n)
            rate[r] = solve_row(row, norm, eps[r], eta[r], step, inside, scratch)


@loop
def _write(row, rate, step, slack, out):
    for i in range(out.size):
        x, delta, lower, upper = element(row, i, np.float64)
        out[i] = arrive_on_grid(x, delta, lower, upper, step, slack, rate)


@kernel
def count_off_grid(x, lower, n, count, step, slack):
    """Return how many x of a block of rows are off the grid by more than rounding, and the row and index of the first."""
    total, first_row, first_index = 0, -1, -1
    for r in range(count):
        row, low = row_of(x, r, n), row_of(lower, r, n)
        for i in range(n):
            if is_off_grid(np.float64(row[i]), np.float64(at(low, i)), step, slack):
                if total == 0:
                    first_row, first_index = r, i
                total += 1
    return total, first_row, first_index


@kernel
def write_rows(x, delta, lower, upper, n, step, rate, out):
    """Store the results on the grid of a block of rows; NaN where the rate is NaN. out may be x or delta."""
    for r in range(rate.size):
        row, target = rows_of(x, delta, lower, upper, r, n), row_of(out, r, n)
        if math.isnan(rate[r]):
            target[:] = math.nan
        else:
            _write(row, rate[r], step, slack_of(row[0].dtype.type(0)), target)
