"""Batches of derivatives on the CPU: solve a block of rows, then differentiate it in the cache."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from numba_car._cpu.jvp import jvp_rows
from numba_car._cpu.pipeline import Batch, Block
from numba_car._cpu.solve import solve_blocks
from numba_car._cpu.vjp import vjp_rows
from numba_car._layout import Array, Rows
from numba_car._problem import Problem


class _Gradient:
    """The gradient of one argument: its elements, summed over the axes that it was broadcast along."""

    def __init__(self, problem: Problem, shape: tuple[int, ...]) -> None:
        axes, ndim = problem.axes, len(problem.shape)
        padded = (1,) * (ndim - len(shape)) + shape
        others = tuple(axis for axis in range(ndim) if axis not in axes)
        self._shape, self._order = shape, others + axes
        self._batch = tuple(padded[axis] for axis in others)
        self._row = tuple(padded[axis] for axis in axes)
        self._problem, self._dtype = problem, problem.x.dtype
        self._lock, self._next, self._waiting = threading.Lock(), 0, dict[int, Array]()
        if shape == problem.shape:
            self._result = np.empty(shape, problem.dtype)
            self._rows: Rows | None = Rows(self._result, axes, self._dtype)
        else:
            self._result = np.zeros((math.prod(self._batch), *self._row))
            self._rows = None

    def target(self, start: int, stop: int) -> tuple[Array, int]:
        """Return where a kernel is to store these rows."""
        if self._rows is not None:
            return self._rows.scratch(start, stop)
        return np.empty((stop - start) * self._problem.n, self._dtype), self._problem.n

    def take(self, start: int, stop: int, block: Array) -> None:
        """Store or add up the gradients of rows that a kernel has written to the target."""
        if self._rows is not None:
            self._rows.store(start, stop, block)
        else:
            self._add_in_order(start, stop, block)

    def _add_in_order(self, start: int, stop: int, block: Array) -> None:
        # In the order of the rows, whatever that of the threads: the sum is the same to the bit.
        with self._lock:
            self._waiting[start] = self._sum_in_rows(stop - start, block)
            while self._next in self._waiting:
                part = self._waiting.pop(self._next)
                rows = np.arange(self._next, self._next + len(part))
                np.add.at(self._result, self._places(rows), part)
                self._next += len(part)

    def _sum_in_rows(self, count: int, block: Array) -> Array:
        shape = tuple(self._problem.shape[axis] for axis in self._problem.axes)
        table = block.reshape(count, *shape).astype(np.float64)
        summed = tuple(i + 1 for i, size in enumerate(self._row) if size != shape[i])
        return table.sum(axis=summed, keepdims=True) if summed else table

    def _places(self, rows: Array) -> Array:
        if not self._batch:
            return np.zeros(len(rows), np.int64)
        places = np.unravel_index(rows, self._problem.batch_shape)
        kept = [place * (size > 1) for place, size in zip(places, self._batch, strict=True)]
        return np.asarray(np.ravel_multi_index(kept, self._batch))

    def result(self) -> Any:
        """Return the gradient, shaped like the argument."""
        if self._rows is not None:
            return self._result[()]
        moved = self._result.reshape(self._batch + self._row)
        return moved.transpose(np.argsort(self._order)).reshape(self._shape)


def vjp(
    problem: Problem,
    g: Rows | float,
    h: Array,
    *,
    eta: Array | None = None,
    wanted: tuple[bool, bool] = (True, True),
) -> tuple[Any, Any, Any, Any, Any]:
    """Return the gradients of x, delta, eps (flat, by row), lower and upper; g and h are upstream.

    If `eta` is given, nothing is solved again; of the gradients of x and delta only the `wanted` are computed.
    """
    batch = Batch(problem)
    x, delta, lower, upper = (_Gradient(problem, array.shape) for array in problem.inputs)
    of_x, of_delta = (o if want else None for o, want in zip((x, delta), wanted, strict=True))
    has_arrays = isinstance(problem.lower, Rows)
    outputs = (of_x, of_delta, *((lower, upper) if has_arrays else (None, None)))
    by_row = np.empty((3, problem.count))

    def differentiate(block: Block) -> None:
        block = batch.with_rows(block)
        start, stop = block.start, block.stop
        targets: list[Any] = [output.target(start, stop) if output else 0.0 for output in outputs]
        sums = np.empty((3, stop - start))
        upstream = g.block(start, stop) if isinstance(g, Rows) else g, h[start:stop].copy()
        given = block.eps, block.eta, problem.largest
        vjp_rows(*block.rows, *upstream, batch.norm, *given, tuple(targets), sums)
        by_row[:, start:stop] = sums
        for output, target in zip(outputs, targets, strict=True):
            if output:
                output.take(start, stop, target[0])

    if eta is None:
        solve_blocks(batch, differentiate)
    else:
        batch.for_blocks(lambda start, stop: differentiate(batch.solved(start, stop, eta)))
    of_bounds = (lower.result(), upper.result()) if has_arrays else by_row[1:].sum(axis=1)
    return x.result(), delta.result(), by_row[0], *of_bounds


def jvp(
    problem: Problem, tangents: tuple[Rows | float, Rows | float, Array], out: Rows | None
) -> Array:
    """Return the tangents of eta, by row; store those of clip(x + eta*delta) in out."""
    of_x, of_delta, of_eps = tangents
    batch = Batch(problem)
    result = np.empty(problem.count)

    def differentiate(block: Block) -> None:
        block = batch.with_rows(block)
        start, stop = block.start, block.stop
        by_x, by_delta = (
            t.block(start, stop) if isinstance(t, Rows) else t for t in (of_x, of_delta)
        )
        target: Any = 0.0 if out is None else out.scratch(start, stop)
        given = (by_x, by_delta, of_eps[start:stop].copy()), batch.norm, block.eps, block.eta
        jvp_rows(*block.rows, *given, target, result[start:stop])
        if out is not None:
            out.store(start, stop, target[0])

    solve_blocks(batch, differentiate)
    return result
