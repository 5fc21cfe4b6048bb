"""The public functions `project` and `maximize`, as `_api` has those that rescale."""

from __future__ import annotations

from typing import Any, Unpack, overload

from numpy.typing import NDArray

from numba_car._dispatch import library_of
from numba_car._layout import Array
from numba_car._options import (
    Axis,
    Bounds,
    Method,
    Options,
    Side,
    arrays_of,
    axis_of,
    check_order_of_ascent,
    check_order_of_projection,
    pair,
)
from numba_car._types import AnyArray, MaximizeOptions, OfNumPy, ProjectOptions, T

_OF_PROJECT, _OF_MAXIMIZE = arrays_of("project"), arrays_of("maximize")


@overload
def project(
    x: OfNumPy,
    z: OfNumPy,
    eps: OfNumPy,
    *,
    out: Array | None = None,
    **options: Unpack[ProjectOptions],
) -> NDArray[Any]: ...
@overload
def project(
    x: T, z: AnyArray, eps: AnyArray, *, out: T | None = None, **options: Unpack[ProjectOptions]
) -> T: ...
@overload
def project(
    x: Any, z: Any, eps: Any, *, out: Any = None, **options: Unpack[ProjectOptions]
) -> Any: ...


def project(
    x: AnyArray,
    z: AnyArray,
    eps: AnyArray,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    dim: Axis = None,
    method: Method = "auto",
    num_threads: int | None = None,
    side: Side = "nearest",
    out: Any = None,
) -> Any:
    r"""Project z onto the points within eps of x and inside the bounds.

    .. math:: \mathrm{arg\,min}_y \; \|y - z\|_2 \quad\text{where}\quad
              \|y - x\|_p \le \epsilon, \; l \le y \le u

    Parameters
    ----------
    x : array_like
        The centers, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    z : array_like
        The points to project, anywhere; broadcast against `x`.
    eps : array_like
        The largest distances, finite and >= 0, in the units of `x`: a scalar, or one per row.
        Leading axes that the rows do not have are a sweep: results have them too.
    p : {1, 2, inf}, optional
        Order of the norm.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    dim : int, str or tuple, optional
        Another name of `axis`, that of PyTorch and xarray. Dimensions of xarray go by name.
    method : {"auto", "newton", "sort"}, optional
        How the threshold is found for p = 1, and the scale for p = 2: "newton" iterates, and sorts
        only if that is slow; "sort" sorts and scans. They agree to within rounding; "auto" is "newton".
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.
    side : {"nearest", "inside"}, optional
        Where rounding may put the result: to within a few units in the last place of eps, on either
        side, or, as it is stored, never farther than eps from x in exact arithmetic.
    out : ndarray, optional
        Where to store the result; it may be `x` or `z`. It is not touched if there is an error.

    Returns
    -------
    ndarray
        `out`, or a new array of the shape that x and z broadcast to, in the memory order of x. It
        never leaves the bounds. Rows with NaN or inf in `x` or `z` are NaN.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, x is outside its bounds by more than rounding, or
        p is not 1, 2 or inf.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

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
    options = Options(
        p, pair(bounds), axis_of(axis, dim), method=method, num_threads=num_threads, side=side
    )
    library = library_of(x, z, eps, *options.bounds, out, names=_OF_PROJECT)
    return library.project(x, z, eps, options, out)


@overload
def maximize(
    x: OfNumPy,
    g: OfNumPy,
    eps: OfNumPy,
    *,
    out: Array | None = None,
    **options: Unpack[MaximizeOptions],
) -> NDArray[Any]: ...
@overload
def maximize(
    x: T, g: AnyArray, eps: AnyArray, *, out: T | None = None, **options: Unpack[MaximizeOptions]
) -> T: ...
@overload
def maximize(
    x: Any, g: Any, eps: Any, *, out: Any = None, **options: Unpack[MaximizeOptions]
) -> Any: ...


def maximize(
    x: AnyArray,
    g: AnyArray,
    eps: AnyArray,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    dim: Axis = None,
    num_threads: int | None = None,
    side: Side = "nearest",
    out: Any = None,
) -> Any:
    r"""Move x to where a gradient promises most, within eps and inside the bounds.

    .. math:: \mathrm{arg\,max}_y \; \langle g, y\rangle \quad\text{where}\quad
              \|y - x\|_p \le \epsilon, \; l \le y \le u

    A linear maximisation oracle: the step of the fast gradient method and of Frank-Wolfe's.

    Parameters
    ----------
    x : array_like
        The centers, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    g : array_like
        The gradients; broadcast against `x`. Only their direction matters.
    eps : array_like
        The largest distances, finite and >= 0, in the units of `x`: a scalar, or one per row.
        Leading axes that the rows do not have are a sweep: results have them too.
    p : float, optional
        Order of the norm, at least 1; it may be inf.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    dim : int, str or tuple, optional
        Another name of `axis`, that of PyTorch and xarray. Dimensions of xarray go by name.
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.
    side : {"nearest", "inside"}, optional
        Where rounding may put the result: to within a few units in the last place of eps, on either
        side, or, as it is stored, never farther than eps from x in exact arithmetic.
    out : ndarray, optional
        Where to store the result; it may be `x` or `g`. It is not touched if there is an error.

    Returns
    -------
    ndarray
        `out`, or a new array of the shape that x and g broadcast to, in the memory order of x. It
        never leaves the bounds. Coordinates where g is 0 stay where they are; rows with NaN or inf in
        `x` or `g` are NaN.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, x is outside its bounds by more than rounding, or
        p < 1, where the ball is not convex.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

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
    options = Options(p, pair(bounds), axis_of(axis, dim), num_threads=num_threads, side=side)
    library = library_of(x, g, eps, *options.bounds, out, names=_OF_MAXIMIZE)
    return library.maximize(x, g, eps, options, out)
