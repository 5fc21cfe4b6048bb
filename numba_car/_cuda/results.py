"""Results in memory of the caller's kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numba_car._cuda import copies, device_memory
from numba_car._cuda.problem import DeviceProblem
from numba_car._cuda.sums import sum_to
from numba_car._layout import DType
from numba_car._problem import batch_of, kept_shape


def by_row(task: DeviceProblem, values: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """Return one number a row, summed over whatever something of this shape was broadcast along."""
    is_one = math.prod(shape) == 1  # and goes with rows of any shape
    kept = kept_shape("eps", () if is_one else shape, task.shape, task.axes)
    sizes, wanted = (batch_of(found, task.axes, keepdims=False) for found in (task.shape, kept))
    out = device_memory.new_like(task.like, shape, dtype, task.stream)
    summed = sum_to(values, sizes, wanted, task.stream)
    copies.cast(summed, device_memory.flat_of(out), task.stream, dtype)
    return out


class ByElement:
    """A number for each element, summed over whatever something of the given shape was broadcast along.

    Kernels fill `rows`, which are the result's own memory where that is laid out like rows.
    """

    def __init__(self, task: DeviceProblem, shape: tuple[int, ...]) -> None:
        self._task, self._out = (
            task,
            device_memory.new_like(task.like, shape, task.dtype, task.stream),
        )
        others = tuple(axis for axis in range(len(task.shape)) if axis not in task.axes)
        self._order = others + task.axes
        self._wanted = (1,) * (len(task.shape) - len(shape)) + shape
        self._is_direct = shape == task.shape and list(self._order) == sorted(self._order)
        if self._is_direct:
            self.rows = device_memory.batch_of(device_memory.flat_of(self._out), task.dtype, task.n)
        else:
            flat = device_memory.empty(task.count * task.n, task.compute, task.stream)
            self.rows = device_memory.batch_of(flat, task.compute, task.n)

    def finish(self) -> Any:
        """Return the result, once the rows are filled."""
        target = device_memory.flat_of(self._out)
        if self._is_direct or target.size == 0:
            return self._out
        sizes, wanted = (
            [shape[axis] for axis in self._order] for shape in (self._task.shape, self._wanted)
        )
        values = sum_to(self.rows[0], sizes, wanted, self._task.stream)
        view = device_memory.reshaped(device_memory.view_of(values), tuple(wanted))
        moved = view.as_numpy().transpose(np.argsort(self._order))
        view = view._replace(shape=moved.shape, strides=moved.strides)
        copies.packed(view, self._task.dtype, self._task.stream, target)
        return self._out
