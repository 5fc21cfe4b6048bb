"""Norms of the differences of rows: the norm that a result really has, whatever eta was."""

import math

import numpy as np

from numba_car._core.norms import MAXIMUM, norm_of, root, term
from numba_car._cpu.maxima import bits_of, size_of_bits
from numba_car._cpu.threads import default_threads, run
from numba_car._jit import kernel, loop, rows
from numba_car._layout import Array, flat

_ELEMENTS = 1 << 16  # of a task, as for the solver
_LANES = 4096  # summed in one go: short enough that float64 loses nothing to speak of


@loop
def _sum_terms(a, b, norm):
    total = 0.0
    for i in range(a.size):
        total += term(abs(np.float64(a[i]) - np.float64(b[i])), norm)
    return total


@loop
def _largest(a, b):
    largest = np.int64(0)
    for i in range(a.size):
        largest = max(largest, bits_of(abs(np.float64(a[i]) - np.float64(b[i]))))
    return size_of_bits(largest)


@rows
def _distance(a, b, norm):
    if len(norm) == MAXIMUM:
        return _largest(a, b)
    total = 0.0
    for start in range(0, a.size, _LANES):
        stop = min(start + _LANES, a.size)
        total += _sum_terms(a[start:stop], b[start:stop], norm)
    return root(total, norm)


@kernel
def _fill(a, b, norm, out):
    for row in range(len(a)):
        out[row] = _distance(a[row], b[row], norm)


def _scaled(a: Array, b: Array, p: float) -> float:
    """Return the distance of two rows whose powers leave the range of float64."""
    steps = np.abs(a.astype(np.float64) - b)
    largest = float(steps.max(initial=0.0))
    if not 0 < largest < math.inf:
        return largest
    return largest * float(np.linalg.norm(steps / largest, ord=p))


def _table(array: Array) -> Array:
    if array.dtype.itemsize < 4:
        array = array.astype(np.float32)
    return flat(np.ascontiguousarray(array)).reshape(len(array), -1)


def distances(a: Array, b: Array, p: float, num_threads: int | None = None) -> Array:
    """Return ||a - b||_p of each row, in float64; the distance of a row with NaN is arbitrary."""
    a, b = (_table(array) for array in (a, b))
    out, norm = np.empty(len(a)), norm_of(p)
    size = max(1, _ELEMENTS // max(1, a.shape[1]))

    def task(index: int) -> None:
        part = slice(index * size, (index + 1) * size)
        _fill(a[part], b[part], norm, out[part])

    run(task, -(-len(a) // size), num_threads or default_threads())
    for row in np.flatnonzero(~((out > 1e-150) & (out < math.inf))):
        out[row] = _scaled(a[row], b[row], p)
    return out
