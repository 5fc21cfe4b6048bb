"""The public functions `project` and `maximize`, as `_api` has those that rescale."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from numba_car._dispatch import library_of
from numba_car._layout import Array
from numba_car._options import (
    Axis,
    Bounds,
    Options,
    check_order_of_ascent,
    check_order_of_projection,
    pair,
)


def project(
    x: ArrayLike,
    z: ArrayLike,
    eps: ArrayLike,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    method: str = "auto",
    num_threads: int | None = None,
    side: str = "nearest",
    out: Array | None = None,
) -> Any:
    r"""Project z onto the points within eps of x and inside the bounds.

    .. math:: \mathrm{arg\,min}_y \; \|y - z\|_2 \quad\text{where}\quad
              \|y - x\|_p \le \epsilon, \; l \le y \le u

    Parameters
    ----------
    x : array_like
        The centers, inside `bounds`, as for `eta`.
    z : array_like
        The points to project, anywhere; broadcast against `x`.
    eps : array_like
        The largest distances, finite and >= 0, in the units of `x`: a scalar, one per row, or a
        sweep, as for `eta`.
    p : {1, 2, inf}, optional
        Order of the norm.
    bounds, axis
        As for `eta`.
    method : {"auto", "newton", "sort"}, optional
        For p = 1 how the threshold is found, for p = 2 the scale, as for `eta`.
    num_threads : int, optional
        As for `eta`.
    side : {"nearest", "inside"}, optional
        As for `rescale`.
    out : ndarray, optional
        Where to store the result; it may be `x` or `z`. It is not touched if there is an error.

    Returns
    -------
    ndarray
        `out`, or a new array of the shape that x and z broadcast to. It never leaves the bounds.
        Rows with NaN or inf in `x` or `z` are NaN.

    Raises
    ------
    ValueError, TypeError
        As for `rescale`, and if p is not 1, 2 or inf.

    Notes
    -----
    With :math:`d = z - x`, p = 2 gives :math:`\mathrm{clip}(x + \min(1, \eta)\,d, l, u)` with `eta`
    of :math:`d`; p = inf gives z clipped to both boxes; p = 1 moves each coordinate
    towards z by :math:`\min(\max(|d_i| - \lambda, 0), \mathrm{room}_i)` with the smallest
    :math:`\lambda \ge 0` that keeps the sum at or below eps.

    References
    ----------
    .. [1] R. Cominetti, W. F. Mascarenhas and P. J. S. Silva, "A Newton's method for the continuous
       quadratic knapsack problem", Math. Prog. Comp. 6, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> x, z = np.array([[0.9, 0.5, 0.1]]), np.array([[1.9, 0.9, 0.1]])
    >>> car.project(x, z, 0.25)
    array([[1.        , 0.72912878, 0.1       ]])
    >>> car.project(x, z, 0.25, p=np.inf)
    array([[1.  , 0.75, 0.1 ]])
    """
    check_order_of_projection(p)
    options = Options(p, pair(bounds), axis, method=method, num_threads=num_threads, side=side)
    return library_of(x, z, eps, *options.bounds, out).project(x, z, eps, options, out)


def maximize(
    x: ArrayLike,
    g: ArrayLike,
    eps: ArrayLike,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    num_threads: int | None = None,
    side: str = "nearest",
    out: Array | None = None,
) -> Any:
    r"""Move x to where a gradient promises most, within eps and inside the bounds.

    .. math:: \mathrm{arg\,max}_y \; \langle g, y\rangle \quad\text{where}\quad
              \|y - x\|_p \le \epsilon, \; l \le y \le u

    A linear maximisation oracle: the step of the fast gradient method and of Frank-Wolfe's.

    Parameters
    ----------
    x : array_like
        The centers, inside `bounds`, as for `eta`.
    g : array_like
        The gradients; broadcast against `x`. Only their direction matters.
    eps : array_like
        The largest distances, as for `project`.
    p : float, optional
        Order of the norm, at least 1; it may be inf.
    bounds, axis, num_threads
        As for `eta`.
    side, out
        As for `rescale`.

    Returns
    -------
    ndarray
        `out`, or a new array of the shape that x and g broadcast to. It never leaves the bounds.
        Coordinates where g is 0 stay where they are; rows with NaN or inf in `x` or `g` are NaN.

    Raises
    ------
    ValueError, TypeError
        As for `rescale`, and if p < 1, where the ball is not convex.

    Notes
    -----
    For 1 < p < inf the result is `rescale` along :math:`\mathrm{sign}(g)\,|g|^{1/(p-1)}`, saturated
    where everything that g moves is at its bound; for p = inf along the sign of g. For p = 1
    coordinates take all their room, those with the largest g in size first and of equals the first
    in the row, until eps is spent.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> x, g = np.array([[0.9, 0.5, 0.1]]), np.array([[2.0, 1.0, -1.0]])
    >>> car.maximize(x, g, 0.25)
    array([[1.        , 0.70615528, 0.        ]])
    >>> car.maximize(x, g, 0.25, p=np.inf)
    array([[1.  , 0.75, 0.  ]])
    """
    check_order_of_ascent(p)
    options = Options(p, pair(bounds), axis, num_threads=num_threads, side=side)
    return library_of(x, g, eps, *options.bounds, out).maximize(x, g, eps, options, out)
