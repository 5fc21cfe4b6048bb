"""The public functions for rows of different lengths: clips, point clouds, sentences.

Rows are the entries of a list, arrays of whatever shapes. Or they follow one another along the first axis of
an array, with `offsets`: row i is then ``x[offsets[i]:offsets[i + 1]]``. A row's result is what `numba_car` gives
for that row alone, to the bit, and threads share the rows. The arrays are NumPy's.

The arguments are those of the functions of the same names in `numba_car`, but for these:

- There is no `axis`: an entry of the list, or what is between two offsets, is a row.
- `eps`, or `eta` of `norm`, is a number or one per row.
- A bound that is a list has an entry for each row. With offsets, a bound that is an array as long as x and of as many
  axes is cut where x is. Any other bound is for every row, against which it broadcasts.

Short rows of one shape are solved together. Where all differ in length each costs a call, as much time as some thousand
elements take.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numba_car import _ragged
from numba_car._layout import Array
from numba_car._options import (
    Bounds,
    Infeasible,
    Method,
    Options,
    Side,
    Solution,
    check_order_of_ascent,
    check_order_of_projection,
)
from numba_car._ragged_call import Call, call_of

__all__ = ["eta", "max_norm", "maximize", "norm", "project", "rescale", "solve"]

Rows = Any  # a list of arrays, or an array that offsets cut


def eta(
    x: Rows,
    delta: Rows,
    eps: ArrayLike,
    *,
    offsets: ArrayLike | None = None,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    infeasible: Infeasible = "saturate",
    method: Method = "auto",
    num_threads: int | None = None,
) -> Array:
    """Scale that puts each row's clipped perturbation at norm eps: `numba_car.eta` of each row.

    Parameters
    ----------
    x, delta : list of array_like, or array_like with offsets
        The inputs and the directions, of the same shapes.
    eps : array_like
        Target norms: a scalar, or one per row.
    offsets : array_like of int, optional
        Where rows begin in x and delta, and where the last one ends, from 0 to the length of x.
    p : float, optional
        As for `numba_car.eta`.
    bounds : pair of array_like, list or None, optional
        ``(lower, upper)``: of each, a list has an entry for each row, and anything else is for every row.
    infeasible, method, num_threads
        As for `numba_car.eta`.

    Returns
    -------
    ndarray
        One eta per row.

    Raises
    ------
    ValueError, TypeError
        As for `numba_car.eta`, with the number of the row, and if rows do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import ragged
    >>> x = [np.array([0.9, 0.5, 0.1]), np.array([0.5, 0.5])]
    >>> delta = [np.array([1.0, 1.0, 0.0]), np.array([3.0, 4.0])]
    >>> ragged.eta(x, delta, 0.25)
    array([0.22912878, 0.05      ])
    >>> ragged.eta(np.concatenate(x), np.concatenate(delta), 0.25, offsets=[0, 3, 5])
    array([0.22912878, 0.05      ])
    """
    options = Options(p, bounds, infeasible=infeasible, method=method, num_threads=num_threads)
    call = call_of("eta", x, delta, eps, offsets, options)
    return _ragged.numbers(call, _ragged.solve_by_rule(call))


def rescale(
    x: Rows,
    delta: Rows,
    eps: ArrayLike,
    *,
    offsets: ArrayLike | None = None,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    infeasible: Infeasible = "saturate",
    method: Method = "auto",
    num_threads: int | None = None,
    side: Side = "nearest",
    step: float | None = None,
) -> Any:
    """Perturb each row along delta by exactly eps, inside the bounds: `numba_car.rescale` of each row.

    Parameters
    ----------
    x, delta, eps, offsets, p, bounds, infeasible, method, num_threads
        As for `eta`.
    side, step
        As for `numba_car.rescale`.

    Returns
    -------
    list of ndarray, or ndarray with offsets
        The rescaled rows, shaped as those of x.

    Raises
    ------
    ValueError, TypeError
        As for `eta`.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import ragged
    >>> clips = [np.full(3, 100, np.int16), np.full((2, 2), -7, np.int16)]
    >>> delta = [np.ones(3), np.ones((2, 2))]
    >>> ragged.rescale(clips, delta, [30.0, 4.0], bounds=(-32768, 32767), step=1)
    [array([117, 117, 117], dtype=int16), array([[-5, -5],
           [-5, -5]], dtype=int16)]
    """
    options = Options(p, bounds, None, False, infeasible, method, num_threads, side, step)
    call = call_of("rescale", x, delta, eps, offsets, options)
    return _like_x(call, _ragged.solve_by_rule(call), x, offsets)


def solve(
    x: Rows,
    delta: Rows,
    eps: ArrayLike,
    *,
    offsets: ArrayLike | None = None,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    infeasible: Infeasible = "saturate",
    method: Method = "auto",
    num_threads: int | None = None,
) -> Solution[Any]:
    """Eta, the norm that it reaches and the largest there is: `numba_car.solve` of each row.

    Parameters
    ----------
    x, delta, eps, offsets, p, bounds, infeasible, method, num_threads
        As for `eta`.

    Returns
    -------
    Solution
        Named tuple ``(eta, norm, max_norm, saturated)``, each like the result of `eta`.

    Raises
    ------
    ValueError, TypeError
        As for `eta`.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import ragged
    >>> x = [np.array([0.9, 0.5]), np.array([0.5, 0.5, 0.5])]
    >>> ragged.solve(x, [np.ones(2), np.ones(3)], 0.6).saturated
    array([ True, False])
    """
    options = Options(p, bounds, infeasible=infeasible, method=method, num_threads=num_threads)
    call = call_of("solve", x, delta, eps, offsets, options)
    found = _ragged.solve_by_rule(call)
    fields = ([(rows, facts[field]) for rows, facts in found] for field in range(4))
    return Solution(*(_ragged.numbers(call, field) for field in fields))


def max_norm(
    x: Rows,
    delta: Rows,
    *,
    offsets: ArrayLike | None = None,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    num_threads: int | None = None,
) -> Array:
    """Largest norm along delta inside the bounds: `numba_car.max_norm` of each row.

    Parameters
    ----------
    x, delta, offsets, p, bounds, num_threads
        As for `eta`.

    Returns
    -------
    ndarray
        One norm per row.

    Raises
    ------
    ValueError, TypeError
        As for `eta`.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import ragged
    >>> x = [np.array([0.75, 0.5]), np.array([0.5])]
    >>> ragged.max_norm(x, [np.ones(2), np.ones(1)], p=1)
    array([0.75, 0.5 ])
    """
    options = Options(p, bounds, num_threads=num_threads)
    call = call_of("max_norm", x, delta, None, offsets, options)
    return _ragged.numbers(call, _ragged.solve(call))


def norm(
    x: Rows,
    delta: Rows,
    eta: ArrayLike,
    *,
    offsets: ArrayLike | None = None,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    num_threads: int | None = None,
) -> Array:
    """Norm that given scales reach inside the bounds: `numba_car.norm` of each row.

    Parameters
    ----------
    x, delta
        As for `eta`.
    eta : array_like
        Scales >= 0: a scalar, or one per row.
    offsets, p, bounds, num_threads
        As for `eta`.

    Returns
    -------
    ndarray
        One norm per row.

    Raises
    ------
    ValueError, TypeError
        As for `eta`, and if a scale is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import ragged
    >>> ragged.norm([[0.75, 0.5], [0.5]], [[1.0, 1.0], [1.0]], [0.5, np.inf], p=1)
    array([0.75, 0.5 ])
    """
    options = Options(p, bounds, num_threads=num_threads)
    call = call_of("norm", x, delta, eta, offsets, options)
    return _ragged.numbers(call, _ragged.solve(call))


def project(
    x: Rows,
    z: Rows,
    eps: ArrayLike,
    *,
    offsets: ArrayLike | None = None,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    method: Method = "auto",
    num_threads: int | None = None,
    side: Side = "nearest",
) -> Any:
    """Project z onto the points within eps of x and inside the bounds: `numba_car.project` of each row.

    Parameters
    ----------
    x, z : list of array_like, or array_like with offsets
        The centers and the points to project, of the same shapes.
    eps, offsets
        As for `eta`.
    p : {1, 2, inf}, optional
        Order of the norm.
    bounds
        As for `eta`.
    method, num_threads, side
        As for `numba_car.project`.

    Returns
    -------
    list of ndarray, or ndarray with offsets
        The projected rows, shaped as those of x.

    Raises
    ------
    ValueError, TypeError
        As for `eta`, and if p is not 1, 2 or inf.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import ragged
    >>> ragged.project([[0.5, 0.5], [0.5]], [[0.75, 2.0], [0.5]], 0.25, p=np.inf)
    [array([0.75, 0.75]), array([0.5])]
    """
    check_order_of_projection(p)
    options = Options(p, bounds, method=method, num_threads=num_threads, side=side)
    call = call_of("project", x, z, eps, offsets, options)
    return _like_x(call, _ragged.solve(call), x, offsets)


def maximize(
    x: Rows,
    g: Rows,
    eps: ArrayLike,
    *,
    offsets: ArrayLike | None = None,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    num_threads: int | None = None,
    side: Side = "nearest",
) -> Any:
    """Move each row to where a gradient promises most, within eps and inside the bounds: `numba_car.maximize`.

    Parameters
    ----------
    x, g : list of array_like, or array_like with offsets
        The centers and the gradients, of the same shapes.
    eps, offsets
        As for `eta`.
    p : float, optional
        Order of the norm, at least 1; it may be inf.
    bounds
        As for `eta`.
    num_threads, side
        As for `numba_car.maximize`.

    Returns
    -------
    list of ndarray, or ndarray with offsets
        The points with the largest products with g, shaped as the rows of x.

    Raises
    ------
    ValueError, TypeError
        As for `eta`, and if p < 1.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import ragged
    >>> ragged.maximize([[0.5, 0.5], [0.5]], [[3.0, -4.0], [1.0]], [0.25, 1.0], p=np.inf)
    [array([0.75, 0.25]), array([1.])]
    """
    check_order_of_ascent(p)
    options = Options(p, bounds, num_threads=num_threads, side=side)
    call = call_of("maximize", x, g, eps, offsets, options)
    return _like_x(call, _ragged.solve(call), x, offsets)


def _like_x(call: Call, found: Any, x: Any, offsets: Any) -> Any:
    """Return results like x: a list, or an array where there are offsets."""
    rows = _ragged.arrays(call, found)
    if offsets is None:
        return rows
    return np.concatenate(rows) if rows else np.array(x)
