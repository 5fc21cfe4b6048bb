"""Sums over axes of an array in device memory, in an order that depends on nothing but its shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from numba_car._cuda import device_memory, launch
from numba_car._cuda.jit import kernel
from numba_car._cuda.row import my_element

_FOLD = 64  # elements that a thread adds up at most


@kernel
def fold_rows(values, count, length, width, out):
    """Store the sums of those of a row's elements that are `width` apart, of which there are _FOLD at most."""
    r, i = my_element()
    if r < count and i < width:
        total, k, place = 0.0, 0, i
        while k < _FOLD:
            if place < length:
                total += np.float64(values[np.uint64(r * length + place)])
            place += width
            k += 1
        out[np.uint64(r * width + i)] = total


def sum_to(values: Any, sizes: Sequence[int], wanted: Sequence[int], stream: Any) -> Any:
    """Return flat values of an array of these sizes, summed over the axes whose wanted size is 1."""
    left = list(sizes)
    for axis in reversed(range(len(left))):
        while left[axis] != wanted[axis]:
            parts = max(1, -(-left[axis] // _FOLD))
            count, inner = math.prod(left[:axis]), math.prod(left[axis + 1 :])
            out = device_memory.empty(count * inner * parts, np.float64, stream)
            if out.size:
                blocks, threads = launch.elements_grid(count, inner * parts)
                shape = np.int64(count), np.int64(inner * left[axis]), np.int64(inner * parts)
                launch.call(fold_rows, (blocks, threads, stream), values, *shape, out)
            values, left[axis] = out, parts
    return values
