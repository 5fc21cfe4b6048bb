"""An array as rows, whatever its layout."""

from __future__ import annotations

import math
import threading
from sys import getrefcount
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
DType: TypeAlias = np.dtype[Any]

_MANY = 1 << 12  # elements that are not copied in a moment
_SIDE = 8  # rows that are copied at once
_GAP = 16  # elements between rows of a copy, so that rows of 1024 elements do not share cache lines' places
_SPREAD = 256  # elements of the shortest rows that are kept apart


class _Memory:
    """The memory of another array, marked writeable: numba compiles once more for read-only arrays."""

    def __init__(self, owner: Array, size: int, offset: int = 0) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "data": (owner.__array_interface__["data"][0] + offset, False),
            "shape": (size,),
            "typestr": owner.dtype.str,
            "version": 3,
        }


def flat(array: Array) -> Array:
    """Return C-contiguous memory as one writeable dimension, so that numba compiles for one type only."""
    return array.ravel() if array.flags.writeable else np.asarray(_Memory(array, array.size))


def is_plain(array: Array) -> bool:
    """Return whether kernels can work on an array's memory as it is, but for its dtype."""
    flags = array.flags
    if flags.carray:  # writeable, too; faster than the two others
        return True
    return flags.c_contiguous and flags.aligned


def table_of(block: tuple[Array, int], count: int, n: int) -> Array:
    """Return a block of rows, a flat array and the stride between rows, as a view of two dimensions."""
    memory, stride = block
    return as_strided(memory, (count, n), (stride * memory.itemsize, memory.itemsize))


class Scratch:
    """Memory for copies of blocks, which each thread uses again: new pages take longer than the copy."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[int, Array] = {}

    def take(self, size: int, dtype: DType) -> Array:
        """Return a flat array, of memory that this thread has taken before if no other array refers to it."""
        thread, kept, needed = threading.get_ident(), self._kept, size * dtype.itemsize
        # The dictionary refers to what it holds, and so does the argument.
        is_free = thread in kept and getrefcount(kept[thread]) == 2
        if not is_free or kept[thread].size < needed:
            kept[thread] = np.empty(needed, np.uint8)
        return kept[thread][:needed].view(dtype)


class Rows:
    """An array as `count` rows of `n` elements, in whatever layout, for kernels that take blocks."""

    __slots__ = (
        "_base", "_batch_shape", "_by_row", "_flat", "_is_half", "_memory", "_moved", "_row_shape", "_scratch",
        "_stride", "_table",
        "count", "dtype", "is_copied", "n",
    )  # fmt: skip

    def __init__(self, array: Array, axes: tuple[int, ...], dtype: DType) -> None:
        self.dtype = dtype
        outer = array.ndim - len(axes)
        is_last = axes[:1] in ((), (outer,))
        if is_plain(array) and array.dtype == dtype and is_last and array.size:
            # Most calls come here; `_lay_out` has the same result in ten times the time.
            self.n = math.prod(array.shape[outer:])
            self.count, self._stride = array.size // self.n, self.n
            self._flat: Array | None = flat(array)
            self.is_copied = False  # blocks are views
            self._memory: tuple[Array, int] | None = None
            self._base: Rows | None = None
        else:
            self._lay_out(array, axes, dtype)

    @classmethod
    def of_plain(cls, array: Array, count: int, n: int) -> Rows:
        """Return the rows of an array known to be plain, see `is_plain`, faster than `Rows` does."""
        self = cls.__new__(cls)
        self.dtype, self.count, self.n, self._stride = array.dtype, count, n, n
        self._flat, self._memory, self._base, self.is_copied = flat(array), None, None, False
        return self

    def _lay_out(self, array: Array, axes: tuple[int, ...], dtype: DType) -> None:
        others = tuple(axis for axis in range(array.ndim) if axis not in axes)
        moved = array.transpose(others + axes)
        self._batch_shape, self._row_shape = moved.shape[: len(others)], moved.shape[len(others) :]
        self.count, self.n = math.prod(self._batch_shape), math.prod(self._row_shape)
        if self.count > 1 and self.n > 0 and not any(moved.strides[: len(others)]):
            # One row serves all: bring it into shape once, not once a block.
            row = np.ascontiguousarray(moved[(0,) * len(others)], dtype)
            moved = np.broadcast_to(row, moved.shape)
        self._base = self._repeated(moved, len(others), dtype)
        self._moved = moved
        in_float32 = dtype == np.float32 and array.dtype.isnative
        self._is_half = in_float32 and array.dtype.name in ("float16", "bfloat16")
        self._by_row = _reshaped(moved, (self.count, *self._row_shape))
        self._table = _reshaped(moved, (self.count, self.n))
        self._flat, self._stride = self._direct()
        self.is_copied, self._scratch = self._flat is None, Scratch()
        self._memory = self._strided() if self.is_copied else None

    def _repeated(self, moved: Array, batch_ndim: int, dtype: DType) -> Rows | None:
        """Return the rows that are repeated along leading axes of a broadcast array, a sweep; None if there are none."""
        strides, first = moved.strides[:batch_ndim], 0
        while first < batch_ndim and strides[first] == 0:
            first += 1
        if first in (0, batch_ndim) or moved.size == 0:
            return None
        axes = tuple(range(batch_ndim - first, moved.ndim - first))
        return Rows(moved[(0,) * first], axes, dtype)

    def _direct(self) -> tuple[Array | None, int]:
        """Return the array's memory and the stride between rows; (None, 0) if kernels need a copy."""
        table, size = self._table, self.dtype.itemsize
        if table is None or table.size == 0 or table.dtype != self.dtype or not table.flags.aligned:
            return None, 0
        outer, inner = table.strides
        outer = outer if self.count > 1 else 0
        if (inner != size and self.n > 1) or outer < 0 or outer % size:
            return None, 0
        stride = outer // size
        return np.asarray(_Memory(table, (self.count - 1) * stride + self.n)), stride

    def _places(self, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Return memory, and where rows start to stop and the elements of a row are in it: their sum is the place."""
        assert self._memory is not None
        memory, first = self._memory
        if self._table is not None:
            across, along = (stride // self.dtype.itemsize for stride in self._table.strides)
            return memory, first + np.arange(start, stop) * across, np.arange(self.n) * along
        strides = [stride // self.dtype.itemsize for stride in self._moved.strides]
        outer = len(self._batch_shape)
        rows = np.unravel_index(np.arange(start, stop), self._batch_shape) if outer else ()
        at = np.full(stop - start, first)
        for index, stride in zip(rows, strides[:outer], strict=True):
            at += index * stride
        elements = np.zeros((), np.int64)
        for size, stride in zip(self._row_shape, strides[outer:], strict=True):
            elements = np.add.outer(elements, np.arange(size) * stride)
        return memory, at, elements.reshape(-1)

    def _strided(self) -> tuple[Array, int] | None:
        """Return the memory from the array's lowest address on, and the place of its first element; None if a kernel cannot read it."""
        array, size = self._moved, self.dtype.itemsize
        if array.size == 0 or array.dtype != self.dtype or not array.flags.aligned:
            return None
        if any(stride % size for stride in array.strides):
            return None
        low, high = byte_bounds(array)
        first = (array.__array_interface__["data"][0] - low) // size
        return np.asarray(_Memory(array, (high - low) // size, -first * size)), first

    def _index(self, start: int, stop: int) -> tuple[Array, Any]:
        """Return an array and an index into it that together are the rows start to stop."""
        if self._by_row is not None:
            return self._by_row, slice(start, stop)
        return self._moved, np.unravel_index(np.arange(start, stop), self._batch_shape)

    def block(self, start: int, stop: int) -> tuple[Array, int]:
        """Return rows start to stop as a flat array and the stride between rows; a copy if the layout requires one."""
        if self._flat is not None:
            stride = self._stride
            if stop - start == self.count:
                return self._flat, stride
            first = start * stride
            return self._flat[first : first + (stop - start - 1) * stride + self.n], stride
        if self._base:
            return self._repeated_block(self._base, start, stop)
        if self._is_quick(start, stop):
            from numba_car._core.transpose import gather  # which imports numba

            block, stride = self.scratch(start, stop)
            gather(*self._places(start, stop), block, stride)
            return block, stride
        array, index = self._index(start, stop)
        if self._is_half:
            from numba_car._core import half  # which imports numba

            return half.widen(array[index], self._taken(start, stop)), self.n
        copy = self._taken(start, stop)
        with np.errstate(all="ignore"):
            shaped = copy.reshape(stop - start, *self._row_shape)
            np.copyto(shaped, array[index], casting="unsafe")
        return copy, self.n

    def _taken(self, start: int, stop: int, stride: int = 0) -> Array:
        return self._scratch.take((stop - start) * (stride or self.n), self.dtype)

    def _repeated_block(self, base: Rows, start: int, stop: int) -> tuple[Array, int]:
        """Return rows start to stop of repeated rows, a copy unless one repetition holds them all."""
        first, count, n = start % base.count, base.count, self.n
        if first + stop - start <= count:
            return base.block(first, first + stop - start)
        copy = self._taken(start, stop)
        table, row = copy.reshape(stop - start, n), start
        while row < stop:
            here = row % count
            taken = min(count - here, stop - row)
            block = base.block(here, here + taken)
            table[row - start : row - start + taken] = table_of(block, taken, n)
            row += taken
        return copy, n

    def _is_quick(self, start: int, stop: int) -> bool:
        """Return whether a kernel copies these rows in less time than NumPy: they lie side by side in memory."""
        if self._memory is None or (stop - start) * self.n < _MANY or not self._batch_shape:
            return False
        stride = self._moved.strides[len(self._batch_shape) - 1]
        return stride == self.dtype.itemsize and self._batch_shape[-1] >= _SIDE

    def scratch(self, start: int, stop: int) -> tuple[Array, int]:
        """Return where to write rows start to stop: the array's own memory, or new memory to `store` from."""
        if self._flat is not None:
            return self.block(start, stop)
        stride = self.n + (_GAP if self.n >= _SPREAD and self._is_quick(start, stop) else 0)
        return self._taken(start, stop, stride), stride

    def store(self, start: int, stop: int, block: Array) -> None:
        """Store a block that was written to scratch memory."""
        if self._flat is None and self._is_quick(start, stop):
            from numba_car._core.transpose import scatter

            scatter(block, block.size // (stop - start), *self._places(start, stop))
        elif self._flat is None:
            array, index = self._index(start, stop)
            if self._is_half:
                from numba_car._core import half

                if self._by_row is not None and half.narrow_to(array[index], block):
                    return
                block = half.narrow(block, array.dtype)
            with np.errstate(all="ignore"):
                array[index] = block.reshape(stop - start, *self._row_shape)


def _reshaped(array: Array, shape: tuple[int, ...]) -> Array | None:
    try:
        return array.reshape(shape, copy=False)
    except ValueError:
        return None
