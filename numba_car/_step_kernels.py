"""Row-level jitted functions of `numba_car.kernels` that go with `norm`, `project` and `maximize`; for the CPU."""

import math

import numpy as np

from numba_car._core.constants import SLACK
from numba_car._cpu import greedy, greedy_results, l1_projection
from numba_car._cpu.any_row import is_valid, norm_at, solve, write
from numba_car._cpu.directions import ascend, subtract
from numba_car._cpu.project import clip_row
from numba_car._jit import kernel


@kernel
def norm(x, delta, eta, p, lower, upper):
    """Norm that a scale reaches in one row; see `numba_car.norm`.

    Parameters
    ----------
    x, delta : 1-D array of float32 or float64
        The row and its direction.
    eta : float
        The scale, >= 0; it may be inf.
    p : float
        Order of the norm, in (0, inf].
    lower, upper : float or array like x
        The bounds; infinite for none.

    Returns
    -------
    float
        The norm in float64; NaN for a row that breaks a rule.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import kernels
    >>> x, delta = np.array([0.9, 0.5]), np.array([1.0, -1.0])
    >>> round(kernels.norm(x, delta, 0.3, 1.0, 0.0, 1.0), 6)
    0.4
    """
    row = x, delta, lower, upper
    if not (eta >= 0 and is_valid(row, p)):
        return math.nan
    return norm_at(row, p, np.float64(eta))


@kernel
def project(x, z, eps, p, lower, upper, out):
    """Fill out with the point of one row nearest to z within eps of x and inside the bounds; see `numba_car.project`.

    Parameters
    ----------
    x, z : 1-D array of float32 or float64
        The center and the point to project.
    eps : float
        The largest distance, finite and >= 0.
    p : float
        Order of the norm: 1, 2 or inf.
    lower, upper : float or array like x
        The bounds; infinite for none.
    out : 1-D array
        Where the result goes, as long as x; it may be x or z.

    Returns
    -------
    float
        For p = 2 min(1, eta), for p = 1 the threshold of ``|z - x|``, for p = inf 0; NaN for a row that
        breaks a rule. Where it is NaN for the arrays' lengths, `out` is as it was.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import kernels
    >>> x, z = np.array([0.9, 0.5, 0.1]), np.array([1.9, 0.9, 0.1])
    >>> kernels.project(x, z, 0.25, 1.0, 0.0, 1.0, z) > 0
    True
    >>> z
    array([1.  , 0.65, 0.1 ])
    """
    row = x, z, lower, upper
    eps, largest = np.float64(eps), np.float64(np.finfo(out.dtype).max)
    if out.size != x.size or z.size != x.size:
        return math.nan
    if not (0 <= eps < math.inf and p in (1.0, 2.0, math.inf) and is_valid(row, p)):
        out[:] = math.nan
        return math.nan
    if p == 1:
        slack = SLACK * np.finfo(x.dtype).eps
        found, verdict = l1_projection.solve_row(row, eps, slack, False)
        l1_projection.write_any_row(row, eps, found, verdict, out)
        return found[0]
    if p == math.inf:
        clip_row(row, eps, largest, out)
        return 0.0
    direction = z - x
    subtract(z, x, direction.dtype.type(np.finfo(direction.dtype).max), direction)
    along = x, direction, lower, upper
    solved = solve(along, eps, 2.0)
    if solved[0] >= 1.0:
        clip_row(row, math.inf, largest, out)
        return 1.0
    write(along, solved, out)
    return solved[0]


@kernel
def maximize(x, g, eps, p, lower, upper, out):
    """Fill out with the point of one row that a gradient promises most for; see `numba_car.maximize`.

    Parameters
    ----------
    x, g : 1-D array of float32 or float64
        The center and the gradient.
    eps : float
        The largest distance, finite and >= 0.
    p : float
        Order of the norm, at least 1; it may be inf.
    lower, upper : float or array like x
        The bounds; infinite for none.
    out : 1-D array
        Where the result goes, as long as x; it may be x or g.

    Returns
    -------
    float
        Eta along the direction of best ascent, for p = 1 what the last element takes of eps; NaN for a row
        that breaks a rule. Where it is NaN for the arrays' lengths, `out` is as it was.

    Notes
    -----
    Powers ``|g|**(1/(p - 1))`` that are too small for the dtype count as 0, even where all others saturate.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import kernels
    >>> x, g = np.array([0.9, 0.5, 0.1]), np.array([2.0, 1.0, -1.0])
    >>> kernels.maximize(x, g, 0.25, 1.0, 0.0, 1.0, g) > 0
    True
    >>> g
    array([1.  , 0.65, 0.1 ])
    """
    row = x, g, lower, upper
    eps = np.float64(eps)
    if out.size != x.size or g.size != x.size:
        return math.nan
    if not (0 <= eps < math.inf and p >= 1 and is_valid(row, p)):
        out[:] = math.nan
        return math.nan
    if p == 1:
        pivot, rest = greedy.select_row(row, eps, greedy.scratch_for(x.size))
        greedy_results.write_row(row, pivot, rest, np.float64(np.finfo(out.dtype).max), out)
        return rest
    direction = np.empty_like(g)
    ascend(g, p, direction)
    along = x, direction, lower, upper
    solved = solve(along, eps, np.float64(p))
    write(along, solved, out)
    return solved[0]
