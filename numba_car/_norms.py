"""The public functions `max_norm` and `norm`, as `_api` has those that rescale."""

from __future__ import annotations

from typing import Any, Unpack, overload

from numpy.typing import NDArray

from numba_car._dispatch import library_of
from numba_car._options import (
    Axis,
    Bounds,
    Options,
    arrays_of,
    axis_of,
    pair,
)
from numba_car._types import AnyArray, NormOptions, OfNumPy, T

_NAMES = arrays_of("norm")


@overload
def max_norm(x: OfNumPy, delta: OfNumPy, **options: Unpack[NormOptions]) -> NDArray[Any]: ...
@overload
def max_norm(x: T, delta: AnyArray, **options: Unpack[NormOptions]) -> T: ...
@overload
def max_norm(x: Any, delta: Any, **options: Unpack[NormOptions]) -> Any: ...


def max_norm(
    x: AnyArray,
    delta: AnyArray,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    dim: Axis = None,
    keepdims: bool = False,
    num_threads: int | None = None,
) -> Any:
    r"""Largest norm that a perturbation along delta can reach inside the bounds.

    .. math:: R = \lim_{\eta\to\infty} \|\mathrm{clip}(x + \eta\,\delta, l, u) - x\|_p

    Parameters
    ----------
    x : array_like
        The inputs, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    delta : array_like
        The directions; broadcast against `x`.
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
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.

    Returns
    -------
    ndarray or scalar
        One norm per row; inf where something that moves has no bound.

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
    >>> car.max_norm(np.array([[0.9, 0.5]]), np.array([[1.0, -1.0]]), p=1)
    array([0.6])
    """
    options = Options(p, pair(bounds), axis_of(axis, dim), keepdims, num_threads=num_threads)
    return library_of(x, delta, None, *options.bounds).max_norm(x, delta, options)


@overload
def norm(
    x: OfNumPy, delta: OfNumPy, eta: OfNumPy, **options: Unpack[NormOptions]
) -> NDArray[Any]: ...
@overload
def norm(x: T, delta: AnyArray, eta: AnyArray, **options: Unpack[NormOptions]) -> T: ...
@overload
def norm(x: Any, delta: Any, eta: Any, **options: Unpack[NormOptions]) -> Any: ...


def norm(
    x: AnyArray,
    delta: AnyArray,
    eta: AnyArray,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    dim: Axis = None,
    keepdims: bool = False,
    num_threads: int | None = None,
) -> Any:
    r"""Norm that given scales reach inside the bounds.

    .. math:: N(\eta) = \|\mathrm{clip}(x + \eta\,\delta, l, u) - x\|_p

    Parameters
    ----------
    x : array_like
        The inputs, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    delta : array_like
        The directions; broadcast against `x`.
    eta : array_like
        Scales >= 0: a scalar, one per row, or a sweep as eps of `eta` may be. inf gives `max_norm`,
        NaN gives NaN.
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
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.

    Returns
    -------
    ndarray or scalar
        One norm per row, for each entry of a sweep, of the dtype of the result of `eta`.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, x is outside its bounds by more than rounding, or
        a scale is negative.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> x, delta = np.array([[0.9, 0.5]]), np.array([[1.0, -1.0]])
    >>> car.norm(x, delta, np.array([[0.1], [0.3], [np.inf]]), p=1)
    array([[0.2],
           [0.4],
           [0.6]])
    """
    options = Options(p, pair(bounds), axis_of(axis, dim), keepdims, num_threads=num_threads)
    return library_of(x, delta, eta, *options.bounds, names=_NAMES).norm(x, delta, eta, options)
