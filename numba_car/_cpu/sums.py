"""Sums over a row, in vectorised blocks that are added with compensation."""

import numpy as np
from numba.extending import register_jitable

from numba_car._core.constants import BLOCK_CHAIN, BLOCK_FLOAT64, BLOCK_POWERS
from numba_car._core.coordinate import step
from numba_car._core.double_double import grid_of, on_grid, two_sum
from numba_car._core.norms import GENERAL, divisor, relative, term
from numba_car._cpu.row import element, parts_of
from numba_car._jit import kernel, loop, rows

_TOGETHER = 1024  # sums that stay in the first cache
_EXACT = 1 << 10  # elements of one block of a sum that is exact
_LANES = 32  # elements that a vectorised loop takes at a time, or a multiple of them


def padded(n: int) -> int:
    """Return n rounded up to whole vectors, so that no element of a stored row is summed by itself."""
    return n + -n % _LANES


def float64_block(norm: tuple[float, ...]) -> int:
    """Return how many elements are summed without compensation for a result of float64."""
    return BLOCK_POWERS if len(norm) >= GENERAL and norm[0] < 2.0 else BLOCK_FLOAT64


# As decorators, these would hide their types from their typed callers.
register_jitable(padded)
register_jitable(float64_block)


@rows
def add(total, lost, value):
    """Return total + value and the accumulated rounding error; no fast-math flag may touch this."""
    total, error = two_sum(total, value)
    return total, lost + error


@rows
def length_of(left, block):
    """Return how many of `left` elements to sum without compensation: whole vectors, then short chains."""
    chain = max(1, min(BLOCK_CHAIN, block // 16, left))
    return min(block, max(left - left % _LANES, chain))


@loop
def _sum_steps(row, norm, eta, unit):
    """Return sum (step/unit)**p at eta over a block."""
    by_unit, total = divisor(unit, norm), 0.0
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        total += term(relative(step(x, delta, lower, upper, eta), by_unit, norm), norm)
    return total


@loop
def _sum_steps_on_grid(row, norm, eta, unit, grid):
    """Return sum (step/unit)**p at eta over a block in two parts, the first of which is exact."""
    by_unit, total, rest = divisor(unit, norm), 0.0, 0.0
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        value = term(relative(step(x, delta, lower, upper, eta), by_unit, norm), norm)
        high = on_grid(value, grid)
        total += high
        rest += value - high
    return total, rest


@rows
def sum_steps(row, norm, eta, unit, block):
    """Return sum (step/unit)**p at eta over a row, for steps of about the unit at most.

    For p = 1 and 2 there is compensation after each block; for other p, which may magnify errors, sums are exact.
    """
    total, lost, start = 0.0, 0.0, 0
    while start < row[0].size:
        if len(norm) >= GENERAL:
            length = min(row[0].size - start, _EXACT)
            here = parts_of(row, start, start + length)
            found, rest = _sum_steps_on_grid(here, norm, eta, unit, grid_of(float(_EXACT)))
            total, lost = add(total, lost + rest, found)
        else:
            length = length_of(row[0].size - start, block)
            here = parts_of(row, start, start + length)
            total, lost = add(total, lost, _sum_steps(here, norm, eta, unit))
        start += length
    return total + lost


@kernel
def add_rows(block, total):
    """Add the rows of a flat block to a total of one row, in order."""
    n = total.size
    for start in range(0, n, _TOGETHER):
        stop = min(start + _TOGETHER, n)
        for first in range(0, block.size, n):
            for i in range(start, stop):
                total[i] += np.float64(block[first + i])
