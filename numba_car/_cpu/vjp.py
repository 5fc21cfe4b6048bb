"""Gradients of eta and of clip(x + eta*delta), in two passes over a row: analyse, then write.

Both are one computation. A coordinate gets g_i, or eta*g_i, where it is free, plus pull times the
derivative of eta, where g is upstream of it and pull of eta.
"""

import math

import numpy as np

from numba_car._core.derivative import by_decider, clamp, pull_back, rate_of_pull
from numba_car._core.norms import is_float32
from numba_car._cpu.active_set import analyse, arrived_at, block_of, fits, held
from numba_car._cpu.row import (
    at,
    element,
    part,
    parts_of,
    row_of,
    rows_of,
    size_of,
    store,
    store_all,
)
from numba_car._cpu.sums import add
from numba_car._jit import kernel, loop, rows


@loop
def _write(row, g, norm, inverse, eta, rate, largest, outputs):
    """Store the gradients of a block of coordinates; return the sums of those of the bounds."""
    dtype, arrived = type(eta), arrived_at(eta)
    sum_lower, sum_upper = dtype(0), dtype(0)
    for i in range(row[0].size):
        x, delta, lower, upper = element(row, i, dtype)
        upstream = dtype(at(g, i))
        to_x, to_delta, to_lower, to_upper = pull_back(
            x, delta, lower, upper, norm, inverse, upstream, eta, arrived, rate
        )
        found = clamp(to_x, largest), clamp(to_delta, largest)
        store_all(outputs, i, *found, clamp(to_lower, largest), clamp(to_upper, largest))
        sum_lower += to_lower
        sum_upper += to_upper
    return sum_lower, sum_upper


@rows
def _write_row(row, g, norm, inverse, eta, rate, largest, outputs):
    lower, lower_lost, upper, upper_lost = 0.0, 0.0, 0.0, 0.0
    dtype, block = type(eta), block_of(eta)
    for start in range(0, row[0].size, block):
        stop = min(start + block, row[0].size)
        here, targets = parts_of(row, start, stop), parts_of(outputs, start, stop)
        numbers = dtype(inverse), eta, dtype(rate), dtype(largest)
        a, b = _write(here, part(g, start, stop), norm, *numbers, targets)
        lower, lower_lost = add(lower, lower_lost, np.float64(a))
        upper, upper_lost = add(upper, upper_lost, np.float64(b))
    return lower + lower_lost, upper + upper_lost


@rows
def _backward(row, g, h, norm, eps, eta, largest, outputs):
    """Return whether the dtype of eta held all sums, and what `vjp_row` returns."""
    out_x, out_delta, out_lower, out_upper = outputs
    share, pull, rate, by_eps, decider, saturated = analyse(row, g, norm, eps, eta)
    is_lost = share == 0 or (pull == 0 and size_of(g, 0) > 0)
    pull += h
    rate, inverse = rate_of_pull(pull, rate, eps)
    safe = fits(share) and fits(pull) and fits(rate) and fits(rate * eta)
    if is_float32(eta) and (is_lost or not safe):
        return False, 0.0, 0.0, 0.0
    like = row[0].dtype.type(0)
    if saturated and is_float32(like) and not is_float32(eta) and fits(eta) and eta > 0:
        # Nothing but g, eta*g and 0 is to be written, to which float64 adds no digits.
        how = type(like)(eta), 0.0, largest, outputs
        to_lower, to_upper = _write_row(row, g, norm, inverse, *how)
    else:
        to_lower, to_upper = _write_row(row, g, norm, inverse, eta, rate, largest, outputs)
    if decider >= 0:
        more = by_decider(np.float64(row[1][decider]), pull, eta, saturated)
        increase(out_x, decider, more[0], largest)
        increase(out_delta, decider, more[1], largest)
        increase(out_lower, decider, more[2], largest)
        increase(out_upper, decider, more[3], largest)
        to_lower, to_upper = to_lower + more[2], to_upper + more[3]
    by_eps = clamp(pull * by_eps, largest)
    return True, by_eps, clamp(to_lower, largest), clamp(to_upper, largest)


@rows
def increase(values, index, value, largest):
    """Add a number to values[index], and clip the sum; do nothing if `values` is one number."""
    store(values, index, clamp(np.float64(at(values, index)) + value, largest))


@rows
def vjp_row(row, g, h, norm, eps, eta, largest, outputs):
    """Store the gradients of one row; return those of eps, and the sums of those of the bounds."""
    if math.isnan(eta):
        for i in range(row[0].size):
            store_all(outputs, i, math.nan, math.nan, math.nan, math.nan)
        return math.nan, math.nan, math.nan
    like, eta = row[0].dtype.type(0), held(row, eps, eta)
    found = False, 0.0, 0.0, 0.0
    if is_float32(like) and eps > 0 and fits(eta) and fits(eps):
        found = _backward(row, g, h, norm, eps, type(like)(eta), largest, outputs)
    if not found[0]:
        found = _backward(row, g, h, norm, eps, eta, largest, outputs)
    return found[1:]


@kernel
def vjp_rows(x, delta, lower, upper, n, g, h, norm, eps, eta, largest, outputs, sums, left):
    """Store the gradients of those rows of a block that are left: by element, and by row those of eps and the bounds."""
    for r in range(eps.size):
        if not left[r]:
            continue
        row = rows_of(x, delta, lower, upper, r, n)
        out = rows_of(outputs[0], outputs[1], outputs[2], outputs[3], r, n)
        sums[0, r], sums[1, r], sums[2, r] = vjp_row(
            row, row_of(g, r, n), h[r], norm, eps[r], eta[r], largest, out
        )
