"""Write projections: for p = 2 along z - x, for p = inf coordinate by coordinate."""

import math

import numpy as np

from numba_car._core.clip import pull_back, push_forward
from numba_car._core.derivative import clamp
from numba_car._core.verdicts import NEEDS_MORE_DIGITS
from numba_car._cpu.rescale import rescale_row
from numba_car._cpu.row import at, element, row_of, rows_of, store_all
from numba_car._jit import kernel, loop, rows


@loop
def clip_row(row, reach, largest, out):
    """Store z clipped to the bounds, and to within `reach` of x; the row has z in the place of delta."""
    for i in range(out.size):
        x, z, lower, upper = element(row, i, np.float64)
        low, high = max(lower, x - reach, -largest), min(upper, x + reach, largest)
        out[i] = min(max(z, low), high)


@kernel
def project_rows(x, delta, lower, upper, n, z, verdict, eta, largest, out):
    """Write x + min(1, eta)*delta, inside the bounds, of those of a block of rows that are not NEEDS_MORE_DIGITS.

    delta is z - x; where eta >= 1, the result is z inside the bounds, without the rounding of delta.
    """
    for r in range(eta.size):
        if verdict[r] != NEEDS_MORE_DIGITS:
            target = row_of(out, r, n)
            if eta[r] >= 1.0:
                clip_row(rows_of(x, z, lower, upper, r, n), math.inf, largest, target)
            else:
                rescale_row(rows_of(x, delta, lower, upper, r, n), eta[r], largest, target)


@kernel
def clip_to_ball_rows(x, z, lower, upper, n, eps, eta, largest, out):
    """Write the points of the box nearest to z, each element at most eps from x; NaN where eta is NaN."""
    for r in range(eps.size):
        target = row_of(out, r, n)
        if math.isnan(eta[r]):
            target[:] = math.nan
        else:
            clip_row(rows_of(x, z, lower, upper, r, n), eps[r], largest, target)


@rows
def _pull_clip_row(row, g, reach, largest, outputs):
    """Store the gradients of a row that is clipped; return those of the reach, and the sums of those of the bounds."""
    of_reach, of_lower, of_upper = 0.0, 0.0, 0.0
    for i in range(row[0].size):
        x, z, lower, upper = element(row, i, np.float64)
        found = pull_back(x, z, lower, upper, reach, np.float64(at(g, i)))
        store_all(outputs, i, found[0], found[1], found[2], found[3])
        of_lower += found[2]
        of_upper += found[3]
        of_reach += found[4]
    return clamp(of_reach, largest), clamp(of_lower, largest), clamp(of_upper, largest)


@kernel
def clip_to_ball_vjp_rows(x, z, lower, upper, n, g, eps, eta, largest, outputs, sums):
    """Store the gradients of `clip_to_ball_rows`."""
    for r in range(eps.size):
        row, target = (
            rows_of(x, z, lower, upper, r, n),
            rows_of(outputs[0], outputs[1], outputs[2], outputs[3], r, n),
        )
        upstream, reach = row_of(g, r, n), eps[r]
        if math.isnan(eta[r]):
            for i in range(n):
                store_all(target, i, math.nan, math.nan, math.nan, math.nan)
            sums[:, r] = math.nan
        else:
            found = _pull_clip_row(row, upstream, reach, largest, target)
            sums[0, r], sums[1, r], sums[2, r] = found


@kernel
def project_vjp_rows(x, z, lower, upper, n, g, eta, largest, outputs, sums):
    """Store the gradients of `project_rows`, given those of clip(x + eta*delta) by x and by delta in the outputs.

    Since delta is z - x, x loses what delta gets; where eta >= 1, the result is z inside the bounds.
    """
    for r in range(eta.size):
        target = rows_of(outputs[0], outputs[1], outputs[2], outputs[3], r, n)
        if eta[r] >= 1.0:
            row, upstream = rows_of(x, z, lower, upper, r, n), row_of(g, r, n)
            found = _pull_clip_row(row, upstream, math.inf, largest, target)
            sums[0, r], sums[1, r], sums[2, r] = 0.0, found[1], found[2]
        else:
            for i in range(n):
                of_x, of_z = np.float64(target[0][i]), np.float64(target[1][i])
                target[0][i] = clamp(of_x - of_z, largest)


@kernel
def clip_jvp_rows(x, z, lower, upper, n, tangents, reach, chosen, out):
    """Store the tangents of z clipped to the bounds and to within `reach` of x, of the rows that are chosen."""
    of_x, of_z, of_reach = tangents
    for r in range(reach.size):
        if chosen[r]:
            row, target = rows_of(x, z, lower, upper, r, n), row_of(out, r, n)
            by_x, by_z = row_of(of_x, r, n), row_of(of_z, r, n)
            for i in range(n):
                values = element(row, i, np.float64)
                moved = np.float64(at(by_x, i)), np.float64(at(by_z, i)), of_reach[r]
                target[i] = push_forward(*values, reach[r], *moved)
