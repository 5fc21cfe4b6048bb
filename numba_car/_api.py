"""The public functions that rescale: their documentation, and the call of the module that has them for the arrays given."""

from __future__ import annotations

from typing import Any, Literal, Unpack, overload

from numpy.typing import NDArray

from numba_car._dispatch import library_of, on_grid_of
from numba_car._layout import Array
from numba_car._options import (
    Axis,
    Bounds,
    Infeasible,
    Method,
    Options,
    Rescaled,
    Side,
    Solution,
    axis_of,
    pair,
)
from numba_car._types import AnyArray, OfNumPy, RescaleOptions, SolveOptions, T


@overload
def eta(
    x: OfNumPy, delta: OfNumPy, eps: OfNumPy, **options: Unpack[SolveOptions]
) -> NDArray[Any]: ...
@overload
def eta(x: T, delta: AnyArray, eps: AnyArray, **options: Unpack[SolveOptions]) -> T: ...
@overload
def eta(x: Any, delta: Any, eps: Any, **options: Unpack[SolveOptions]) -> Any: ...


def eta(
    x: AnyArray,
    delta: AnyArray,
    eps: AnyArray,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    dim: Axis = None,
    keepdims: bool = False,
    infeasible: Infeasible = "saturate",
    method: Method = "auto",
    num_threads: int | None = None,
) -> Any:
    r"""Scale that puts each row's clipped perturbation at norm eps.

    .. math:: \eta = \min\{\eta \ge 0 : \|\mathrm{clip}(x + \eta\,\delta, l, u) - x\|_p
              \ge \min(\epsilon, R)\}

    where `R` is the largest norm that can be reached, see `max_norm`.

    Parameters
    ----------
    x : array_like
        The inputs, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    delta : array_like
        The directions; broadcast against `x`.
    eps : array_like
        Target norms, finite and >= 0, in the units of `x`: a scalar, or one per row. Leading axes
        that the rows do not have are a sweep: results have them too, one solve for each entry.
    p : float, optional
        Order of the norm, in (0, inf]; below 1 a quasi-norm.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    dim : int, str or tuple, optional
        Another name of `axis`, that of PyTorch and xarray. Dimensions of xarray go by name.
    keepdims : bool, optional
        Keep the axes of a row as axes of length 1.
    infeasible : {"saturate", "warn", "nan", "raise"}, optional
        What a row with ``eps > R``, its `max_norm`, gets: the smallest eta that reaches `R`, the same
        and a RuntimeWarning that counts such rows, NaN, or a ValueError.
    method : {"auto", "newton", "sort"}, optional
        "newton" iterates on the free set, and sorts only if that is slow; "sort" sorts and scans as
        the paper does. They agree to within rounding; "auto" is "newton".
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.

    Returns
    -------
    ndarray or scalar
        One eta per row, of the dtype that NumPy promotes `x` and `delta` to. It is 0 where eps is 0
        or nothing can move, and NaN in rows with NaN or inf in `x` or `delta`.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, or x is outside its bounds by more than rounding.
    TypeError
        If an array does not hold integers or floats.

    Notes
    -----
    The norm that eta reaches agrees with ``min(eps, R)`` to a few units in the last place of the
    dtype. Float32 is summed in float32 by short blocks, whose sums are added in float64.

    References
    ----------
    .. [1] J. Rauber and M. Bethge, "Fast Differentiable Clipping-Aware Normalization and
       Rescaling", arXiv:2007.07677, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> x = np.array([[0.9, 0.5, 0.1], [0.5, 0.5, 0.5]])
    >>> delta = np.array([[1.0, 1.0, 0.0], [3.0, 0.0, 4.0]])
    >>> car.eta(x, delta, 0.25)
    array([0.22912878, 0.05      ])
    """
    options = Options(
        p, pair(bounds), axis_of(axis, dim), keepdims, infeasible, method, num_threads
    )
    return library_of(x, delta, eps, *options.bounds).eta(x, delta, eps, options)


@overload
def rescale(
    x: OfNumPy,
    delta: OfNumPy,
    eps: OfNumPy,
    *,
    out: Array | None = None,
    full_output: Literal[False] = False,
    **options: Unpack[RescaleOptions],
) -> NDArray[Any]: ...
@overload
def rescale(
    x: T,
    delta: AnyArray,
    eps: AnyArray,
    *,
    out: T | None = None,
    full_output: Literal[False] = False,
    **options: Unpack[RescaleOptions],
) -> T: ...
@overload
def rescale(
    x: Any,
    delta: Any,
    eps: Any,
    *,
    out: Any = None,
    full_output: Literal[False] = False,
    **options: Unpack[RescaleOptions],
) -> Any: ...
@overload
def rescale(
    x: OfNumPy,
    delta: OfNumPy,
    eps: OfNumPy,
    *,
    out: Array | None = None,
    full_output: Literal[True],
    **options: Unpack[RescaleOptions],
) -> Rescaled[NDArray[Any]]: ...
@overload
def rescale(
    x: T,
    delta: AnyArray,
    eps: AnyArray,
    *,
    out: T | None = None,
    full_output: Literal[True],
    **options: Unpack[RescaleOptions],
) -> Rescaled[T]: ...
@overload
def rescale(
    x: Any,
    delta: Any,
    eps: Any,
    *,
    out: Any = None,
    full_output: Literal[True],
    **options: Unpack[RescaleOptions],
) -> Rescaled[Any]: ...


def rescale(
    x: AnyArray,
    delta: AnyArray,
    eps: AnyArray,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    dim: Axis = None,
    keepdims: bool = False,
    infeasible: Infeasible = "saturate",
    method: Method = "auto",
    num_threads: int | None = None,
    side: Side = "nearest",
    step: float | None = None,
    out: Any = None,
    full_output: bool = False,
) -> Any:
    r"""Perturb x along delta by exactly eps, inside the bounds.

    .. math:: v = \mathrm{clip}(x + \eta\,\delta, l, u)

    with `eta` as the function `eta` gives it, before it is rounded to the dtype of the result.

    Parameters
    ----------
    x : array_like
        The inputs, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    delta : array_like
        The directions; broadcast against `x`.
    eps : array_like
        Target norms, finite and >= 0, in the units of `x`: a scalar, or one per row. Leading axes
        that the rows do not have are a sweep: results have them too, one solve for each entry.
    p : float, optional
        Order of the norm, in (0, inf]; below 1 a quasi-norm.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    dim : int, str or tuple, optional
        Another name of `axis`, that of PyTorch and xarray. Dimensions of xarray go by name.
    keepdims : bool, optional
        Accepted as by `eta`, but the result always has the shape of x.
    infeasible : {"saturate", "warn", "nan", "raise"}, optional
        What a row with ``eps > R``, its `max_norm`, gets: the smallest eta that reaches `R`, the same
        and a RuntimeWarning that counts such rows, NaN, or a ValueError.
    method : {"auto", "newton", "sort"}, optional
        "newton" iterates on the free set, and sorts only if that is slow; "sort" sorts and scans as
        the paper does. They agree to within rounding; "auto" is "newton".
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.
    side : {"nearest", "inside"}, optional
        Where rounding may put the result: to within a few units in the last place of eps, on either
        side, or, as it is stored, never farther than eps from x in exact arithmetic.
    step : float, optional
        Results lie on ``lower + k*step`` for whole k, rounded to nearest after clipping, and so must x.
        Of the norms that the grid allows along delta the nearest to eps is reached, or with
        ``side="inside"`` the largest that is not above. Integers stay integers: uint8 images take
        ``bounds=(0, 255), step=1``. There are no derivatives.
    out : ndarray, optional
        Where to store the result; it may be `x` or `delta`. It is not touched if there is an error.
    full_output : bool, optional
        Return what `solve` returns too, for one solve of both; with a step, what the results on the
        grid reach, which arrays of xarray and dask do not give.

    Returns
    -------
    ndarray or Rescaled
        `out`, or a new array of the shape that x and delta broadcast to, in the memory order of x.
        It never leaves the bounds. Rows without an eta are NaN. With `full_output`, the named tuple
        ``(out, eta, norm, max_norm, saturated)``.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, x is outside its bounds by more than rounding, or
        `out` does not fit.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

    Examples
    --------
    A single image is one row, and so is a clip of audio. In a table, each line is one, as each
    image is in a batch.

    >>> import numpy as np
    >>> import numba_car as car
    >>> rng = np.random.default_rng(0)
    >>> image, noise = rng.random((3, 8, 8)), rng.standard_normal((3, 8, 8))
    >>> v = car.rescale(image, noise, 2.0, axis="all")
    >>> print(f"{np.linalg.norm(v - image):.12f}")
    2.000000000000
    >>> clip, hiss = rng.uniform(-1, 1, (100, 2)), rng.standard_normal((100, 2))
    >>> v = car.rescale(clip, hiss, 2.0, bounds=(-1, 1), axis="all")
    >>> print(f"{np.linalg.norm(v - clip):.12f}")
    2.000000000000
    >>> table = np.array([[0.9, 0.5, 0.1], [0.5, 0.5, 0.5]])
    >>> delta = np.array([[1.0, 1.0, 0.0], [3.0, 0.0, 4.0]])
    >>> car.rescale(table, delta, 0.25)
    array([[1.        , 0.72912878, 0.1       ],
           [0.65      , 0.5       , 0.7       ]])
    """
    options = Options(
        p, pair(bounds), axis_of(axis, dim), keepdims, infeasible, method, num_threads, side, step
    )
    library = library_of(x, delta, eps, *options.bounds, out)
    if not full_output:
        return library.rescale(x, delta, eps, options, out)
    if hasattr(library, "rescale_and_solve"):
        return library.rescale_and_solve(x, delta, eps, options, out)
    if step is not None:
        return on_grid_of(library)(x, delta, eps, options, out)
    # Solved first, since `out` may be x.
    solution = library.solve(x, delta, eps, options.quiet())
    return Rescaled(library.rescale(x, delta, eps, options, out), *solution)


@overload
def solve(
    x: OfNumPy, delta: OfNumPy, eps: OfNumPy, **options: Unpack[SolveOptions]
) -> Solution[NDArray[Any]]: ...
@overload
def solve(x: T, delta: AnyArray, eps: AnyArray, **options: Unpack[SolveOptions]) -> Solution[T]: ...
@overload
def solve(x: Any, delta: Any, eps: Any, **options: Unpack[SolveOptions]) -> Solution[Any]: ...


def solve(
    x: AnyArray,
    delta: AnyArray,
    eps: AnyArray,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    dim: Axis = None,
    keepdims: bool = False,
    infeasible: Infeasible = "saturate",
    method: Method = "auto",
    num_threads: int | None = None,
) -> Solution[Any]:
    r"""Eta together with the norm that it reaches and the largest that can be reached.

    Parameters
    ----------
    x : array_like
        The inputs, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    delta : array_like
        The directions; broadcast against `x`.
    eps : array_like
        Target norms, finite and >= 0, in the units of `x`: a scalar, or one per row. Leading axes
        that the rows do not have are a sweep: results have them too, one solve for each entry.
    p : float, optional
        Order of the norm, in (0, inf]; below 1 a quasi-norm.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    dim : int, str or tuple, optional
        Another name of `axis`, that of PyTorch and xarray. Dimensions of xarray go by name.
    keepdims : bool, optional
        Keep the axes of a row as axes of length 1.
    infeasible : {"saturate", "warn", "nan", "raise"}, optional
        What a row with ``eps > R``, its `max_norm`, gets: the smallest eta that reaches `R`, the same
        and a RuntimeWarning that counts such rows, NaN, or a ValueError.
    method : {"auto", "newton", "sort"}, optional
        "newton" iterates on the free set, and sorts only if that is slow; "sort" sorts and scans as
        the paper does. They agree to within rounding; "auto" is "newton".
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.

    Returns
    -------
    Solution
        Named tuple ``(eta, norm, max_norm, saturated)``, each like the result of `eta`.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, or x is outside its bounds by more than rounding.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> x = np.array([[0.9, 0.5], [0.5, 0.5]])
    >>> solution = car.solve(x, np.ones((2, 2)), 0.6)
    >>> solution.norm, solution.max_norm, solution.saturated
    (array([0.50990195, 0.6       ]), array([0.50990195, 0.70710678]), array([ True, False]))
    """
    options = Options(
        p, pair(bounds), axis_of(axis, dim), keepdims, infeasible, method, num_threads
    )
    solution: Solution[Any] = library_of(x, delta, eps, *options.bounds).solve(
        x, delta, eps, options
    )
    return solution
