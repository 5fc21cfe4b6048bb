"""Batches of derivatives on the CPU: solve a block of rows, then differentiate it in the cache."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from numba_car._cpu.jvp import jvp_rows
from numba_car._cpu.pipeline import Batch, Block
from numba_car._cpu.short_vjp import vjp_short_rows
from numba_car._cpu.solve import solve_blocks
from numba_car._cpu.sums import add_rows
from numba_car._cpu.vjp import vjp_rows
from numba_car._layout import Array, Rows, Scratch
from numba_car._problem import Problem


class _Gradient:
    """The gradient of one argument that has an element for each of the result."""

    def __init__(self, problem: Problem) -> None:
        self._result = np.empty(problem.shape, problem.dtype)
        if problem.is_plain:
            self._rows = Rows.of_plain(self._result, problem.count, problem.n)
        else:
            self._rows = Rows(self._result, problem.axes, problem.x.dtype)

    def target(self, start: int, stop: int) -> tuple[Array, int]:
        """Return where a kernel is to store these rows."""
        return self._rows.scratch(start, stop)

    def take(self, start: int, stop: int, block: Array) -> None:
        """Store the gradients of rows that a kernel has written to the target."""
        self._rows.store(start, stop, block)

    def result(self) -> Any:
        """Return the gradient."""
        return self._result[()]


class _SummedGradient:
    """The gradient of one argument that is broadcast, summed over the axes that it is broadcast along."""

    def __init__(self, problem: Problem, shape: tuple[int, ...]) -> None:
        axes, ndim = problem.axes, len(problem.shape)
        padded = (1,) * (ndim - len(shape)) + shape
        others = tuple(axis for axis in range(ndim) if axis not in axes)
        self._shape, self._order = shape, others + axes
        self._batch = tuple(padded[axis] for axis in others)
        self._row = tuple(padded[axis] for axis in axes)
        self._problem, self._dtype = problem, problem.x.dtype
        self._lock, self._next, self._waiting = threading.Lock(), 0, dict[int, tuple[int, Array]]()
        self._is_row = math.prod(self._batch) == 1  # that serves all: rows are added first
        shape = (problem.n,) if self._is_row else (math.prod(self._batch), *self._row)
        self._result, self._scratch = np.zeros(shape), Scratch()

    def target(self, start: int, stop: int) -> tuple[Array, int]:
        """Return where a kernel is to store these rows."""
        n = self._problem.n
        return self._scratch.take((stop - start) * n, self._dtype), n

    def take(self, start: int, stop: int, block: Array) -> None:
        """Add up the gradients of rows that a kernel has written to the target."""
        # In the order of the rows, whatever that of the threads: the sum is the same to the bit.
        part = block if self._is_row else self._sum_in_rows(stop - start, block)
        with self._lock:
            self._waiting[start] = stop, part
            while self._next in self._waiting:
                stop, part = self._waiting.pop(self._next)
                if self._is_row:
                    add_rows(part, self._result)
                else:
                    np.add.at(self._result, self._places(np.arange(self._next, stop)), part)
                self._next = stop

    def _sum_in_rows(self, count: int, block: Array) -> Array:
        shape = tuple(self._problem.shape[axis] for axis in self._problem.axes)
        table = block.reshape(count, *shape).astype(np.float64)
        summed = tuple(i + 1 for i, size in enumerate(self._row) if size != shape[i])
        return table.sum(axis=summed, keepdims=True) if summed else table

    def _places(self, rows: Array) -> Array:
        places = np.unravel_index(rows, self._problem.batch_shape)
        kept = [place * (size > 1) for place, size in zip(places, self._batch, strict=True)]
        return np.asarray(np.ravel_multi_index(kept, self._batch))

    def result(self) -> Any:
        """Return the gradient, shaped like the argument."""
        summed = self._sum_in_rows(1, self._result) if self._is_row else self._result
        moved = summed.reshape(self._batch + self._row)
        return moved.transpose(np.argsort(self._order)).reshape(self._shape)


def _gradient_of(problem: Problem, array: Array) -> _Gradient | _SummedGradient:
    """Return where the gradient of an argument goes."""
    if array.shape == problem.shape:
        return _Gradient(problem)
    return _SummedGradient(problem, array.shape)


def gradients(
    problem: Problem,
    call_with_blocks: Callable[[Callable[[Block], None]], Any],
    differentiate: Callable[[Block, tuple[Any, ...], Array], None],
    wanted: tuple[bool, bool] = (True, True),
) -> tuple[Any, Any, Any, Any, Any]:
    """Return the gradients of x, delta, eps (flat, by row), lower and upper.

    `differentiate(block, targets, sums)` stores those of a block: by element in the targets for x, delta and the
    bounds, a number where none are asked for, and by row in `sums`, of eps and of both bounds.
    """
    has_arrays = isinstance(problem.lower, Rows)
    computed = (*wanted, has_arrays, has_arrays)
    outputs = [
        _gradient_of(problem, array) if is_computed else None
        for array, is_computed in zip(problem.inputs, computed, strict=True)
    ]
    by_row = np.empty((3, problem.count))

    def work(block: Block) -> None:
        start, stop = block.start, block.stop
        targets: list[Any] = [output.target(start, stop) if output else 0.0 for output in outputs]
        sums = np.empty((3, stop - start))
        differentiate(block, tuple(targets), sums)
        by_row[:, start:stop] = sums
        for output, target in zip(outputs, targets, strict=True):
            if output:
                output.take(start, stop, target[0])

    call_with_blocks(work)
    of_x, of_delta, *of_bounds = (output and output.result() for output in outputs)
    return of_x, of_delta, by_row[0], *(of_bounds if has_arrays else by_row[1:].sum(axis=1))


def upstream_of(g: Rows | float, block: Block) -> Any:
    """Return the rows of g that are those of a block."""
    return g.block(block.start, block.stop) if isinstance(g, Rows) else g


def vjp_of_block(
    batch: Batch, block: Block, g: Rows | float, h: Array, targets: tuple[Any, ...], sums: Array
) -> None:
    """Store the gradients of clip(x + eta*delta) and of eta, of which g and h are upstream."""
    upstream = upstream_of(g, block), h[block.start : block.stop].copy()
    given = block.eps, block.eta, batch.problem.largest
    call = *block.rows, *upstream, batch.norm, *given, targets, sums
    left = np.ones(block.eta.size, np.bool_)
    if not batch.is_in_tiles or vjp_short_rows(*call, left):
        vjp_rows(*call, left)


def vjp(
    problem: Problem,
    g: Rows | float,
    h: Array,
    *,
    eta: Array | None = None,
    wanted: tuple[bool, bool] = (True, True),
) -> tuple[Any, Any, Any, Any, Any]:
    """Return the gradients of x, delta, eps (flat, by row), lower and upper; g and h are upstream.

    If `eta` is given, nothing is solved again; the gradients of x and delta are None unless they are `wanted`.
    """
    batch = Batch(problem)

    def call_with_blocks(work: Callable[[Block], None]) -> None:
        if eta is None:
            solve_blocks(batch, work)
        else:
            batch.eta = eta
            batch.for_blocks(lambda start, stop: work(batch.solved(start, stop)))

    def differentiate(block: Block, targets: tuple[Any, ...], sums: Array) -> None:
        vjp_of_block(batch, block, g, h, targets, sums)

    return gradients(problem, call_with_blocks, differentiate, wanted)


def jvp(
    problem: Problem, tangents: tuple[Rows | float, Rows | float, Array], out: Rows | None
) -> Array:
    """Return the tangents of eta, by row; store those of clip(x + eta*delta) in out."""
    of_x, of_delta, of_eps = tangents
    batch = Batch(problem)
    result, nowhere = np.empty(problem.count), (np.empty(0, problem.x.dtype), 0)

    def differentiate(block: Block) -> None:
        start, stop = block.start, block.stop
        by_x, by_delta = (
            t.block(start, stop) if isinstance(t, Rows) else t for t in (of_x, of_delta)
        )
        target = nowhere if out is None else out.scratch(start, stop)
        given = (by_x, by_delta, of_eps[start:stop].copy()), batch.norm, block.eps, block.eta
        jvp_rows(*block.rows, *given, target, result[start:stop])
        if out is not None:
            out.store(start, stop, target[0])

    solve_blocks(batch, differentiate)
    return result
