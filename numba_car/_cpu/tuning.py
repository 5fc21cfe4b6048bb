"""The parameters of the CPU kernels that p and the dtype decide."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from numba_car._core.constants import BLOCK_FLOAT32, BLOCK_FLOAT64, BLOCK_SMALL_P, SMALL_P
from numba_car._core.norms import (
    GENERAL,
    HALVES,
    MAXIMUM,
    ONE,
    TWO,
    in_lanes,
    inverse_of,
    norm_of,
)
from numba_car._cpu.sums import float64_block
from numba_car._layout import DType

# Elements below which a second thread costs more than it saves, some 0.3 ms: in double-double arithmetic, in kernels
# that take powers or sort, and, in bytes of x, for p = 1 and 2; for p = inf 4 times as many.
_DOUBLE_DOUBLE, POWERS, _PLAIN = 1 << 9, 1 << 16, 1 << 21
# Bytes that a thread copies at a time, where rows are no rows in memory; of long rows as many as a cache line of a
# column has, up to more bytes.
COPIED, _COPIED_ROWS, _MOST_COPIED = 1 << 20, 16, 1 << 22
_GROUP = 16  # rows: copies of so many begin and end with a cache line of columns
# Bytes of the longest row that is solved a tile at a time, across the lanes of vectors and not along them.
SHORT = 1 << 7
_MODERATE_P = 4


class Plan(NamedTuple):
    """Norm, block lengths, dtypes and work per thread that kernels use for one p and one dtype."""

    norm: tuple[float, ...]
    powers: tuple[tuple[float, float], tuple[float, float]]  # p and 1/p in double-double
    block: int  # elements that are summed before compensation sets in
    is_small_p: bool  # too small for float64 sums
    powers_dtype: DType  # of the powers of a row, where they are kept
    at_once: int  # elements that one thread does alone


def tasks_of(count: int, n: int, num_threads: int, at_once: int) -> list[tuple[int, int]]:
    """Return the row ranges that threads take, smaller towards the end so that threads finish together."""
    if num_threads == 1 and count * n <= at_once:
        return [(0, count)] if count else []
    tasks, start, shares = [], 0, 1 if num_threads == 1 else 2 * num_threads
    while start < count:
        size = min(max(at_once // 4, (count - start) * n // shares), at_once)
        taken = max(1, size // max(1, n))
        stop = min(count, start + taken - (taken % _GROUP if taken > _GROUP else 0))
        tasks.append((start, stop))
        start = stop
    return tasks


def copied_at_once(at_once: int, n: int, itemsize: int) -> int:
    """Return how many elements a thread takes where it would take `at_once`, if rows are copied."""
    rows = min(_COPIED_ROWS, _MOST_COPIED // max(1, n * itemsize)) if at_once >= POWERS else 0
    return max(min(at_once, COPIED // itemsize), rows * n)


def in_tiles(n: int, norm: tuple[float, ...], dtype: DType) -> bool:
    """Return whether rows of n elements are solved a tile at a time."""
    return 0 < n * dtype.itemsize <= SHORT and len(norm) in (ONE, TWO)


@functools.lru_cache
def plan_of(p: float, dtype: DType) -> Plan:
    """Return the plan for p and rows of that dtype, in which they are computed."""
    norm, is_float32 = in_lanes(norm_of(p)), dtype == np.float32
    p = norm[0]
    # In between, float32 holds the powers of most rows, in half the time.
    is_moderate = 1 <= p <= _MODERATE_P and (len(norm) != GENERAL or float(np.float32(p)) == p)
    powers = dtype if len(norm) <= TWO or (is_float32 and is_moderate) else np.dtype(np.float64)
    if powers == np.float32:
        block = BLOCK_FLOAT32 if p >= 2 else BLOCK_SMALL_P
    else:
        block = BLOCK_FLOAT64 if is_float32 else float64_block(norm)
    is_small_p = p < (SMALL_P * 2.0**-29 if is_float32 else SMALL_P) and len(norm) != HALVES
    plain = _PLAIN * (4 if len(norm) == MAXIMUM else 1) // dtype.itemsize
    at_once = (
        _DOUBLE_DOUBLE
        if is_small_p
        else plain
        if len(norm) <= TWO or len(norm) == MAXIMUM
        else POWERS
    )
    return Plan(norm, ((p, 0.0), inverse_of(p)), block, is_small_p, powers, at_once)
