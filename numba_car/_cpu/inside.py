"""Results that are never farther from x than eps, as they are stored: ``side="inside"``.

A result is eps away to within rounding, on either side. Where it is beyond, elements go towards x, each by one last
place of it or of its distance, in the order of the row, until it is not: what a row falls short of eps is less than the
last step, see `docs/derivation.md`, eq. (49).
"""

import math

import numpy as np

from numba_car._core import bfloat16, float16
from numba_car._core.constants import SMALL_ROUNDS
from numba_car._core.double_double import two_product, two_sum
from numba_car._core.norms import MAXIMUM, ONE, TWO, is_float32, term
from numba_car._core.powers import fma
from numba_car._cpu.maxima import bits_of, size_of_bits
from numba_car._cpu.row import row_of
from numba_car._jit import formula, kernel, loop, rows

STORED = {"float16": 1, "bfloat16": 2, "float32": 0, "float64": 0}  # what `toward` steps in

_CHUNK = 4096  # elements that are summed without compensation
_LARGE_P = 64  # from which on powers of numbers between 1/2 and 1 may be too small
_LANES = 64  # sums that are added to in turn, so that loops vectorise
# More than the relative errors of the sum of a chunk, of sums of pairs by element, and of sums of other powers.
_ROUGH, _EXACT, _FINE = 2.0**-40, 2.0**-100, 2.0**-51 + 2.0**-60
_MORE = 1 + 2.0**-30


@formula
def _next_half(bits, is_down):
    """Return the next bits of a float with a sign and a magnitude of 15 bits."""
    magnitude, is_negative = np.int32(bits) & 0x7FFF, np.int32(bits) >= 0x8000
    if magnitude == 0:
        return np.uint16(0x8001 if is_down else 0x0001)
    return np.uint16(np.int32(bits) + (-1 if is_down != is_negative else 1))


@formula
def rounded(v, stored):
    """Return v in the dtype in which it is stored."""
    if stored == 1:
        return float16.widen(float16.narrow(v))
    if stored == 2:
        return bfloat16.widen(bfloat16.narrow(v))
    return v


@formula
def toward(v, x, stored):
    """Return the number next to v on the side of x, in the dtype in which v is stored."""
    if stored == 1:
        return float16.widen(_next_half(float16.narrow(v), v > x))
    if stored == 2:
        return bfloat16.widen(_next_half(bfloat16.narrow(v), v > x))
    return np.nextafter(v, x)


@formula
def closer(v, x, places, stored):
    """Return a number on the side of x: the next to v, or that so many last places of |v - x| away, if that is farther.

    Where |v| is far smaller than |v - x|, steps to the next number would never end.
    """
    after, size = toward(v, x, stored), abs(v - x)
    unit = type(size)(places) * (np.nextafter(size, size + size) - size)
    if unit >= size:
        return x
    moved = rounded(v + unit if x > v else v - unit, stored)
    return moved if abs(moved - x) < abs(after - x) else after


@formula
def _distance(v, x):
    """Return |v - x| as a pair."""
    high, low = two_sum(np.float64(v), -np.float64(x))
    return (-high, -low) if high < 0 else (high, low)


@loop
def _sum_chunk(x, v, norm, scale):
    total = 0.0
    for i in range(x.size):
        total += term(abs(np.float64(v[i]) - np.float64(x[i])) * scale, norm)
    return total


@rows
def _sum_quickly(x, v, norm, scale):
    """Return the sum of (|v - x|*scale)**p, good to `_ROUGH`."""
    total, lost = 0.0, 0.0
    for start in range(0, x.size, _CHUNK):
        part = slice(start, min(start + _CHUNK, x.size))
        total, error = two_sum(total, _sum_chunk(x[part], v[part], norm, scale))
        lost += error
    return total + lost


@rows
def _add_powers(x, v, norm, scale, sums, lost):
    """Add the powers of |v - x|*scale of some elements to the sums of as many lanes, each with what it has lost."""
    for lane in range(x.size):
        distance, rest = _distance(v[lane], x[lane])
        power, rest = distance * scale, rest * scale
        if len(norm) == TWO:
            square = power * power
            power, rest = square, fma(power, power, -square) + 2.0 * power * rest
        elif len(norm) > TWO:
            size, power = power, term(power, norm)
            rest = norm[0] * (power / size) * rest if size > 0 else 0.0
        sums[lane], error = two_sum(sums[lane], power)
        lost[lane] += error + rest


@rows
def _sum_exactly(x, v, norm, scale, lanes):
    """Return the sum of (|v - x|*scale)**p as a pair, but for the rounding of powers that are not 1 or 2."""
    sums, lost = lanes
    sums[:], lost[:] = 0.0, 0.0
    for start in range(0, x.size, _LANES):
        part = slice(start, min(start + _LANES, x.size))
        _add_powers(x[part], v[part], norm, scale, sums, lost)
    high, low = 0.0, 0.0
    for lane in range(_LANES):
        high, error = two_sum(high, sums[lane])
        low += error + lost[lane]
    return two_sum(high, low)


@rows
def _scale_of(eps, norm):
    """Return the factor of distances before powers are taken, and the relative error of a sum of powers other than 1 and 2."""
    if len(norm) > TWO and norm[0] > _LARGE_P:
        return 1.0 / max(eps, 2.0**-1000), (1.0 + norm[0]) * _FINE
    # A power of two loses nothing, and keeps powers in range.
    return math.ldexp(1.0, -max(math.frexp(eps)[1], -1000)), _FINE


@rows
def _excess(x, v, norm, eps, scaling, lanes):
    """Return by how much the p-th power of ||v - x||*scale is beyond that of eps*scale; at most 0 if it is not."""
    scale, error = scaling
    size = eps * scale
    target = term(size, norm)
    if is_float32(x[0]):
        total = _sum_quickly(x, v, norm, scale)
        if abs(total - target) > (_ROUGH + error) * target:
            return total - target
    high, low = _sum_exactly(x, v, norm, scale, lanes)
    if len(norm) > TWO:
        return high * (1 + error) - target
    rest = two_product(size, size)[1] if len(norm) == TWO else 0.0
    excess = (high - target) + (low - rest)
    # Where nothing is lost, as in a row of one element, the sums are exact.
    return excess if low == 0 else excess + _EXACT * x.size * high


@rows
def _least_fall(before, after, norm):
    """Return no more than before**p - after**p, without the cancellation of digits."""
    if len(norm) == ONE or after == 0:
        return term(before, norm) - term(after, norm)
    flatter = after if norm[0] >= 1 else before
    return norm[0] * (term(flatter, norm) / flatter) * (before - after)


@rows
def _go_back(x, v, norm, scale, excess, places, stored):
    """Move elements towards x by a step each until their powers have fallen by the excess."""
    fallen = 0.0
    for i in range(x.size):
        if v[i] != x[i]:
            before = _distance(v[i], x[i])[0] * scale
            v[i] = closer(v[i], x[i], places, stored)
            fallen += _least_fall(before, _distance(v[i], x[i])[0] * scale, norm)
            if fallen > excess:
                return


@loop
def _largest_distance(x, v):
    largest = np.int64(0)
    for i in range(x.size):
        largest = max(largest, bits_of(abs(np.float64(v[i]) - np.float64(x[i]))))
    return size_of_bits(largest)


@rows
def _keep_largest_inside(x, v, eps, stored):
    """Move elements towards x that are farther than eps."""
    for start in range(0, x.size, _LANES):
        stop = min(start + _LANES, x.size)
        if _largest_distance(x[start:stop], v[start:stop]) >= eps:
            for i in range(start, stop):
                high, low = _distance(v[i], x[i])
                while high > eps or (high == eps and low > 0):
                    v[i] = closer(v[i], x[i], 1.0, stored)
                    high, low = _distance(v[i], x[i])


@rows
def _keep_inside(x, v, norm, eps, stored, lanes):
    if len(norm) == MAXIMUM:
        _keep_largest_inside(x, v, eps, stored)
    elif x.size > 0 and eps > 0:
        scaling = _scale_of(eps, norm)
        scale, error = scaling
        excess = _excess(x, v, norm, eps, scaling, lanes)
        places, rounds = 1.0, 0
        while excess > 0:
            # The rounding of other powers may hide what is left: go a little further.
            more = error * term(eps * scale, norm) if len(norm) > TWO else 0.0
            _go_back(x, v, norm, scale, excess * _MORE + more, places, stored)
            excess = _excess(x, v, norm, eps, scaling, lanes)
            rounds += 1
            places *= 1.0 if rounds <= SMALL_ROUNDS else 2.0


@kernel
def keep_rows_inside(x, n, norm, eps, eta, stored, out):
    """Move the results of a block of rows, as they are stored, until none is farther than eps from x.

    `stored` is the kind of the dtype in which results are stored, to which they are rounded here.
    Rows whose eta is NaN are left as they are.
    """
    lanes = np.empty(_LANES), np.empty(_LANES)
    for r in range(eps.size):
        if not math.isnan(eta[r]):
            row = row_of(out, r, n)
            if stored != 0:
                for i in range(n):
                    row[i] = rounded(row[i], stored)
            _keep_inside(row_of(x, r, n), row, norm, eps[r], stored, lanes)
