"""Directions that are computed from other arrays, a block of rows at a time, and never held for a whole batch."""

import math
from typing import Any

import numpy as np

from numba_car._core.norms import (
    NORM_1,
    STORED,
    STORED_POWERS,
    any_norm,
    in_lanes,
    largest_number,
    norm_of,
    term,
)
from numba_car._cpu.maxima import max_abs
from numba_car._cpu.row import at, row_of
from numba_car._jit import kernel, rows
from numba_car._layout import Array, Rows, Scratch


@rows
def subtract(z, x, most, out):
    """Store z - x; a difference of finite numbers that overflows becomes the largest number."""
    overflows = False
    for i in range(out.size):
        difference = z[i] - x[i]
        overflows |= abs(difference) > most
        out[i] = difference
    if overflows:
        for i in range(out.size):
            if abs(out[i]) > most and abs(z[i]) <= most:
                out[i] = most if out[i] > 0 else -most


@kernel
def _subtract_rows(z, x, n, out):
    most = largest_number(out.dtype.type(0))
    for r in range(out.size // max(n, 1)):
        subtract(row_of(z, r, n), row_of(x, r, n), most, out[r * n : r * n + n])


@rows
def _raise(g, norm, largest, least, out):
    """Store sign(g) * (|g|/largest)**q; return whether some g other than 0 has a power below `least`."""
    is_lost = False
    for i in range(out.size):
        size = abs(g[i]) / largest
        power = type(size)(1) if len(norm) == STORED else term(size, norm)
        is_small = power < least
        is_lost |= is_small & (g[i] != 0)
        power = type(size)(0) if is_small | (g[i] == 0) else power
        out[i] = -power if g[i] < 0 else power
    return is_lost


@rows
def _ascend(g, norm, out):
    """Store the direction of one row, given the norm of its power; return whether some power is too small for the dtype."""
    dtype, largest = out.dtype.type, max_abs(g)
    if not 0 < largest < math.inf:
        out[:] = g
        return False
    return _raise(g, norm, dtype(largest), dtype(np.finfo(out.dtype).tiny), out)


@rows
def ascend(g, p, out):
    """Store sign(g) * (|g|/max|g|)**(1/(p - 1)) of one row, for p > 1 known only at run time."""
    if p == 2.0:
        _ascend(g, NORM_1, out)
    elif p == math.inf:
        _ascend(g, STORED_POWERS, out)
    else:
        _ascend(g, any_norm(1.0 / (p - 1.0)), out)


@kernel
def _ascend_rows(g, n, norm, out, lost):
    for r in range(lost.size):
        lost[r] = _ascend(row_of(g, r, n), norm, out[r * n : r * n + n])


@kernel
def _chain_rows(g, delta, n, count, power, tangent, out):
    """Store tangent * d delta/d g, where delta is |g|**power with the sign of g; 0 where g is 0 or power 0."""
    for r in range(count):
        row, raised, target = row_of(g, r, n), row_of(delta, r, n), row_of(out, r, n)
        given = row_of(tangent, r, n)
        for i in range(n):
            slope = np.float64(raised[i]) / np.float64(row[i]) if row[i] != 0 else 0.0
            target[i] = power * slope * np.float64(at(given, i))


class Difference(Rows):
    """The rows z - x."""

    __slots__ = ("_x", "z")

    def __init__(self, z: Rows, x: Rows) -> None:
        self.dtype, self.count, self.n, self.is_copied = x.dtype, x.count, x.n, True
        self.z, self._x, self._scratch = z, x, Scratch()

    def block(self, start: int, stop: int) -> tuple[Array, int]:
        """Return rows start to stop as a flat array and the stride between rows."""
        block = self._taken(start, stop)
        _subtract_rows(self.z.block(start, stop), self._x.block(start, stop), self.n, block)
        return block, self.n


class Ascent(Rows):
    """The rows sign(g)*|g|**q in units of the largest |g|**q of the row, q = 1/(p - 1).

    Along them a first-order gain <g, v - x> is largest for a given p-norm: `docs/derivation.md`, eq. (45).
    """

    __slots__ = ("_g", "_norm", "_power", "lost")

    def __init__(self, g: Rows, p: float) -> None:
        self.dtype, self.count, self.n, self.is_copied = g.dtype, g.count, g.n, True
        self._g, self._scratch = g, Scratch()
        self._power = 1 / (p - 1)
        self._norm = STORED_POWERS if p == math.inf else in_lanes(norm_of(self._power))
        self.lost = np.zeros(g.count, bool)  # rows in which some power is too small for the dtype

    def block(self, start: int, stop: int) -> tuple[Array, int]:
        """Return rows start to stop as a flat array and the stride between rows."""
        block = self._taken(start, stop)
        _ascend_rows(self._g.block(start, stop), self.n, self._norm, block, self.lost[start:stop])
        return block, self.n

    def chain(
        self, start: int, stop: int, delta: tuple[Array, int], tangent: Any, out: Any
    ) -> None:
        """Store a tangent or gradient of these rows, `delta`, times their derivatives by g; `out` may be `tangent`."""
        block = self._g.block(start, stop)
        _chain_rows(block, delta, self.n, stop - start, self._power, tangent, out)
