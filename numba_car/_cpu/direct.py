"""Small calls with nothing special about them: a few tests, and straight to the kernels.

The general way takes longer to find out what a call asks for than a kernel to solve a small image. Here,
None means that a call is not as plain as that, or that a row needs more than Newton's method.
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from numba_car._core.constants import LARGEST_P
from numba_car._core.norms import MAXIMUM, TWO
from numba_car._cpu import newton, plain
from numba_car._cpu.rescale import rescale_rows
from numba_car._cpu.sums import padded
from numba_car._cpu.tuning import plan_of
from numba_car._layout import Array, flat, is_plain
from numba_car._problem import PRECISIONS, Bounds, rounded

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_LARGEST = {dtype: PRECISIONS[dtype.name].largest for dtype in _DTYPES}


class _Solved(NamedTuple):
    rows: tuple[Any, ...]
    eta: Array
    verdict: Array


def _fits(out: Any, x: Any, delta: Any) -> bool:
    """Whether out is like x, and shares no memory with an input that it is not."""
    if not (type(out) is type(x) is np.ndarray and out.dtype is x.dtype and out.shape == x.shape):
        return False
    apart = all(given is out or not np.may_share_memory(given, out) for given in (x, delta))
    return apart and out.flags.writeable and is_plain(out)


def _solve(x: Any, delta: Any, eps: Any, p: float, bounds: Bounds) -> _Solved | None:
    if not (type(x) is type(delta) is np.ndarray and isinstance(eps, (float, int, np.floating))):
        return None
    dtype, (lower, upper) = x.dtype, bounds
    is_simple = dtype is delta.dtype and dtype in _DTYPES and x.shape == delta.shape and x.ndim > 1
    is_simple = is_simple and is_plain(x) and is_plain(delta)
    if not (is_simple and type(lower) is type(upper) is float and lower <= upper):
        return None
    # Beside float32, the largest number below would overflow.
    eps = float(eps) if isinstance(eps, np.floating) else eps
    if not (
        0 <= eps <= sys.float_info.max
        and type(p) in (float, int)
        and (0 < p < LARGEST_P or p == math.inf)
    ):
        return None
    plan, count = plan_of(p, dtype), len(x)
    if plan.is_small_p or not 0 < x.size <= plan.at_once:
        return None
    n = x.size // count
    limits = rounded(lower, dtype), rounded(upper, dtype)
    rows = ((flat(x), n), (flat(delta), n), *limits, n)
    eta, verdict, target = np.zeros(count), np.zeros(count, np.int64), np.empty(count)
    target.fill(eps)
    if len(plan.norm) <= TWO:
        all_done = plain.solve_rows(*rows, target, plan.norm, plan.block, eta, verdict)
    else:
        scratch = np.empty((2, 0 if len(plan.norm) == MAXIMUM else padded(n)), plan.powers_dtype)
        all_done = newton.solve_rows(*rows, target, plan.norm, plan.block, scratch, eta, verdict)
    if not all_done:
        return None
    return _Solved(rows, eta, verdict)


def eta(x: Any, delta: Any, eps: Any, p: float, bounds: Bounds) -> Array | None:
    """Eta by row, in float64, of a plain call that saturates what it cannot reach."""
    solved = _solve(x, delta, eps, p, bounds)
    return None if solved is None else solved.eta


def rescale(
    x: Any, delta: Any, eps: Any, p: float, bounds: Bounds, out: Array | None = None
) -> tuple[Array, Array] | None:
    """Eta and the rescaled batch of such a call, which goes to out if that is given."""
    if out is not None and not _fits(out, x, delta):
        return None
    solved = _solve(x, delta, eps, p, bounds)
    if solved is None:
        return None
    out = np.empty_like(x) if out is None else out
    target = out.reshape(-1), x.size // len(x)
    rescale_rows(*solved.rows, solved.verdict, solved.eta, _LARGEST[x.dtype], target)
    return solved.eta, out
