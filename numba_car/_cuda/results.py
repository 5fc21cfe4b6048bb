"""Results as arrays of the caller's library: one number a row, or one an element."""

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
    """Return one number a row, summed over the axes along which an array of this shape was broadcast."""
    is_one = math.prod(shape) == 1  # which broadcasts to rows of any shape
    kept = kept_shape("eps", () if is_one else shape, task.shape, task.axes)
    sizes, wanted = (batch_of(found, task.axes, keepdims=False) for found in (task.shape, kept))
    out = device_memory.new_like(task.inputs[0], shape, dtype, task.stream)
    summed = sum_to(values, sizes, wanted, task.stream)
    copies.cast(summed, device_memory.flat_of(out), task.stream, dtype)
    return out


class ByElement:
    """One number an element, summed over the axes along which an array of the given shape was broadcast.

    Kernels store to `rows`, which are the result's own memory where that has the layout of rows; with `is_read`, for
    kernels that go on computing with what they have stored, only if it has also the digits.
    """

    def __init__(
        self, task: DeviceProblem, shape: tuple[int, ...], *, is_read: bool = False
    ) -> None:
        self._task = task
        self._out = device_memory.new_like(task.inputs[0], shape, task.result, task.stream)
        others = tuple(axis for axis in range(len(task.shape)) if axis not in task.axes)
        self._order = others + task.axes
        self._wanted = (1,) * (len(task.shape) - len(shape)) + shape
        has_digits = task.result == task.compute or not is_read
        is_in_order = list(self._order) == sorted(self._order)
        self._is_direct = shape == task.shape and is_in_order and has_digits
        if self._is_direct:
            self.rows = device_memory.batch_of(
                device_memory.flat_of(self._out), task.result, task.n
            )
        else:
            flat = device_memory.empty(task.count * task.n, task.compute, task.stream)
            self.rows = device_memory.batch_of(flat, task.compute, task.n)

    def finish(self) -> Any:
        """Return the result, once the kernels have stored the rows."""
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
        copies.packed(view, self._task.result, self._task.stream, target)
        return self._out
