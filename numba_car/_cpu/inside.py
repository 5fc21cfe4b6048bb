"""Results that are never farther from x than eps, as they are stored: ``side="inside"``.

A result is eps away to within rounding, on either side. Where it is beyond, elements go towards x, by one last place
each and in the order of the row, until it is not: what a row falls short of eps is less than the last step.
"""

import math

import numpy as np

from numba_car._core import bfloat16, float16
from numba_car._core.double_double import two_product, two_sum
from numba_car._core.norms import GENERAL, MAXIMUM, ONE, is_float32, term
from numba_car._cpu.row import row_of
from numba_car._jit import formula, kernel, loop, rows

STORED = {"float16": 1, "bfloat16": 2, "float32": 0, "float64": 0}  # what `toward` steps in

_CHUNK, _POWERS = 4096, 64  # elements that are summed without compensation
_ROUGH = 2.0**-40  # relative: more than the rounding of a sum of a chunk
_EXACT = 2.0**-90  # of pairs
_FINE = 2.0**-45  # of powers, which are good to one last place
_MORE = 1 + 2.0**-30


@formula
def _next_half(bits, is_down):
    """Return the next bits of a float with a sign and a magnitude of 15 bits."""
    magnitude, is_negative = np.int32(bits) & 0x7FFF, np.int32(bits) >= 0x8000
    if magnitude == 0:
        return np.uint16(0x8001 if is_down else 0x0001)
    return np.uint16(np.int32(bits) + (-1 if is_down != is_negative else 1))


@formula
def toward(v, x, stored):
    """Return the number next to v on the side of x, in the dtype in which v is stored."""
    if stored == 1:
        return float16.widen(_next_half(float16.narrow(v), v > x))
    if stored == 2:
        return bfloat16.widen(_next_half(bfloat16.narrow(v), v > x))
    return np.nextafter(v, x)


@formula
def _distance(v, x):
    """Return |v - x| as a pair."""
    high, low = two_sum(np.float64(v), -np.float64(x))
    return (-high, -low) if high < 0 else (high, low)


@loop
def _sum_quickly(x, v, norm, scale):
    total = 0.0
    for i in range(x.size):
        total += term(abs(np.float64(v[i]) - np.float64(x[i])) * scale, norm)
    return total


@rows
def _sum(x, v, norm, scale, chunk):
    """Return the sum of (|v - x|*scale)**p."""
    total, lost = 0.0, 0.0
    for start in range(0, x.size, chunk):
        part = slice(start, min(start + chunk, x.size))
        total, error = two_sum(total, _sum_quickly(x[part], v[part], norm, scale))
        lost += error
    return total + lost


@rows
def _excess_of_pairs(x, v, norm, scale, target):
    """Return the sum of (|v - x|*scale)**p less the target, for p = 1 and 2, in pairs of float64."""
    high, low, total = -target[0], -target[1], 0.0
    for i in range(x.size):
        distance, rest = _distance(v[i], x[i])
        distance, rest = distance * scale, rest * scale
        if len(norm) > ONE:
            square, lost = two_product(distance, distance)
            distance, rest = square, lost + 2.0 * distance * rest
        high, lost = two_sum(high, distance)
        low += lost + rest
        total += distance
    excess = high + low
    # Where nothing is lost, as in a row of one element, the sum is exact.
    return excess if low == 0 else excess + _EXACT * x.size * total


@rows
def _excess(x, v, norm, eps, scale):
    """Return by how much the p-th power of ||v - x||*scale is beyond that of eps*scale; at most 0 if it is not."""
    size = eps * scale
    target = term(size, norm)
    if is_float32(x[0]):
        total = _sum(x, v, norm, scale, _CHUNK)
        if abs(total - target) > _ROUGH * target:
            return total - target
    if len(norm) >= GENERAL:
        return _sum(x, v, norm, scale, _POWERS) * (1 + _FINE) - target
    pair = (size, 0.0) if len(norm) == ONE else two_product(size, size)
    return _excess_of_pairs(x, v, norm, scale, pair)


@rows
def _go_back(x, v, norm, scale, excess, stored):
    """Move elements towards x by one last place each until their powers have fallen by the excess."""
    fallen = 0.0
    for i in range(x.size):
        if v[i] != x[i]:
            before = _distance(v[i], x[i])[0] * scale
            v[i] = toward(v[i], x[i], stored)
            after = _distance(v[i], x[i])[0] * scale
            if len(norm) == ONE:
                fallen += before - after
            else:
                fallen += term(before, norm) - term(after, norm)
            if fallen > excess:
                return


@rows
def _keep_largest_inside(x, v, eps, stored):
    """Move elements towards x that are farther than eps."""
    for i in range(x.size):
        distance = _distance(v[i], x[i])
        while distance[0] > eps or (distance[0] == eps and distance[1] > 0):
            v[i] = toward(v[i], x[i], stored)
            distance = _distance(v[i], x[i])


@rows
def _keep_inside(x, v, norm, eps, stored):
    if len(norm) == MAXIMUM:
        _keep_largest_inside(x, v, eps, stored)
    elif x.size > 0 and eps > 0:
        # A power of two loses nothing, and keeps powers in range.
        scale = math.ldexp(1.0, -max(math.frexp(eps)[1], -1000))
        excess = _excess(x, v, norm, eps, scale)
        while excess > 0:
            _go_back(x, v, norm, scale, excess * _MORE, stored)
            excess = _excess(x, v, norm, eps, scale)


@kernel
def keep_rows_inside(x, n, norm, eps, eta, stored, out):
    """Move the results of a block of rows, as they are stored, until none is farther than eps from x.

    `stored` is the kind of the dtype in which results are stored, which those in `out` are rounded to.
    Rows whose eta is NaN are left as they are.
    """
    for r in range(eps.size):
        if not math.isnan(eta[r]):
            _keep_inside(row_of(x, r, n), row_of(out, r, n), norm, eps[r], stored)
