"""The sums over a row, in vectorised blocks that are added with compensation."""

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from numba_car._core.constants import BLOCK_CHAIN, BLOCK_FLOAT64, BLOCK_POWERS
from numba_car._core.coordinate import is_clipped, room, step, weight_and_cap
from numba_car._core.double_double import two_sum
from numba_car._core.norms import GENERAL, divisor, relative, term
from numba_car._cpu.row import element, parts_of
from numba_car._jit import loop, rows

_LANES = 32  # 16 elements of float64 at a time, and 32 of float32; the rest is one after the other


def padded(n: int) -> int:
    """How many powers to keep of n elements, so that none are summed one after the other."""
    return n + -n % _LANES


def float64_block(norm: tuple[float, ...]) -> int:
    """How many elements to sum before compensation sets in, for a result of float64."""
    return BLOCK_POWERS if len(norm) >= GENERAL and norm[0] < 2.0 else BLOCK_FLOAT64


# As decorators, these would hide their types from their typed callers.
register_jitable(padded)
register_jitable(float64_block)


@loop
def _newton_sums(row, norm, t):
    """Sum the caps that are reached at t, and the weights that are free, in the precision of t."""
    dtype = type(t)
    clipped_sum, free_sum = dtype(0), dtype(0)
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, dtype)
        weight, cap = weight_and_cap(x, delta, lower, upper, norm)
        # As if/else it vectorises and runs 1.5 times as fast as two selects.
        if is_clipped(weight, cap, t):
            clipped_sum += cap
        else:
            free_sum += weight
    return clipped_sum, free_sum


@loop
def _step_sums(row, norm, eta_and_unit):
    """Sum (step/unit)**p at eta; there is no second sum."""
    eta, unit = eta_and_unit
    by_unit, total = divisor(unit, norm), 0.0
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, np.float64)
        total += term(relative(step(x, delta, lower, upper, eta), by_unit, norm), norm)
    return total, 0.0


@loop
def fill_powers(row, norm, unit, max_abs_delta, caps, weights):
    """Store (room/unit)**p and (|delta|/max_abs_delta)**p, all the powers that a row needs; sum the latter."""
    dtype = caps.dtype.type
    by_unit, by_speed, total = (
        divisor(dtype(unit), norm),
        divisor(dtype(max_abs_delta), norm),
        dtype(0),
    )
    for i in range(caps.size):
        x, delta, lower, upper = element(row, i, dtype)
        caps[i] = term(relative(room(x, delta, lower, upper), by_unit, norm), norm)
        weight = term(relative(abs(delta), by_speed, norm), norm)
        weights[i] = weight
        total += weight
    return np.float64(total)


@rows
def add(total, lost, value):
    """Add and keep what rounding loses; no fast-math flag may touch this."""
    total, error = two_sum(total, value)
    return total, lost + error


def block_sums(row, norm, where):
    """Two sums over a block: `_newton_sums` at a t, or `_step_sums` at an (eta, unit)."""
    return (_step_sums if isinstance(where, tuple) else _newton_sums)(row, norm, where)


@overload(block_sums)
def _block_sums(row, norm, where):
    if isinstance(where, types.BaseTuple):
        return lambda row, norm, where: _step_sums(row, norm, where)
    return lambda row, norm, where: _newton_sums(row, norm, where)


@rows
def length_of(left, block):
    """Return how many of the elements left to sum up at once: whole lanes, then short chains."""
    chain = max(1, min(BLOCK_CHAIN, block // 16, left))
    return min(block, max(left - left % _LANES, chain))


@rows
def row_sums(row, norm, where, block, stride):
    """Add up `block_sums` over a block at every stride of a row: all of it if they are equal."""
    first, first_lost, second, second_lost = 0.0, 0.0, 0.0, 0.0
    start = 0
    while start < row[0].size:
        length = length_of(row[0].size - start, block)
        a, b = block_sums(parts_of(row, start, start + length), norm, where)
        first, first_lost = add(first, first_lost, np.float64(a))
        second, second_lost = add(second, second_lost, np.float64(b))
        start += length + (stride - block)
    return first + first_lost, second + second_lost
