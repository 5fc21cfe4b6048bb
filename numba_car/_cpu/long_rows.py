"""Long rows: the same solver, interpreted, over passes that run in chunks and may share threads.

A long row is always cut into the same chunks, whose sums are added in the same order, so that the
number of threads does not change a bit of the result.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from numba_car._core.norms import STORED_POWERS, TWO
from numba_car._cpu import maxima, newton, rescale, solve_row, sums, terms, validate
from numba_car._cpu.row import parts_of
from numba_car._cpu.threads import run
from numba_car._jit import entry, interpreted, kernel

LONG = 1 << 18  # elements from which on a row is cut
_CHUNK = 1 << 18


# Kernels for one chunk. Loops need a function around them that has no fast-math flags.
_validate_and_sum, _sum_terms = entry(newton.validate_and_sum), entry(newton.sum_terms)
_sum_steps, _residue = entry(sums.sum_steps), entry(solve_row.residue)
_largest_deltas, _needs_validation = entry(maxima.largest_deltas), entry(validate.needs_validation)
_rescale_row = entry(rescale.rescale_row)


@kernel
def _fill_powers(row, norm, unit, largest, caps, weights):
    terms.fill_powers(row, norm, unit, largest, caps, weights)


@kernel
def _largest_step(row, eta):
    return maxima.largest_step(row, eta)


@kernel
def _max_abs(delta):
    return maxima.max_abs(delta)


@kernel
def _largest_breakpoint(row):
    return maxima.largest_breakpoint(row)


_add, _parts_of = interpreted(sums.add, {}), interpreted(parts_of, {})


def _parts(row: Any, start: int, stop: int) -> Any:
    """Return elements start to stop of a row, or of its terms, with the units of the terms unchanged."""
    return (*_parts_of(row[:4], start, stop), *row[4:])


def passes(n: int, num_threads: int) -> dict[Any, Callable[..., Any]]:
    """Return chunked, threaded passes over rows of n elements, keyed by the jitted functions they replace."""

    def each_chunk(function: Callable[..., Any], row: Any, *outputs: Any) -> list[Any]:
        starts = range(0, n, _CHUNK)
        results: list[Any] = [None] * len(starts)

        def task(index: int) -> None:
            chunk = slice(starts[index], starts[index] + _CHUNK)
            parts = [output[chunk] for output in outputs]
            results[index] = function(_parts(row, chunk.start, chunk.stop), *parts)

        run(task, len(starts), num_threads)
        return results

    def largest(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda row, *arguments: np.max(
            each_chunk(lambda chunk: function(chunk, *arguments), row), axis=0
        )

    def added(found: list[Any]) -> list[Any]:
        totals = [(np.float64(0.0), np.float64(0.0)) for _ in found[0]]
        for values in found:
            totals = [_add(*total, value) for total, value in zip(totals, values, strict=True)]
        return [total + lost for total, lost in totals]

    def validate_and_sum(row: Any, norm: Any, t: Any) -> Any:
        return np.sum(each_chunk(lambda chunk: _validate_and_sum(chunk, norm, t), row), axis=0)

    def sum_terms(row: Any, norm: Any, target: float, *options: Any) -> Any:
        *_, block, stride = options
        if stride > block:  # a sample
            return np.float64(_sum_terms(row, norm, target, *options))
        found = each_chunk(lambda chunk: _sum_terms(chunk, norm, 0.0, *options), row)
        return added([(-target, 0.0, 0.0), *found])

    def sum_steps(row: Any, *options: Any) -> Any:
        found = each_chunk(lambda chunk: (_sum_steps(chunk, *options),), row)
        return added(found)[0]

    def prepare(row: Any, norm: Any, eps: float, max_abs_delta: float, scratch: Any) -> Any:
        like = scratch.dtype.type(0) if len(norm) > TWO else 0.0
        units = _unit_in(like, eps, norm), _unit_in(like, max_abs_delta, norm)
        if len(norm) <= TWO:  # powers that are quick to take would fill more memory than the row
            return (*row, *units), norm, *units
        powers = scratch[:, :n]
        each_chunk(lambda chunk, *part: _fill_powers(chunk, norm, *units, *part), row, *powers)
        return (*powers, like, type(like)(np.inf)), STORED_POWERS, *units

    def residue(row: Any, norm: Any, *at: Any) -> Any:
        return _residue(row, norm, *at) if len(norm) > TWO else 0.0

    def max_abs(delta: Any) -> Any:
        return max(each_chunk(lambda chunk: _max_abs(chunk[1]), (delta, delta, 0.0, 0.0)))

    def rescale_row(row: Any, eta: float, largest_value: float, out: Any) -> None:
        each_chunk(lambda chunk, part: _rescale_row(chunk, eta, largest_value, part), row, out)

    return {
        newton.validate_and_sum: validate_and_sum,
        newton.sum_terms: sum_terms,
        sums.sum_steps: sum_steps,
        terms.prepare: prepare,
        solve_row.residue: residue,
        validate.needs_validation: largest(_needs_validation),
        maxima.max_abs: max_abs,
        maxima.largest_step: largest(_largest_step),
        maxima.largest_deltas: largest(_largest_deltas),
        maxima.largest_breakpoint: largest(_largest_breakpoint),
        rescale.rescale_row: rescale_row,
    }


_unit_in = interpreted(terms.unit_in, {})
