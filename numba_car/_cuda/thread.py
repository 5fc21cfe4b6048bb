"""The functions of `numba_car.kernels` for ``@cuda.jit`` code: one thread solves one row.

They take what their namesakes there take, and return the same to within rounding. Each pass reads the
row again, in float64, and nothing is stored but results.
"""

import math

import numpy as np
from numba import types
from numba.cuda.extending import overload

from numba_car._core.constants import LARGEST, SLACK
from numba_car._core.norms import NORM_1, NORM_2, NORM_MAX, any_norm, is_float32
from numba_car._core.verdicts import PENDING
from numba_car._cuda.jit import device
from numba_car._cuda.measure import norm_reached, solve_maximum_norm
from numba_car._cuda.newton import solve_finite
from numba_car._cuda.rescale import moved
from numba_car._cuda.row import at
from numba_car._cuda.team import ONE_THREAD
from numba_car._cuda.terms import NO_TERMS
from numba_car._cuda.validate import read_and_validate
from numba_car._cuda.vjp import vjp_row

_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


def as_batch(values):
    """Return an array or a number as a batch, see `_cuda.row`; this form is for the simulator."""
    return (values, np.int64(0)) if hasattr(values, "__len__") else (values,)


@overload(as_batch)
def _as_batch(values):
    if isinstance(values, types.Array):
        return lambda values: (values, np.int64(0))
    return lambda values: (values,)


def size_of(values, default):
    """Return the length of an array, and the default for a number; this form is for the simulator."""
    return len(values) if hasattr(values, "__len__") else default


@overload(size_of)
def _size_of(values, default):
    if isinstance(values, types.Array):
        return lambda values, default: values.size
    return lambda values, default: default


@device
def _row_of(x, delta, lower, upper):
    """Return the row (x, delta, lower, upper, r, n) that device functions take."""
    bounds = as_batch(lower), as_batch(upper)
    return as_batch(x), as_batch(delta), bounds[0], bounds[1], np.int64(0), np.int64(x.size)


@device
def _largest_of(array):
    """Return the largest finite number of an array's dtype."""
    return _LARGEST_FLOAT32 if is_float32(array.dtype.type(0)) else LARGEST


@device
def _validated(x, delta, p, lower, upper):
    """Return the largest |delta| of a row, and whether the row, its lengths and p are valid."""
    n = x.size
    if not (p > 0 and delta.size == n and size_of(lower, n) == n and size_of(upper, n) == n):
        return 0.0, False
    slack = SLACK * (2.0**-23 if is_float32(x.dtype.type(0)) else 2.0**-52)
    row = _row_of(x, delta, lower, upper)
    max_abs_delta, verdict = read_and_validate(row, slack, np.float64(0), NO_TERMS, ONE_THREAD)
    return max_abs_delta, verdict == PENDING


@device
def eta(x, delta, eps, p, lower, upper):
    """See `numba_car.kernels.eta`."""
    eps, p = np.float64(eps), np.float64(p)
    max_abs_delta, is_valid = _validated(x, delta, p, lower, upper)
    if not (is_valid and 0 <= eps < math.inf):
        return math.nan
    if eps == 0 or max_abs_delta == 0:
        return 0.0
    row, like = _row_of(x, delta, lower, upper), np.float64(0)
    if p == math.inf:
        return solve_maximum_norm(row, eps, ONE_THREAD)
    if p == 1:
        return solve_finite(row, NORM_1, eps, max_abs_delta, like, NO_TERMS, ONE_THREAD)
    if p == 2:
        return solve_finite(row, NORM_2, eps, max_abs_delta, like, NO_TERMS, ONE_THREAD)
    return solve_finite(row, any_norm(p), eps, max_abs_delta, like, NO_TERMS, ONE_THREAD)


@device
def rescale(x, delta, eps, p, lower, upper, out):
    """See `numba_car.kernels.rescale`."""
    if out.size != x.size:
        return math.nan
    scale, largest = eta(x, delta, eps, p, lower, upper), _largest_of(out)
    lower, upper = as_batch(lower), as_batch(upper)
    for i in range(out.size):
        low, high = at(lower, 0, i, np.float64), at(upper, 0, i, np.float64)
        out[i] = moved(np.float64(x[i]), np.float64(delta[i]), low, high, largest, scale)
    return scale


@device
def max_norm(x, delta, p, lower, upper):
    """See `numba_car.kernels.max_norm`."""
    p = np.float64(p)
    if not _validated(x, delta, p, lower, upper)[1]:
        return math.nan
    row = _row_of(x, delta, lower, upper)
    if p == math.inf:
        return norm_reached(row, NORM_MAX, math.inf, ONE_THREAD)
    return norm_reached(row, any_norm(p), math.inf, ONE_THREAD)


@device
def backward(x, delta, eps, p, lower, upper, eta, grad_out, grad_eta, out_x, out_delta):
    """See `numba_car.kernels.backward`."""
    p, eps, h, n = np.float64(p), np.float64(eps), np.float64(grad_eta), x.size
    are_of_one_size = size_of(grad_out, n) == n and out_x.size == n and out_delta.size == n
    is_valid = are_of_one_size and 0 <= eps < math.inf and _validated(x, delta, p, lower, upper)[1]
    eta = np.float64(eta) if is_valid else math.nan
    row, g = _row_of(x, delta, lower, upper), as_batch(grad_out)
    outputs = as_batch(out_x), as_batch(out_delta), (0.0,), (0.0,)
    largest = _largest_of(x)
    if p == math.inf:
        highest = NORM_MAX
        return vjp_row(row, g, h, highest, eps, eta, largest, outputs, ONE_THREAD)[0]
    return vjp_row(row, g, h, any_norm(p), eps, eta, largest, outputs, ONE_THREAD)[0]
