"""Long rows: the same solver, interpreted, over passes that run in chunks and may share threads.

A long row is always cut into the same chunks, whose sums are added in the same order, so that the
number of threads does not change a bit of the result.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numba_car._core.norms import GENERAL, STORED_POWERS, TWO
from numba_car._cpu import maxima, newton, plain, rescale, row, sums, validate
from numba_car._cpu.threads import run
from numba_car._jit import interpreted, kernel

LONG = 1 << 18  # elements from which on a row is cut
_CHUNK = 1 << 18
_LEAST = 2.0**-30  # between this and its inverse, float32 holds the squares of a row as they are


class BlockFunctions(NamedTuple):
    """What can be done with a block of rows: jitted kernels, or their likes for long rows."""

    solve_plain: Callable[..., Any]
    solve_rows: Callable[..., Any]
    saturate_rows: Callable[..., Any]
    measure_rows: Callable[..., Any]
    rescale_rows: Callable[..., Any]


_KERNELS = BlockFunctions(
    plain.solve_rows,
    newton.solve_rows,
    newton.saturate_rows,
    newton.measure_rows,
    rescale.rescale_rows,
)


@kernel
def _look(row, norm, t):
    return plain.look(row, norm, t)


@kernel
def _pass_over(row, norm, target, t, beyond, block, stride):
    return plain.pass_over(row, norm, target, t, beyond, block, stride)


@kernel
def _row_sums(row, norm, where, block, stride):
    return sums.row_sums(row, norm, where, block, stride)


@kernel
def _residue(powers, norm, target, t, verdict):
    return newton.residue(powers, norm, target, t, verdict)


@kernel
def _fill_powers(row, norm, unit, max_abs_delta, caps, weights):
    sums.fill_powers(row, norm, unit, max_abs_delta, caps, weights)


@kernel
def _largest_step(row, eta):
    return maxima.largest_step(row, eta)


@kernel
def _fastest(delta):
    return maxima.max_abs(delta)


@kernel
def _largest_deltas(row, least_room):
    return maxima.largest_deltas(row, least_room)


@kernel
def _largest_breakpoint(row):
    return maxima.largest_breakpoint(row)


@kernel
def _is_suspect(row):
    return validate.is_suspect(row)


@kernel
def _rescale_row(row, eta, largest, out):
    rescale.rescale_row(row, eta, largest, out)


_add = interpreted(sums.add, {})
_parts_of = interpreted(row.parts_of, {})


def _is_moderate(*sizes: float) -> bool:
    return all(_LEAST < size < 1 / _LEAST for size in sizes)


def block_functions(n: int, num_threads: int) -> BlockFunctions:
    """Choose the functions for rows of n elements; those of a long row share that many threads."""
    if n < LONG:
        return _KERNELS

    def each_chunk(function: Callable[..., Any], row: Any, *outputs: Any) -> list[Any]:
        starts = range(0, n, _CHUNK)
        results: list[Any] = [None] * len(starts)

        def task(index: int) -> None:
            chunk = slice(starts[index], starts[index] + _CHUNK)
            parts = [output[chunk] for output in outputs]
            results[index] = function(_parts_of(row, chunk.start, chunk.stop), *parts)

        run(task, len(starts), num_threads)
        return results

    def largest(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda row, *arguments: np.max(
            each_chunk(lambda chunk: function(chunk, *arguments), row), axis=0
        )

    def look(row: Any, norm: Any, t: Any) -> Any:
        return np.sum(each_chunk(lambda chunk: _look(chunk, norm, t), row), axis=0)

    def pass_over(row: Any, norm: Any, target: float, *options: Any) -> Any:
        *_, block, stride = options
        if stride > block:  # a sample
            return np.float64(_pass_over(row, norm, target, *options))
        found = each_chunk(lambda chunk: _pass_over(chunk, norm, 0.0, *options), row)
        return added([(-target, 0.0, 0.0), *found])

    def row_sums(row: Any, norm: Any, where: Any, block: int, stride: int) -> Any:
        options = norm, where, block, stride
        if stride > block:  # a sample
            a, b = _row_sums(row, *options)
            return np.float64(a), np.float64(b)
        return added(each_chunk(lambda chunk: _row_sums(chunk, *options), row))

    def added(found: list[Any]) -> list[Any]:
        totals = [(np.float64(0.0), np.float64(0.0)) for _ in found[0]]
        for terms in found:
            totals = [_add(*total, term) for total, term in zip(totals, terms, strict=True)]
        return [total + lost for total, lost in totals]

    def raised(row: Any, norm: Any, eps: float, max_abs_delta: float, scratch: Any) -> Any:
        if len(norm) <= TWO:
            # Powers are cheap to take again, and would fill more memory than a row may.
            like = row[0].dtype.type(0) if _is_moderate(eps, max_abs_delta) else 0.0
            return row, 0.0, norm, 1.0, 1.0, like
        like = scratch.dtype.type(0)
        units, powers = (float(type(like)(eps)), float(type(like)(max_abs_delta))), scratch[:, :n]
        each_chunk(lambda chunk, *part: _fill_powers(chunk, norm, *units, *part), row, *powers)
        return (*powers, 0.0, 0.0), 0.0, STORED_POWERS, *units, like

    def residue(powers: Any, norm: Any, *at: Any) -> Any:
        return _residue(powers, norm, *at) if len(norm) >= GENERAL else 0.0

    def max_abs(delta: Any) -> Any:
        return max(each_chunk(lambda chunk: _fastest(chunk[1]), (delta, delta, 0.0, 0.0)))

    def rescale_row(row: Any, eta: float, largest_value: float, out: Any) -> None:
        each_chunk(lambda chunk, part: _rescale_row(chunk, eta, largest_value, part), row, out)

    passes: dict[Any, Callable[..., Any]] = {
        plain.look: look,
        plain.pass_over: pass_over,
        validate.is_suspect: largest(_is_suspect),
        sums.row_sums: row_sums,
        newton.raised: raised,
        newton.residue: residue,
        maxima.max_abs: max_abs,
        maxima.largest_step: largest(_largest_step),
        maxima.largest_deltas: largest(_largest_deltas),
        maxima.largest_breakpoint: largest(_largest_breakpoint),
        rescale.rescale_row: rescale_row,
    }
    passes[newton.solve_scaled] = interpreted(newton.solve_powers, passes)  # in no more memory
    return BlockFunctions(*(interpreted(kernel, passes) for kernel in _KERNELS))
