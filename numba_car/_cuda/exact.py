"""Sums and products of float64 without rounding, and floats that are not negative as bit patterns, in their order."""

import numpy as np
from numba import cuda

from numba_car._core.double_double import grid_of, on_grid, two_sum
from numba_car._core.double_double import two_product as two_product_in_parts
from numba_car._cuda.jit import IS_SIMULATED, device
from numba_car._cuda.team import team_max, team_sum

_BITS_OF_INFINITY = 0x7FF0000000000000


@device
def bits_of(size):
    """Return the bit pattern of a float64 as an integer."""
    return np.float64(size).view(np.int64)


@device
def size_of_bits(bits):
    """Return the float64 that a bit pattern stands for."""
    return np.int64(bits).view(np.float64)


@device
def team_min(value, team):
    """Return the least of the threads' values, which are not negative and may be infinite."""
    most = team_max(size_of_bits(_BITS_OF_INFINITY - bits_of(value)), team)
    return size_of_bits(_BITS_OF_INFINITY - bits_of(most))


@device
def team_pair(total, lost, largest, team):
    """Return the sum of the threads' pairs as a pair, good to some 90 bits for sums up to about `largest`."""
    grid = grid_of(largest)
    high = on_grid(total, grid)
    rest = total - high
    fine = grid * 2.0**-40
    middle = on_grid(rest, fine)
    lost = team_sum((rest - middle) + lost, team)
    middle = team_sum(middle, team)
    high, low = two_sum(team_sum(high, team), middle)
    return two_sum(high, low + lost)


@device
def _two_product_fused(a, b):
    product = a * b
    return product, cuda.fma(a, b, -product)


@device
def _less_square_fused(total, size):
    return cuda.fma(-size, size, total)


@device
def _less_square(total, size):
    square, lost = two_product_in_parts(size, size)
    return (total - square) - lost


@device
def _two_product(a, b):
    return two_product_in_parts(a, b)


# The compiler would fuse operations of the product in parts; the simulator does not round once.
two_product = _two_product if IS_SIMULATED else _two_product_fused
# Return total - size**2, of the sign that it has. Written with a product, the compiler may round that or not.
less_square = _less_square if IS_SIMULATED else _less_square_fused
