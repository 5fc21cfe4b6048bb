"""Long rows: the same solver, interpreted, over passes that run in chunks and may share threads.

A long row is always cut into the same chunks, whose sums are added in the same order, so that the
number of threads does not change a bit of the result.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numba_car._core import newton as core
from numba_car._core.norms import RAISED, term
from numba_car._cpu import apply, checks, extremes, newton, sums, views
from numba_car._cpu.threads import run
from numba_car._jit import interpreted, kernel

LONG = 1 << 18  # elements from which on a row is cut
_CHUNK = 1 << 18
_PIECE = 1 << 14  # fits the cache of a core
_LEAST = 2.0**-30  # between this and its inverse, float32 holds the squares of a row as they are


class BlockFunctions(NamedTuple):
    """What can be done with a block of rows: jitted kernels, or their likes for long rows."""

    solve_rows: Callable[..., Any]
    saturate_rows: Callable[..., Any]
    measure_rows: Callable[..., Any]
    rescale_rows: Callable[..., Any]


_KERNELS = BlockFunctions(
    newton.solve_rows, newton.saturate_rows, newton.measure_rows, apply.rescale_rows
)


@kernel
def _first_look(row, norm, t, block):
    """Take one trip to memory for what takes three else: two sums, the fastest, and any suspect."""
    first, first_lost, second, second_lost, fastest, suspect = 0.0, 0.0, 0.0, 0.0, 0.0, False
    for start in range(0, row[0].size, _PIECE):
        part = views.parts_of(row, start, min(start + _PIECE, row[0].size))
        suspect |= checks.is_suspect(part)
        fastest = max(fastest, extremes.fastest(part[1]))
        a, b = sums.row_sums(part, norm, t, block, block)
        first, first_lost = sums.add(first, first_lost, a)
        second, second_lost = sums.add(second, second_lost, b)
    return first + first_lost, second + second_lost, fastest, suspect


@kernel
def _row_sums(row, norm, where, block, stride):
    return sums.row_sums(row, norm, where, block, stride)


@kernel
def _residue(powers, norm, target, t, verdict):
    return newton.residue(powers, norm, target, t, verdict)


@kernel
def _fill_powers(row, norm, unit, speed, caps, weights):
    sums.fill_powers(row, norm, unit, speed, caps, weights)


@kernel
def _largest_step(row, eta):
    return extremes.largest_step(row, eta)


@kernel
def _fastest(delta):
    return extremes.fastest(delta)


@kernel
def _largest_delta(row, least_room):
    return extremes.largest_delta(row, least_room)


@kernel
def _largest_breakpoint(row):
    return extremes.largest_breakpoint(row)


@kernel
def _is_suspect(row):
    return checks.is_suspect(row)


@kernel
def _rescale_row(row, eta, largest, out):
    apply.rescale_row(row, eta, largest, out)


_add = interpreted(sums.add, {})
_parts_of = interpreted(views.parts_of, {})
_rows_of = interpreted(views.rows_of, {})
_advance, _conclude = interpreted(core.advance, {}), interpreted(core.conclude, {})
_term, _nearness = interpreted(term, {}), interpreted(newton.nearness, {})


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
        return lambda row, *arguments: max(
            each_chunk(lambda chunk: function(chunk, *arguments), row)
        )

    def row_sums(row: Any, norm: Any, where: Any, block: int, stride: int) -> tuple[Any, Any]:
        options = norm, where, block, stride
        if stride > block:  # a sample
            a, b = _row_sums(row, *options)
            return np.float64(a), np.float64(b)
        return added(each_chunk(lambda chunk: _row_sums(chunk, *options), row))

    def added(found: list[Any]) -> tuple[Any, Any]:
        first = second = (np.float64(0.0), np.float64(0.0))
        for a, b in found:
            first, second = _add(*first, a), _add(*second, b)
        return first[0] + first[1], second[0] + second[1]

    def raised(row: Any, norm: Any, eps: float, speed: float, scratch: Any) -> Any:
        if len(norm) < 3:
            # Powers are cheap to take again, and would fill more memory than a row may.
            lane = row[0].dtype.type(0) if _is_moderate(eps, speed) else 0.0
            return row, 0.0, norm, 1.0, 1.0, lane
        lane = scratch.dtype.type(0)
        units, powers = (float(type(lane)(eps)), float(type(lane)(speed))), scratch[:, :n]
        each_chunk(lambda chunk, *part: _fill_powers(chunk, norm, *units, *part), row, *powers)
        return (*powers, 0.0, 0.0), 0.0, RAISED, *units, lane

    def residue(powers: Any, norm: Any, *at: Any) -> Any:
        return _residue(powers, norm, *at) if len(norm) > 2 else 0.0

    def fastest(delta: Any) -> Any:
        return max(each_chunk(lambda chunk: _fastest(chunk[1]), (delta, delta, 0.0, 0.0)))

    def rescale_row(row: Any, eta: float, largest_value: float, out: Any) -> None:
        each_chunk(lambda chunk, part: _rescale_row(chunk, eta, largest_value, part), row, out)

    passes: dict[Any, Callable[..., Any]] = {
        checks.is_suspect: largest(_is_suspect),
        sums.row_sums: row_sums,
        newton.raised: raised,
        newton.residue: residue,
        extremes.fastest: fastest,
        extremes.largest_step: largest(_largest_step),
        extremes.largest_delta: largest(_largest_delta),
        extremes.largest_breakpoint: largest(_largest_breakpoint),
        apply.rescale_row: rescale_row,
    }
    settle, settle_sample, solve_rows = (
        interpreted(function, passes)
        for function in (newton.settle, newton.settle_sample, newton.solve_rows)
    )

    def solve_new(row: Any, norm: Any, eps: float, block: int) -> tuple[Any, int]:
        """Solve a row that nothing is known of; or GO_ON, if that takes more than this."""
        lane, target = row[0].dtype.type(0), _term(eps, norm)
        t = settle_sample(row, norm, target, 0.0, lane)
        t = t if 0 < t < np.inf else 0.0
        found = each_chunk(lambda chunk: _first_look(chunk, norm, type(lane)(t), block), row)
        if any(suspect for *_, suspect in found):
            return 0.0, core.SUSPECT
        if not _is_moderate(max(fastest for *_, fastest, _ in found)):
            return 0.0, core.GO_ON
        near = _nearness(lane)
        t, verdict = _advance(t, target, *added([f[:2] for f in found]), True, near)
        if verdict == core.GO_ON:
            t, verdict = settle(row, norm, target, t, lane, near, block, block)
        if verdict == core.OUT_OF_RANGE:
            return 0.0, core.GO_ON
        eta, verdict = _conclude(1.0, t, 0.0, norm, verdict)
        return eta, verdict

    def look_and_solve(*arguments: Any) -> Any:
        *arrays, n, eps, norm, block, _, eta, verdict = arguments
        for r in range(eps.size):
            if verdict[r] == core.GO_ON and len(norm) < 3 and _is_moderate(eps[r]):
                row = _rows_of(*arrays, r, n)
                eta[r], verdict[r] = solve_new(row, norm, eps[r], block)
        return solve_rows(*arguments)

    functions = BlockFunctions(*(interpreted(kernel, passes) for kernel in _KERNELS))
    return functions._replace(solve_rows=look_and_solve)
