"""The public derivatives of `eta` and `rescale`: validate, dispatch, restore."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from numba_car._api import Call, options_of, restore
from numba_car._dispatch import differentiator_of
from numba_car._layout import Array, Rows
from numba_car._problem import Axis, Bounds, Problem, as_numeric, by_element, by_row, pair, problem


class Gradients(NamedTuple):
    """Gradients of the arguments, each of its argument's shape and of the result's dtype.

    Attributes
    ----------
    x, delta, eps : ndarray or scalar
        What flows back to the argument, summed over the axes that it was broadcast along.
    lower, upper : ndarray, scalar or None
        The same for the bounds; None for a bound that is None.
    """

    x: Any
    delta: Any
    eps: Any
    lower: Any
    upper: Any


def _gradients(task: Problem, eps: ArrayLike, bounds: Bounds, found: Any) -> Gradients:
    x, delta, of_eps, *of_bounds = found
    by_batch, shape = of_eps.reshape(task.batch_shape), np.shape(eps)
    if len(shape) == len(task.shape) > by_batch.ndim:
        by_batch = by_batch.reshape(task.batch_shape_kept)
    lower, upper = (
        None if bound is None else _held(value, task).reshape(np.shape(bound))[()]
        for bound, value in zip(pair(bounds), of_bounds, strict=True)
    )
    of_eps = _held(sum_to(by_batch, shape), task)
    return Gradients(_held(x, task)[()], _held(delta, task)[()], of_eps[()], lower, upper)


def _held(values: ArrayLike, task: Problem) -> Array:
    """Values of the result's dtype: sums over rows that it does not hold become its largest number."""
    values = np.asarray(values)
    if values.dtype == task.dtype:
        return values
    held: Array = np.clip(values, -task.largest, task.largest).astype(task.dtype)
    return held


def sum_to(values: Array, shape: tuple[int, ...]) -> Any:
    """Sum over the axes along which something of this shape was broadcast."""
    padded = (1,) * (values.ndim - len(shape)) + shape
    axes = tuple(i for i, size in enumerate(padded) if size != values.shape[i])
    with np.errstate(over="ignore"):
        return values.sum(axis=axes, keepdims=True).reshape(shape)


def eta_vjp(
    x: ArrayLike,
    delta: ArrayLike,
    eps: ArrayLike,
    grad_eta: ArrayLike,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    keepdims: bool = False,  # noqa: ARG001
    infeasible: str = "saturate",
    method: str = "auto",
    num_threads: int | None = None,
) -> Gradients:
    r"""Pull a gradient of eta back to the arguments of `eta`, in closed form.

    With U the free coordinates (:math:`\eta|\delta_i| < \mathrm{room}_i`), C the clipped, and
    :math:`S = \sum_U |\delta_i|^p`, a row that is not saturated has for finite p

    .. math:: \frac{\partial\eta}{\partial\epsilon} = \frac{\epsilon^{p-1}}{\eta^{p-1} S}, \quad
              \frac{\partial\eta}{\partial\delta_i} =
              -\frac{\eta|\delta_i|^{p-1}\,\mathrm{sign}\,\delta_i}{S} \; (i \in U), \quad
              \frac{\partial\eta}{\partial\,\mathrm{room}_i} =
              -\frac{\mathrm{room}_i^{p-1}}{\eta^{p-1} S} \; (i \in C)

    and all others 0; room is ``upper - x`` or ``x - lower``, as delta points.

    Parameters
    ----------
    x, delta, eps
        As for `eta`.
    grad_eta : array_like
        The upstream gradient, broadcast over the rows.
    p, bounds, axis, keepdims, infeasible, method, num_threads
        As for `eta`.

    Returns
    -------
    Gradients
        Named tuple ``(x, delta, eps, lower, upper)``; NaN in rows without an eta.

    Raises
    ------
    ValueError, TypeError
        As for `eta`.

    Notes
    -----
    At a kink the value is one of the one-sided derivatives, always finite:

    * a coordinate whose breakpoint is eta itself counts as clipped;
    * ``delta_i = 0`` gets 0, and so does ``room_i = 0`` for p < 1;
    * at eps = 0, ``d eta / d eps`` is the derivative from the right, all else 0;
    * a saturated row depends on the coordinate with the largest breakpoint alone, the first of
      equals, and not on eps; likewise for p = inf, on the first of the deciding coordinates;
    * a row in which nothing can move has no derivatives but 0.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> x, delta = np.array([[0.9, 0.5]]), np.array([[1.0, 1.0]])
    >>> car.eta_vjp(x, delta, 0.25, 1.0).delta
    array([[ 0.        , -0.22912878]])
    """
    if library := differentiator_of(x, delta, eps, *pair(bounds), grad_eta):
        call = Call(p, bounds, axis, False, infeasible, method, num_threads)
        eta_gradients: Gradients = library.eta_vjp(x, delta, eps, grad_eta, call)
        return eta_gradients
    from numba_car._cpu import derivatives

    task = problem(x, delta, eps, p, bounds, axis)
    options = options_of(infeasible, method, num_threads)
    h = by_row("grad_eta", as_numeric("grad_eta", grad_eta), task.shape, task.axes)
    found = derivatives.vjp(task, options, 0.0, h)
    return _gradients(task, eps, bounds, found)


def rescale_vjp(
    x: ArrayLike,
    delta: ArrayLike,
    eps: ArrayLike,
    grad_out: ArrayLike,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    keepdims: bool = False,  # noqa: ARG001
    infeasible: str = "saturate",
    method: str = "auto",
    num_threads: int | None = None,
) -> Gradients:
    r"""Pull a gradient of the rescaled batch back to the arguments of `rescale`, in closed form.

    With g upstream, U the free and C the clipped coordinates, and :math:`s = \sum_U g_i\delta_i`,

    .. math:: \bar x = g\,[U] + s\,\frac{\partial\eta}{\partial x}, \quad
              \bar\delta = \eta\,g\,[U] + s\,\frac{\partial\eta}{\partial\delta}, \quad
              \bar\epsilon = s\,\frac{\partial\eta}{\partial\epsilon}

    and the bounds take g on C, besides what eta passes on to them.

    Parameters
    ----------
    x, delta, eps
        As for `rescale`.
    grad_out : array_like
        The upstream gradient, broadcast against the result.
    p, bounds, axis, keepdims, infeasible, method, num_threads
        As for `rescale`.

    Returns
    -------
    Gradients
        Named tuple ``(x, delta, eps, lower, upper)``; NaN in rows without an eta.

    Raises
    ------
    ValueError, TypeError
        As for `rescale`.

    See Also
    --------
    eta_vjp : the derivatives of eta, and what holds at kinks.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> x, delta = np.array([[0.9, 0.5]]), np.array([[1.0, 1.0]])
    >>> car.rescale_vjp(x, delta, 0.25, np.ones((1, 2))).eps
    np.float64(1.09108945117996...)
    """
    if library := differentiator_of(x, delta, eps, *pair(bounds), grad_out):
        call = Call(p, bounds, axis, False, infeasible, method, num_threads)
        rescale_gradients: Gradients = library.rescale_vjp(x, delta, eps, grad_out, call)
        return rescale_gradients
    from numba_car._cpu import derivatives

    task = problem(x, delta, eps, p, bounds, axis)
    options = options_of(infeasible, method, num_threads)
    g, h = by_element("grad_out", grad_out, task), np.zeros(task.count)
    found = derivatives.vjp(task, options, g, h)
    return _gradients(task, eps, bounds, found)


def _tangents(
    task: Problem, of_x: ArrayLike | None, of_delta: ArrayLike | None, of_eps: ArrayLike | None
) -> tuple[Rows | float, Rows | float, Array]:
    of_eps_array = as_numeric("tangent_eps", 0.0 if of_eps is None else of_eps)
    return (
        0.0 if of_x is None else by_element("tangent_x", of_x, task),
        0.0 if of_delta is None else by_element("tangent_delta", of_delta, task),
        by_row("tangent_eps", of_eps_array, task.shape, task.axes),
    )


def eta_jvp(
    x: ArrayLike,
    delta: ArrayLike,
    eps: ArrayLike,
    tangent_x: ArrayLike | None = None,
    tangent_delta: ArrayLike | None = None,
    tangent_eps: ArrayLike | None = None,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    keepdims: bool = False,
    infeasible: str = "saturate",
    method: str = "auto",
    num_threads: int | None = None,
) -> Any:
    r"""Push tangents of x, delta and eps forward through `eta`.

    .. math:: \dot\eta = \frac{\partial\eta}{\partial x}\cdot\dot x +
              \frac{\partial\eta}{\partial\delta}\cdot\dot\delta +
              \frac{\partial\eta}{\partial\epsilon}\,\dot\epsilon

    Parameters
    ----------
    x, delta, eps
        As for `eta`.
    tangent_x, tangent_delta, tangent_eps : array_like, optional
        The tangents, broadcast as their arguments are; None is 0.
    p, bounds, axis, keepdims, infeasible, method, num_threads
        As for `eta`.

    Returns
    -------
    ndarray or scalar
        The tangent of eta, one per row; NaN in rows without an eta.

    Raises
    ------
    ValueError, TypeError
        As for `eta`.

    See Also
    --------
    eta_vjp : the derivatives, and what holds at kinks.

    Examples
    --------
    >>> import numba_car as car
    >>> car.eta_jvp([[0.9, 0.5]], [[1.0, 1.0]], 0.25, tangent_eps=1.0)
    array([1.09108945])
    """
    given = tangent_x, tangent_delta, tangent_eps
    if library := differentiator_of(x, delta, eps, *pair(bounds), *given):
        call = Call(p, bounds, axis, keepdims, infeasible, method, num_threads)
        return library.eta_jvp(x, delta, eps, given, call)
    from numba_car._cpu import derivatives

    task = problem(x, delta, eps, p, bounds, axis)
    options = options_of(infeasible, method, num_threads)
    flat = derivatives.jvp(task, options, _tangents(task, *given), None)
    with np.errstate(over="ignore"):
        return restore(flat.astype(task.dtype), task, keepdims)


def rescale_jvp(
    x: ArrayLike,
    delta: ArrayLike,
    eps: ArrayLike,
    tangent_x: ArrayLike | None = None,
    tangent_delta: ArrayLike | None = None,
    tangent_eps: ArrayLike | None = None,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    keepdims: bool = False,  # noqa: ARG001
    infeasible: str = "saturate",
    method: str = "auto",
    num_threads: int | None = None,
) -> Any:
    r"""Push tangents of x, delta and eps forward through `rescale`.

    .. math:: \dot v = (\dot x + \eta\,\dot\delta + \dot\eta\,\delta)\,[U]

    Parameters
    ----------
    x, delta, eps
        As for `rescale`.
    tangent_x, tangent_delta, tangent_eps : array_like, optional
        The tangents, broadcast as their arguments are; None is 0.
    p, bounds, axis, keepdims, infeasible, method, num_threads
        As for `rescale`.

    Returns
    -------
    ndarray
        The tangent of the result; NaN in rows without an eta.

    Raises
    ------
    ValueError, TypeError
        As for `rescale`.

    See Also
    --------
    eta_vjp : the derivatives, and what holds at kinks.

    Examples
    --------
    >>> import numba_car as car
    >>> car.rescale_jvp([[0.9, 0.5]], [[1.0, 1.0]], 0.25, tangent_eps=1.0)
    array([[0.        , 1.09108945]])
    """
    given = tangent_x, tangent_delta, tangent_eps
    if library := differentiator_of(x, delta, eps, *pair(bounds), *given):
        call = Call(p, bounds, axis, False, infeasible, method, num_threads)
        return library.rescale_jvp(x, delta, eps, given, call)
    from numba_car._cpu import derivatives

    task = problem(x, delta, eps, p, bounds, axis)
    options = options_of(infeasible, method, num_threads)
    out = np.empty(task.shape, task.dtype)
    rows = Rows(out, task.axes, task.x.dtype)
    derivatives.jvp(task, options, _tangents(task, *given), rows)
    return out[()]
