"""Rows in host memory, solved on the GPU chunk by chunk.

Two threads take chunks, each with a stream, pinned memory and device memory of its own: while the rows of
one are copied or solved by the GPU, the other copies rows to pinned memory, or from it.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
from numba import cuda

from numba_car._core.norms import norm_of
from numba_car._cuda import device_memory, solver, steps
from numba_car._cuda.jit import IS_SIMULATED
from numba_car._cuda.problem import DeviceProblem
from numba_car._layout import Array, DType, Rows
from numba_car._problem import Problem

_STREAMS = 1 if IS_SIMULATED else 2  # the simulator launches one kernel at a time
_CHUNK = 1 << 25  # bytes of x in a chunk: enough for the bus to reach its full rate
_BY_ROW = 100  # bytes of a row's eta, verdict and other numbers
_SHARE = 0.8  # of the free memory: the kernels' code and what the driver keeps need some


def free_memory() -> float:
    """Return how many bytes are free on the device."""
    return float(cuda.current_context().get_memory_info().free)


def rows_per_chunk(task: Problem) -> int:
    """Return how many rows a chunk has; MemoryError where one row does not fit the device."""
    itemsize, bounds = task.x.dtype.itemsize, [task.lower, task.upper]
    arrays = 3 + sum(isinstance(bound, Rows) for bound in bounds)
    # Powers in scratch memory and their order, or directions.
    aside = 8 * (8 if task.options.method == "sort" else 3)
    row = task.n * (arrays * itemsize + aside) + _BY_ROW
    free = free_memory()
    fitting = min(task.count, _SHARE * free / _STREAMS // row)
    if fitting < 1:
        raise MemoryError(
            f"a row of {task.n} elements takes {row:.3g} bytes on the device, for each of {_STREAMS} "
            f"streams, and {free:.3g} are free"
        )
    return max(1, min(int(fitting), _CHUNK // (task.n * itemsize)))


def _table(block: Array, stride: int, shape: tuple[int, int]) -> Array:
    """Return a view of flat rows, a stride apart, as a table."""
    strides = (stride * block.itemsize, block.itemsize)
    return np.lib.stride_tricks.as_strided(block, shape, strides)


class _Buffer:
    """Pinned memory for a chunk, and as much device memory."""

    def __init__(self, size: int, dtype: DType, stream: Any) -> None:
        self._here = np.empty(size, dtype) if IS_SIMULATED else cuda.pinned_array(size, dtype)
        self._there = device_memory.empty(size, dtype, stream)
        self._stream = stream

    def part(self, size: int) -> Any:
        """Return the first `size` elements of the device memory."""
        return self._there[:size]

    def upload(self, block: Array, stride: int, shape: tuple[int, int]) -> Any:
        """Return device memory with the rows of a block, packed."""
        size = math.prod(shape)
        np.copyto(self._here[:size].reshape(shape), _table(block, stride, shape))
        if IS_SIMULATED:
            self._there[:size] = self._here[:size]
        else:
            self._there[:size].copy_to_device(self._here[:size], stream=self._stream)
        return self._there[:size]

    def download(self, size: int) -> Array:
        """Return values from the device memory, once they are copied."""
        if IS_SIMULATED:
            return np.array(self._there[:size])
        found: Array = self._there[:size].copy_to_host(self._here[:size], stream=self._stream)
        self._stream.synchronize()
        return found


class _Worker:
    """The stream and the buffers of one thread."""

    def __init__(self, task: Problem, rows: int, result: DType) -> None:
        self._task, self._stream, self._result = task, cuda.stream(), result
        names = (n for n in ("x", "delta", "lower", "upper") if isinstance(getattr(task, n), Rows))
        dtype, size = task.x.dtype, rows * task.n
        self._buffers = {name: _Buffer(size, dtype, self._stream) for name in (*names, "out")}
        self._eps = _Buffer(rows, np.dtype(np.float64), self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for all copies, also after an error: numba may free pinned memory at any later time."""
        self._stream.synchronize()

    def _rows_of(self, name: str, start: int, stop: int) -> tuple[Any, ...]:
        rows = getattr(self._task, name)
        if not isinstance(rows, Rows):
            return (self._task.x.dtype.type(rows),)
        block = rows.block(start, stop)
        shape = stop - start, self._task.n
        return self._buffers[name].upload(*block, shape), np.int64(self._task.n)

    def problem(self, start: int, stop: int) -> DeviceProblem:
        """Return the problem of a chunk, copied to the device."""
        task, count = self._task, stop - start
        eps = self._eps.upload(np.ascontiguousarray(task.eps[start:stop]), 1, (count, 1))
        x, delta, lower, upper = (
            self._rows_of(name, start, stop) for name in ("x", "delta", "lower", "upper")
        )
        return DeviceProblem(
            x=x,
            delta=delta,
            lower=lower,
            upper=upper,
            eps=(eps, np.int64(1)),
            count=count,
            n=task.n,
            norm=norm_of(task.p),
            shape=(count, task.n),
            axes=(1,),
            dtype=task.dtype,
            result=self._result,
            compute=task.x.dtype,
            largest=task.largest,
            slack=task.slack,
            stream=self._stream,
            options=task.options,
            inputs=(x[0],),
            stored=task.stored,
        )

    def by_row(self, name: str, rows: DeviceProblem) -> tuple[Array, ...]:
        """Return the values of `solve`, `max_norm`, `norm` or `eta` for a chunk."""
        found = solver.values_of(name, rows)
        return tuple(device_memory.to_host(values, self._stream) for values in found)

    def store(
        self, name: str, rows: DeviceProblem, out: Rows, start: int, stop: int
    ) -> tuple[Array, ...]:
        """Store the results of a chunk, of the function of that name, in `out`; return what it finds by row."""
        shape = stop - start, self._task.n
        moved = self._buffers["out"].part(math.prod(shape))
        by_row = steps.STORING[name](rows, (moved, np.int64(self._task.n)))
        block, stride = out.scratch(start, stop)
        found = self._buffers["out"].download(math.prod(shape))
        # Whole numbers where these are integers.
        np.copyto(_table(block, stride, shape), found.reshape(shape), casting="unsafe")
        out.store(start, stop, block)
        if not isinstance(by_row, tuple):
            return ()
        return tuple(device_memory.to_host(values, self._stream) for values in by_row)


def run(
    name: str, task: Problem, out: Rows | None = None
) -> tuple[tuple[Array, ...], list[solver.Unreachable]]:
    """Return the values by row of the function of that name, one of `steps.STORING` if there is an `out` to fill.

    Return also the rows to warn of.
    """
    device_memory.check_driver()
    size = rows_per_chunk(task)
    starts = deque(range(0, task.count, size))
    found: dict[int, tuple[Array, ...]] = {}
    result = task.dtype if out is None else out.dtype
    unreachable: list[solver.Unreachable] = []
    here = contextlib.nullcontext() if IS_SIMULATED else cuda.gpus[cuda.get_current_device().id]

    def work(_: int) -> None:
        with here, _Worker(task, min(size, task.count), result) as worker:
            while True:
                try:
                    start = starts.popleft()
                except IndexError:  # the other thread has the last one
                    return
                stop = min(start + size, task.count)
                rows = worker.problem(start, stop)
                if out is not None:
                    found[start] = worker.store(name, rows, out, start, stop)
                else:
                    found[start] = worker.by_row(name, rows)
                unreachable.extend(u._replace(first=start + u.first) for u in rows.unreachable)

    with ThreadPoolExecutor(_STREAMS, "numba_car_cuda") as pool:
        try:
            list(pool.map(work, range(min(_STREAMS, len(starts)))))
        except BaseException:
            starts.clear()
            raise
    parts = [found[start] for start in sorted(found)]
    return tuple(map(np.concatenate, zip(*parts, strict=True))), unreachable
