"""The public derivatives of `project` and `maximize`, as `_derivatives` has those of `eta` and `rescale`."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from numba_car._dispatch import differentiator_of
from numba_car._options import (
    Axis,
    Bounds,
    MaximizeGradients,
    Options,
    ProjectGradients,
    arrays_of,
    check_order_of_ascent,
    check_order_of_projection,
    pair,
)


def project_vjp(
    x: ArrayLike,
    z: ArrayLike,
    eps: ArrayLike,
    grad_out: ArrayLike,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    num_threads: int | None = None,
) -> ProjectGradients:
    r"""Pull a gradient of `project` back to its arguments, in closed form.

    For p = 2 these are the derivatives of `rescale` along :math:`z - x` where its `eta` is below 1, else
    those of z clipped to its bounds. For p = inf each coordinate passes its gradient to z, to a bound, or
    to x and eps, whichever it equals. For p = 1, with A the free coordinates, B those at a bound and
    :math:`s = \frac{1}{|A|} \sum_A g_i\,\mathrm{sign}\,d_i`,

    .. math:: \bar z_i = g_i - s\,\mathrm{sign}\,d_i \; (i \in A), \quad
              \bar\epsilon = s, \quad
              \overline{\mathrm{room}}_i = -s \; (i \in B)

    and B passes g on to the bounds.

    Parameters
    ----------
    x : array_like
        The centers, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    z : array_like
        The points to project, anywhere; broadcast against `x`.
    eps : array_like
        The largest distances, finite and >= 0, in the units of `x`: a scalar, or one per row.
        Leading axes that the rows do not have are a sweep: results have them too.
    grad_out : array_like
        The upstream gradient, broadcast against the result.
    p : {1, 2, inf}, optional
        Order of the norm.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.

    Returns
    -------
    ProjectGradients
        Named tuple ``(x, z, eps, lower, upper)``; NaN in rows without a result.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, or x is outside its bounds by more than rounding.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

    Notes
    -----
    At a kink the value is one of the one-sided derivatives, always finite:

    * a coordinate that has just reached its bound counts as clipped;
    * where the projection of z has just left the ball, z counts as inside.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> x, z = np.array([[0.9, 0.5]]), np.array([[1.9, 0.9]])
    >>> car.project_vjp(x, z, 0.25, np.ones((1, 2))).eps
    np.float64(1.09108945117996...)
    """
    check_order_of_projection(p)
    options = Options(p, pair(bounds), axis, num_threads=num_threads)
    names = arrays_of("project", "grad_out")
    library = differentiator_of(x, z, eps, *options.bounds, grad_out, names=names)
    gradients: ProjectGradients = library.project_vjp(x, z, eps, grad_out, options)
    return gradients


def project_jvp(
    x: ArrayLike,
    z: ArrayLike,
    eps: ArrayLike,
    tangent_x: ArrayLike | None = None,
    tangent_z: ArrayLike | None = None,
    tangent_eps: ArrayLike | None = None,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    num_threads: int | None = None,
) -> Any:
    r"""Push tangents of x, z and eps forward through `project`.

    .. math:: \dot y = \frac{\partial y}{\partial x}\,\dot x +
              \frac{\partial y}{\partial z}\,\dot z +
              \frac{\partial y}{\partial\epsilon}\,\dot\epsilon

    Parameters
    ----------
    x : array_like
        The centers, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    z : array_like
        The points to project, anywhere; broadcast against `x`.
    eps : array_like
        The largest distances, finite and >= 0, in the units of `x`: a scalar, or one per row.
        Leading axes that the rows do not have are a sweep: results have them too.
    tangent_x, tangent_z, tangent_eps : array_like, optional
        The tangents, broadcast as their arguments are; None is 0.
    p : {1, 2, inf}, optional
        Order of the norm.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.

    Returns
    -------
    ndarray
        The tangent of the result; NaN in rows without one.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, or x is outside its bounds by more than rounding.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

    See Also
    --------
    project_vjp : the derivatives, and what holds at kinks.

    Examples
    --------
    >>> import numba_car as car
    >>> car.project_jvp([[0.9, 0.5]], [[1.9, 0.9]], 0.25, tangent_eps=1.0)
    array([[0.        , 1.09108945]])
    """
    check_order_of_projection(p)
    options = Options(p, pair(bounds), axis, num_threads=num_threads)
    tangents = tangent_x, tangent_z, tangent_eps
    names = arrays_of("project", "tangent_x", "tangent_z", "tangent_eps")
    library = differentiator_of(x, z, eps, *options.bounds, *tangents, names=names)
    return library.project_jvp(x, z, eps, tangents, options)


def maximize_vjp(
    x: ArrayLike,
    g: ArrayLike,
    eps: ArrayLike,
    grad_out: ArrayLike,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    num_threads: int | None = None,
) -> MaximizeGradients:
    r"""Pull a gradient of `maximize` back to its arguments, in closed form.

    For p > 1 these are the derivatives of `rescale` along :math:`\mathrm{sign}(g)\,|g|^q`, times
    :math:`q |g_i|^{q-1}`, :math:`q = 1/(p-1)`. For p = 1 the coordinates at a bound pass their gradient to it; the one
    that takes the rest passes it to x and eps, and takes it from the rooms of the others.

    Parameters
    ----------
    x : array_like
        The centers, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    g : array_like
        The gradients; broadcast against `x`. Only their direction matters.
    eps : array_like
        The largest distances, finite and >= 0, in the units of `x`: a scalar, or one per row.
        Leading axes that the rows do not have are a sweep: results have them too.
    grad_out : array_like
        The upstream gradient, broadcast against the result.
    p : float, optional
        Order of the norm, at least 1; it may be inf.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.

    Returns
    -------
    MaximizeGradients
        Named tuple ``(x, g, eps, lower, upper)``; NaN in rows without a result.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, or x is outside its bounds by more than rounding.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

    Notes
    -----
    At a kink the value is one of the one-sided derivatives, always finite:

    * where g is 0, its gradient is 0, but for p = 2; for p = 1 and p = inf it is 0 everywhere;
    * a coordinate that has just reached its bound counts as clipped.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> x, g = np.array([[0.9, 0.5]]), np.array([[2.0, 1.0]])
    >>> car.maximize_vjp(x, g, 0.25, np.ones((1, 2))).eps
    np.float64(1.09108945117996...)
    """
    check_order_of_ascent(p)
    options = Options(p, pair(bounds), axis, num_threads=num_threads)
    names = arrays_of("maximize", "grad_out")
    library = differentiator_of(x, g, eps, *options.bounds, grad_out, names=names)
    gradients: MaximizeGradients = library.maximize_vjp(x, g, eps, grad_out, options)
    return gradients


def maximize_jvp(
    x: ArrayLike,
    g: ArrayLike,
    eps: ArrayLike,
    tangent_x: ArrayLike | None = None,
    tangent_g: ArrayLike | None = None,
    tangent_eps: ArrayLike | None = None,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    num_threads: int | None = None,
) -> Any:
    r"""Push tangents of x, g and eps forward through `maximize`.

    .. math:: \dot y = \frac{\partial y}{\partial x}\,\dot x +
              \frac{\partial y}{\partial g}\,\dot g +
              \frac{\partial y}{\partial\epsilon}\,\dot\epsilon

    Parameters
    ----------
    x : array_like
        The centers, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    g : array_like
        The gradients; broadcast against `x`. Only their direction matters.
    eps : array_like
        The largest distances, finite and >= 0, in the units of `x`: a scalar, or one per row.
        Leading axes that the rows do not have are a sweep: results have them too.
    tangent_x, tangent_g, tangent_eps : array_like, optional
        The tangents, broadcast as their arguments are; None is 0.
    p : float, optional
        Order of the norm, at least 1; it may be inf.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.

    Returns
    -------
    ndarray
        The tangent of the result; NaN in rows without one.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, or x is outside its bounds by more than rounding.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

    See Also
    --------
    maximize_vjp : the derivatives, and what holds at kinks.

    Examples
    --------
    >>> import numba_car as car
    >>> car.maximize_jvp([[0.9, 0.5]], [[2.0, 1.0]], 0.25, tangent_eps=1.0)
    array([[0.        , 1.09108945]])
    """
    check_order_of_ascent(p)
    options = Options(p, pair(bounds), axis, num_threads=num_threads)
    tangents = tangent_x, tangent_g, tangent_eps
    names = arrays_of("maximize", "tangent_x", "tangent_g", "tangent_eps")
    library = differentiator_of(x, g, eps, *options.bounds, *tangents, names=names)
    return library.maximize_jvp(x, g, eps, tangents, options)
