"""Rows of different lengths: batches of rows of one shape, the threads that solve them, and their results.

Short rows of one shape are stacked, for a call costs as much as some thousand elements; others are solved alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from numba_car._cpu.long_rows import LONG
from numba_car._cpu.solve import frames_inside
from numba_car._cpu.threads import default_threads, run
from numba_car._layout import Array
from numba_car._ragged_call import Call

_SHORT = 1 << 12  # elements of a row above which a copy costs more than a call
_STACKED = 1 << 16  # elements of a batch
_FEW = 1 << 14  # elements that one thread solves before another one has begun

Found = list[tuple[Sequence[int], Any]]  # results of batches, each with the numbers of its rows


def _batches(call: Call) -> tuple[list[Sequence[int]], list[Sequence[int]]]:
    """Return rows that threads share each, and batches that are one thread's work each."""
    long: list[Sequence[int]] = []
    batches: list[Sequence[int]] = []
    short: dict[Any, list[int]] = {}
    for row, (x, delta) in enumerate(zip(call.x, call.delta, strict=True)):
        if x.size >= LONG:
            long.append((row,))
        elif x.size > _SHORT:
            batches.append((row,))
        else:
            short.setdefault((x.shape, x.dtype, delta.dtype), []).append(row)
    for (shape, *_), rows in short.items():
        size = max(1, _STACKED // max(1, math.prod(shape)))
        batches += [rows[start : start + size] for start in range(0, len(rows), size)]
    # Without rows, an empty batch tells the dtypes of results.
    return long, batches if batches or long else [()]


def solve(call: Call) -> Found:
    """Return the results of batches, each with the numbers of its rows; threads share the batches."""
    long, batches = _batches(call)
    found: Found = []
    elements = sum(x.size for x in call.x)
    threads = call.options.num_threads or (1 if elements <= _FEW else default_threads())
    alone = replace(call, options=call.options._replace(num_threads=1))

    def task(index: int) -> None:
        found.append((batches[index], alone.solve(batches[index])))

    try:
        for rows in long:
            found.append((rows, call.solve(rows)))
        run(task, len(batches), threads)
    except (TypeError, ValueError):
        call.raise_for_row()
        raise
    return found


def solve_by_rule(call: Call) -> Found:
    """Return what `solve` does; warn or raise once for all rows, where `infeasible` says so."""
    rule = call.options.infeasible
    if rule not in ("warn", "raise"):
        return solve(call)
    with_facts = "rescale_and_solve" if call.function == "rescale" else "solve"
    quiet = call.options._replace(infeasible="saturate")
    found = solve(replace(call, function=with_facts, options=quiet))
    where = _where_unreachable(call, found)
    if where and rule == "raise":
        raise ValueError(f"eps must be reachable where infeasible='raise': it is not {where}")
    if where:
        warnings.warn(f"eps cannot be reached {where}", RuntimeWarning, stacklevel=frames_inside())
    if call.function == "solve":
        return found
    return [(rows, values[0]) for rows, values in found]  # `eta`, or `out`


def _where_unreachable(call: Call, found: Found) -> str:
    """Return in how many rows eps cannot be reached and which is the first; nothing if there is none."""
    assert call.third is not None
    saturated = np.flatnonzero(numbers(call, [(rows, facts.saturated) for rows, facts in found]))
    if not saturated.size:
        return ""
    row = saturated[0]
    max_norm = numbers(call, [(rows, facts.max_norm) for rows, facts in found])[row]
    return (
        f"in {saturated.size} of {len(call.x)} rows, the first is row {row}: "
        f"eps {np.broadcast_to(call.third, len(call.x))[row]} > max_norm {max_norm}"
    )


def numbers(call: Call, found: Found) -> Array:
    """Return results of one number a row, in the order of the rows."""
    result = np.empty(len(call.x), np.result_type(*(values.dtype for _, values in found)))
    for rows, values in found:
        result[list(rows)] = values
    return result


def arrays(call: Call, found: Found) -> list[Array]:
    """Return results like x, in the order of the rows."""
    result: list[Any] = [None] * len(call.x)
    for rows, values in found:
        for row, value in zip(rows, values, strict=True):
            result[row] = value
    return result
