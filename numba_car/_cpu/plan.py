"""What p and the dtype decide about how rows are solved."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from numba_car._core.limits import BLOCK_FLOAT32, BLOCK_FLOAT64, BLOCK_SMALL_P, SMALL_P
from numba_car._core.norms import inverse_of, norm_of
from numba_car._cpu.sums import float64_block
from numba_car._rows import DType

SMALL = 1 << 16  # elements that one thread does at once
_LARGE = 1 << 18  # a thread takes no more at a time; less would be lost in calls of the kernels
_BLOCKS = 32  # that a batch is cut into, between those, for threads to share evenly
_MODERATE_P = 4


class Plan(NamedTuple):
    """How the kernels are to compute."""

    norm: tuple[float, ...]
    powers: tuple[tuple[float, float], tuple[float, float]]  # p and 1/p, for `extended`
    block: int  # elements that are summed before compensation sets in
    is_small_p: bool  # too small for float64 sums
    powers_dtype: DType  # of the powers of a row, where they are kept


def rows_a_task(count: int, n: int) -> int:
    """Return how many rows a thread takes at a time, whatever the number of threads."""
    size = min(max(SMALL, count * n // _BLOCKS), _LARGE)
    return max(1, size // max(1, n))


@functools.lru_cache
def plan_of(p: float, dtype: DType) -> Plan:
    """Plan for rows of that dtype, which is what they are computed in."""
    norm, is_float32 = norm_of(p), dtype == np.float32
    p = norm[0]
    # In between, float32 holds the powers of most rows, in half the time.
    is_moderate = 1 <= p <= _MODERATE_P and float(np.float32(p)) == p
    powers = dtype if len(norm) < 3 or (is_float32 and is_moderate) else np.dtype(np.float64)
    if powers == np.float32:
        block = BLOCK_FLOAT32 if p >= 2 else BLOCK_SMALL_P
    else:
        block = BLOCK_FLOAT64 if is_float32 else float64_block(norm)
    return Plan(
        norm,
        ((p, 0.0), inverse_of(p)),
        block,
        p < (SMALL_P * 2.0**-29 if is_float32 else SMALL_P),
        powers,
    )
