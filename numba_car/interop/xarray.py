"""xarray: dimensions by name; dimensions that are not in a row are broadcast by name too.

`numba_car.eta` and the others take DataArrays, and names of dimensions for `axis`. These functions call
those of this module, which can also be called directly, with xarray's word `dim` for `axis`.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable
from typing import Any, TypeAlias

import numpy as np

from numba_car._extras import extras_named

with extras_named(__name__):
    import xarray as xr

from numba_car._dispatch import library_of
from numba_car._options import (
    WITH_OUT,
    Options,
    Solution,
    arrays_of,
    check_no_out,
    check_order_of_ascent,
    check_order_of_projection,
    names_of,
    pair,
)
from numba_car._problem import common_shape

_KIND = "DataArrays, which are returned"  # in errors

Dims: TypeAlias = str | Iterable[Hashable] | None
Names: TypeAlias = tuple[Hashable, ...]

_BOUNDS = "the lower of bounds", "the upper of bounds"


def _checked(name: str, value: Any) -> Any:
    """Return value, or raise an error unless it is a number or a DataArray in memory."""
    if isinstance(value, xr.DataArray):
        if value.chunks is not None:
            raise NotImplementedError(
                f"DataArrays must not hold dask arrays for now, found one in {name}: "
                ".compute() brings it into memory"
            )
    elif isinstance(value, (xr.Dataset, xr.DataTree, xr.Variable)) or np.ndim(value):
        raise TypeError(f"{name} must be a DataArray or a number, found {type(value).__name__}")
    return value


def _dims(*values: Any) -> Names:
    """Return the names of all dimensions, in the order of xarray's arithmetic."""
    arrays = (value for value in values if isinstance(value, xr.DataArray))
    return tuple(dict.fromkeys(dim for array in arrays for dim in array.dims))


def _row_dims(x: Any, delta: Any, axis: Any, name: str) -> Names:
    """Return the dimensions of a row, given their names, or their places among those of x; "all" is all there are."""
    own, known = _dims(x), _dims(x, delta)
    if isinstance(axis, str) and axis == "all" and axis not in known:
        return known
    given = (axis,) if isinstance(axis, str) or not isinstance(axis, Iterable) else tuple(axis)
    if axis is None and own != known:
        raise ValueError(
            f"axis must name the dimensions of a row where {name} has more than x, {own}, "
            f"found {name} with {_dims(delta)}"
        )
    if axis is None or all(isinstance(one, (int, np.integer)) for one in given):
        sizes = (1,) * len(own)
        _, places = common_shape(sizes, sizes, axis if axis is None else given)
        return tuple(own[place] for place in places)
    for dim in given:
        if dim not in known:
            raise ValueError(f"axis must name dimensions of x or {name}, {known}, found {dim!r}")
    if len(set(given)) < len(given):
        raise ValueError(f"axis must not repeat a dimension, found {given}")
    return tuple(dim for dim in known if dim in given)


def _with_row(values: Any, own: list[Hashable], row: Names) -> Any:
    """Return values with axes of length 1 for the dimensions of a row that values lack; a number as it is."""
    if np.ndim(values) == 0:
        return values
    first = np.ndim(values) - len(own)
    return np.expand_dims(values, [first + i for i, dim in enumerate(row) if dim not in own])


def _on_arrays(
    name: str, options: Options, row: Names, own: list[list[Hashable]], *arrays: Any
) -> Any:
    """Return the result for arrays whose last axes are those dimensions of a row, `own`, that each has."""
    eps = arrays[2]
    x, delta, _, lower, upper = map(_with_row, arrays, own, [row] * len(own))
    by_row = np.shape(eps) + (1,) * len(row)
    shape = np.broadcast_shapes(by_row, *map(np.shape, (x, delta, lower, upper)))
    if np.ndim(x):
        x = np.broadcast_to(x, shape)
    else:
        delta = np.broadcast_to(delta, shape)
    axis = tuple(range(-len(row), 0))
    options = options._replace(bounds=(lower, upper), axis=axis, keepdims=False)
    arguments = (x, delta) if name == "max_norm" else (x, delta, eps)
    try:
        library = library_of(x, delta, eps, lower, upper, names=arrays_of(name))
        return getattr(library, name)(*arguments, options)
    except ValueError as error:
        error.add_note(f"(an index counts the rows first, then {row} in each)")
        raise


def _apply(function: str, x: Any, delta: Any, eps: Any, options: Options) -> Any:
    """Return the result of the function of that name, named and with dimensions ordered as by arithmetic."""
    lower, upper = pair(options.bounds)
    given = x, delta, eps, -np.inf if lower is None else lower, np.inf if upper is None else upper
    of_delta, of_eps = names_of(function)
    values = list(map(_checked, ("x", of_delta, of_eps, *_BOUNDS), given))
    row = _row_dims(x, delta, options.axis, of_delta)
    if set(row) & set(_dims(eps)):
        raise ValueError(f"{of_eps} must have no dimension of a row, {row}, found {_dims(eps)}")
    own = [[dim for dim in row if dim in _dims(value)] for value in values]
    several = function == "solve"
    found = xr.apply_ufunc(
        functools.partial(_on_arrays, function, options, row, own),
        *values,
        input_core_dims=own,
        output_core_dims=[row if function in WITH_OUT else ()]
        * (len(Solution._fields) if several else 1),
        join="exact",
        keep_attrs="drop_conflicts" if xr.get_options()["keep_attrs"] else "drop",
    )
    names = {value.name for value in values[:3] if isinstance(value, xr.DataArray)}
    name = names.pop() if len(names) == 1 else None
    kept = row if options.keepdims and function not in WITH_OUT else ()
    arrays = (array.expand_dims(kept).rename(name) for array in (found if several else [found]))
    dims = _dims(*values)
    finished = [array.transpose(*(dim for dim in dims if dim in array.dims)) for array in arrays]
    return finished if several else finished[0]


def _options(call: Options | None, dim: Any, options: dict[str, Any]) -> Options:
    """Return the options given in one, or else one by one."""
    return call or Options(axis=dim, **options)


def eta(
    x: Any, delta: Any, eps: Any, call: Options | None = None, *, dim: Dims = None, **options: Any
) -> xr.DataArray:
    """Scale that puts each row's clipped perturbation at norm eps: `numba_car.eta` by dimension.

    Parameters
    ----------
    x, delta, eps : DataArray or number
        As for `numba_car.eta`, broadcast against each other and against the bounds by the names of
        their dimensions, any of which may be new: an eps with a dimension of its own gives an eta
        for each of its values. Coordinates must be equal: see `xarray.align`.
    call : Options, optional
        All options in one, instead of the following.
    dim : str or iterable of hashable, optional
        The dimensions that make up a row, or "all" for all there are. By default all of x but the
        first, or the only one.
    **options
        `p`, `bounds` (numbers, DataArrays or None), `keepdims`, `infeasible`, `method` and
        `num_threads`, as for `numba_car.eta`.

    Returns
    -------
    DataArray
        Like ``x + delta + eps``, less the dimensions of a row: in its name, its coordinates, the
        order of its dimensions, and its attributes, unless xarray's option `keep_attrs` is False.

    Raises
    ------
    ValueError
        As for `numba_car.eta`, and if coordinates differ or dimensions do not fit.
    TypeError
        If there is anything but DataArrays and numbers.
    NotImplementedError
        If a DataArray holds a dask array.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import numba_car.interop.xarray as car_xarray
    >>> x = xr.DataArray([[0.9, 0.5, 0.1], [0.5, 0.5, 0.5]], dims=("image", "pixel"))
    >>> delta = xr.DataArray([1.0, 1.0, 0.0], dims="pixel")
    >>> eps = xr.DataArray([0.1, 0.25], dims="size")
    >>> car_xarray.eta(x, delta, eps, dim="pixel").round(4).values
    array([[0.0707, 0.2291],
           [0.0707, 0.1768]])
    """
    return _apply("eta", x, delta, eps, _options(call, dim, options))


def rescale(
    x: Any,
    delta: Any,
    eps: Any,
    call: Options | None = None,
    out: None = None,
    *,
    dim: Dims = None,
    **options: Any,
) -> xr.DataArray:
    """Perturb x along delta by exactly eps, inside the bounds: `numba_car.rescale` by dimension.

    Parameters
    ----------
    x, delta, eps, call
        As for `eta`.
    out : None
        There is nothing to write to: DataArrays are returned.
    dim, **options
        As for `eta`.

    Returns
    -------
    DataArray
        Like ``x + delta + eps``.

    Raises
    ------
    ValueError, TypeError, NotImplementedError
        As for `eta`.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import numba_car.interop.xarray as car_xarray
    >>> x = xr.DataArray([[0.9, 0.5, 0.1], [0.5, 0.5, 0.5]], dims=("image", "pixel"))
    >>> delta = xr.DataArray([1.0, 1.0, 0.0], dims="pixel")
    >>> car_xarray.rescale(x, delta, 0.25, dim="pixel").round(4).values
    array([[1.    , 0.7291, 0.1   ],
           [0.6768, 0.6768, 0.5   ]])
    """
    check_no_out(out, _KIND)
    return _apply("rescale", x, delta, eps, _options(call, dim, options))


def solve(
    x: Any, delta: Any, eps: Any, call: Options | None = None, *, dim: Dims = None, **options: Any
) -> Solution[Any]:
    """Eta, the norm that it reaches and the largest there is: `numba_car.solve` by dimension.

    Parameters
    ----------
    x, delta, eps, call, dim, **options
        As for `eta`.

    Returns
    -------
    Solution
        Four DataArrays, each like the result of `eta`.

    Raises
    ------
    ValueError, TypeError, NotImplementedError
        As for `eta`.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import numba_car.interop.xarray as car_xarray
    >>> x = xr.DataArray([[0.9, 0.5, 0.1], [0.5, 0.5, 0.5]], dims=("image", "pixel"))
    >>> delta = xr.DataArray([1.0, 1.0, 0.0], dims="pixel")
    >>> car_xarray.solve(x, delta, 0.6, dim="pixel").saturated.values
    array([ True, False])
    """
    return Solution(*_apply("solve", x, delta, eps, _options(call, dim, options)))


def max_norm(
    x: Any, delta: Any, call: Options | None = None, *, dim: Dims = None, **options: Any
) -> xr.DataArray:
    """Largest norm along delta inside the bounds: `numba_car.max_norm` by dimension.

    Parameters
    ----------
    x, delta, call, dim, **options
        As for `eta`, of which only `p`, `bounds`, `keepdims` and `num_threads` matter.

    Returns
    -------
    DataArray
        Like ``x + delta``, less the dimensions of a row.

    Raises
    ------
    ValueError, TypeError, NotImplementedError
        As for `eta`.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import numba_car.interop.xarray as car_xarray
    >>> x = xr.DataArray([[0.9, 0.5, 0.1], [0.5, 0.5, 0.5]], dims=("image", "pixel"))
    >>> delta = xr.DataArray([1.0, 1.0, 0.0], dims="pixel")
    >>> car_xarray.max_norm(x, delta, dim="pixel").round(4).values
    array([0.5099, 0.7071])
    """
    return _apply("max_norm", x, delta, 0.0, _options(call, dim, options))


def norm(
    x: Any, delta: Any, eta: Any, call: Options | None = None, *, dim: Dims = None, **options: Any
) -> xr.DataArray:
    """Norm that given scales reach inside the bounds: `numba_car.norm` by dimension.

    Parameters
    ----------
    x, delta, call, dim, **options
        As for `max_norm`.
    eta : DataArray or number
        Scales >= 0, without dimensions of a row; new dimensions are a sweep.

    Returns
    -------
    DataArray
        Like ``x + delta + eta``, less the dimensions of a row.

    Raises
    ------
    ValueError, TypeError, NotImplementedError
        As for `eta`.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import numba_car.interop.xarray as car_xarray
    >>> x = xr.DataArray([[0.9, 0.5]], dims=("image", "pixel"))
    >>> eta = xr.DataArray([0.05, 0.2], dims="scale")
    >>> car_xarray.norm(x, xr.ones_like(x), eta, dim="pixel", p=1).values.round(2)
    array([[0.1, 0.3]])
    """
    return _apply("norm", x, delta, eta, _options(call, dim, options))


def project(
    x: Any,
    z: Any,
    eps: Any,
    call: Options | None = None,
    out: None = None,
    *,
    dim: Dims = None,
    **options: Any,
) -> xr.DataArray:
    """Project z onto the points within eps of x and inside the bounds: `numba_car.project` by dimension.

    Parameters
    ----------
    x, z, eps : DataArray or number
        As for `numba_car.project`, broadcast by the names of their dimensions.
    call, dim, **options
        As for `eta`; `side` as for `numba_car.rescale`.
    out : None
        There is nothing to write to: DataArrays are returned.

    Returns
    -------
    DataArray
        Like ``x + z + eps``.

    Raises
    ------
    ValueError, TypeError, NotImplementedError
        As for `eta`, and if p is not 1, 2 or inf.

    Examples
    --------
    >>> import xarray as xr
    >>> import numba_car.interop.xarray as car_xarray
    >>> x = xr.DataArray([[0.9, 0.5, 0.1]], dims=("image", "pixel"))
    >>> z = xr.DataArray([1.9, 0.9, 0.1], dims="pixel")
    >>> car_xarray.project(x, z, 0.25, dim="pixel").round(4).values
    array([[1.    , 0.7291, 0.1   ]])
    """
    check_no_out(out, _KIND)
    given = _options(call, dim, options)
    check_order_of_projection(given.p)
    return _apply("project", x, z, eps, given)


def maximize(
    x: Any,
    g: Any,
    eps: Any,
    call: Options | None = None,
    out: None = None,
    *,
    dim: Dims = None,
    **options: Any,
) -> xr.DataArray:
    """Move x to where a gradient promises most, within eps and inside the bounds: `numba_car.maximize` by dimension.

    Parameters
    ----------
    x, g, eps : DataArray or number
        As for `numba_car.maximize`, broadcast by the names of their dimensions.
    call, out, dim, **options
        As for `project`.

    Returns
    -------
    DataArray
        Like ``x + g + eps``.

    Raises
    ------
    ValueError, TypeError, NotImplementedError
        As for `eta`, and if p < 1.

    Examples
    --------
    >>> import xarray as xr
    >>> import numba_car.interop.xarray as car_xarray
    >>> x = xr.DataArray([[0.9, 0.5, 0.1]], dims=("image", "pixel"))
    >>> g = xr.DataArray([2.0, 1.0, -1.0], dims="pixel")
    >>> car_xarray.maximize(x, g, 0.25, dim="pixel").round(4).values
    array([[1.    , 0.7062, 0.    ]])
    """
    check_no_out(out, _KIND)
    given = _options(call, dim, options)
    check_order_of_ascent(given.p)
    return _apply("maximize", x, g, eps, given)
