"""Copies in device memory: of any layout, to flat memory of any dtype."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from numba_car._core.bfloat16 import widen
from numba_car._cuda import launch
from numba_car._cuda.device_memory import (
    BFLOAT16,
    BITS,
    View,
    batch_of,
    empty,
    flat,
    is_on_device,
    packed_strides,
    to_host,
    view_of,
)
from numba_car._cuda.jit import IS_SIMULATED, kernel
from numba_car._cuda.row import BFLOAT16_ROWS, store
from numba_car._cuda.streams import stream_of
from numba_car._layout import DType

THREADS = 32 if IS_SIMULATED else 256


@kernel
def _gather(source, offset, shape, strides, out):
    """Copy elements of any layout to flat memory, in the order of their indices."""
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if i < out[0].size:
        rest, place = type(shape[0])(i), offset
        for back in range(len(shape)):
            axis = len(shape) - 1 - back
            above = type(rest)(rest // shape[axis])
            place += np.int64(type(rest)(rest - above * shape[axis])) * strides[axis]
            rest = above
        if len(source) == BFLOAT16_ROWS:
            store(out, 0, i, widen(source[0][place]))
        else:
            store(out, 0, i, source[0][place])


def on_host(value: Any) -> Any:
    """Return an array in device memory, of any layout, as a NumPy array; another value as it is."""
    if not is_on_device(value):
        return value
    view = view_of(value)
    dtype = np.dtype(np.float32) if view.dtype == BFLOAT16 else view.dtype
    stream = stream_of(value)
    return to_host(packed(view, dtype, stream), stream).reshape(view.shape)


def blocks_for(size: int) -> int:
    """Return the number of blocks with a thread for each of so many elements."""
    return max(1, -(-size // THREADS))


def packed(view: View, dtype: DType, stream: Any, out: Any = None) -> Any:
    """Return a copy of an array of any layout in flat memory of a dtype, new unless `out` is given."""
    shape, strides, itemsize = view.shape, view.strides, view.dtype.itemsize
    if view.pointer % itemsize or any(stride % itemsize for stride in strides):
        # A misaligned array is copied byte by byte first.
        as_bytes = view._replace(
            shape=(*shape, itemsize), strides=(*strides, 1), dtype=np.dtype(np.uint8)
        )
        copy = packed(as_bytes, np.dtype(np.uint8), stream)
        pointer = view_of(copy).pointer
        view = View(pointer, shape, packed_strides(shape, itemsize), view.dtype, copy)
        return packed(view, dtype, stream, out)
    steps = tuple(stride // itemsize for stride in strides)
    ends = [step * (size - 1) for step, size in zip(steps, shape, strict=True)]
    lowest, highest = (sum(pick(end, 0) for end in ends) for pick in (min, max))
    start = view.pointer + lowest * itemsize
    source = flat(start, highest - lowest + 1, view.dtype, view.owner)
    out = empty(math.prod(shape), dtype, stream) if out is None else out
    # A division of 64 bits takes many times as long, and fewer than 2**32 elements need none.
    sizes = tuple(map(np.uint32 if out.size < 1 << 32 else np.uint64, shape or (1,)))
    given, wanted = (view.dtype, dtype) if dtype != view.dtype else (BITS, BITS)
    batches = batch_of(source, given, 0), batch_of(out, wanted, 0)
    places = np.int64(-lowest), sizes, tuple(map(np.int64, steps or (0,)))
    launch.call(_gather, (blocks_for(out.size), THREADS, stream), batches[0], *places, batches[1])
    return out


@kernel
def _cast(source, out):
    """Copy flat memory, element by element, to a batch of one row."""
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if i < source.size:
        store(out, 0, i, source[i])


def cast(source: Any, out: Any, stream: Any, dtype: DType | None = None) -> None:
    """Copy flat memory to other flat memory, whose dtype is `dtype` where its array cannot say so."""
    if out.size:
        batch = batch_of(out, dtype or out.dtype, 0)
        launch.call(_cast, (blocks_for(out.size), THREADS, stream), source, batch)


def rounded_to(dtype: DType, values: Any, stream: Any) -> tuple[Any, ...]:
    """Return one number a row, rounded to a dtype, as a batch of rows of one element."""
    out = empty(values.size, dtype, stream)
    cast(values, out, stream, dtype)
    return batch_of(out, dtype, 1)
