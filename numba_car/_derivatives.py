"""The public derivatives of `eta` and `rescale`, as `_api` has the functions themselves."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from numba_car._dispatch import differentiator_of
from numba_car._options import Axis, Bounds, Gradients, Infeasible, Method, Options, arrays_of, pair


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
    infeasible: Infeasible = "saturate",
    method: Method = "auto",
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
    x : array_like
        The inputs, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    delta : array_like
        The directions; broadcast against `x`.
    eps : array_like
        Target norms, finite and >= 0, in the units of `x`: a scalar, or one per row. Leading axes
        that the rows do not have are a sweep: results have them too, one solve for each entry.
    grad_eta : array_like
        The upstream gradient, broadcast over the rows.
    p : float, optional
        Order of the norm, in (0, inf]; below 1 a quasi-norm.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    keepdims : bool, optional
        Accepted as by `eta`, without effect.
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
    Gradients
        Named tuple ``(x, delta, eps, lower, upper)``; NaN in rows without an eta.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, or x is outside its bounds by more than rounding.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

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
    options = Options(p, pair(bounds), axis, False, infeasible, method, num_threads)
    names = arrays_of("eta", "grad_eta")
    library = differentiator_of(x, delta, eps, *options.bounds, grad_eta, names=names)
    gradients: Gradients = library.eta_vjp(x, delta, eps, grad_eta, options)
    return gradients


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
    infeasible: Infeasible = "saturate",
    method: Method = "auto",
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
    x : array_like
        The inputs, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    delta : array_like
        The directions; broadcast against `x`.
    eps : array_like
        Target norms, finite and >= 0, in the units of `x`: a scalar, or one per row. Leading axes
        that the rows do not have are a sweep: results have them too, one solve for each entry.
    grad_out : array_like
        The upstream gradient, broadcast against the result.
    p : float, optional
        Order of the norm, in (0, inf]; below 1 a quasi-norm.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    keepdims : bool, optional
        Accepted as by `rescale`, without effect.
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
    Gradients
        Named tuple ``(x, delta, eps, lower, upper)``; NaN in rows without an eta.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, or x is outside its bounds by more than rounding.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

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
    options = Options(p, pair(bounds), axis, False, infeasible, method, num_threads)
    names = arrays_of("rescale", "grad_out")
    library = differentiator_of(x, delta, eps, *options.bounds, grad_out, names=names)
    gradients: Gradients = library.rescale_vjp(x, delta, eps, grad_out, options)
    return gradients


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
    infeasible: Infeasible = "saturate",
    method: Method = "auto",
    num_threads: int | None = None,
) -> Any:
    r"""Push tangents of x, delta and eps forward through `eta`.

    .. math:: \dot\eta = \frac{\partial\eta}{\partial x}\cdot\dot x +
              \frac{\partial\eta}{\partial\delta}\cdot\dot\delta +
              \frac{\partial\eta}{\partial\epsilon}\,\dot\epsilon

    Parameters
    ----------
    x : array_like
        The inputs, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    delta : array_like
        The directions; broadcast against `x`.
    eps : array_like
        Target norms, finite and >= 0, in the units of `x`: a scalar, or one per row. Leading axes
        that the rows do not have are a sweep: results have them too, one solve for each entry.
    tangent_x, tangent_delta, tangent_eps : array_like, optional
        The tangents, broadcast as their arguments are; None is 0.
    p : float, optional
        Order of the norm, in (0, inf]; below 1 a quasi-norm.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
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
        The tangent of eta, one per row; NaN in rows without an eta.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, or x is outside its bounds by more than rounding.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

    See Also
    --------
    eta_vjp : the derivatives, and what holds at kinks.

    Examples
    --------
    >>> import numba_car as car
    >>> car.eta_jvp([[0.9, 0.5]], [[1.0, 1.0]], 0.25, tangent_eps=1.0)
    array([1.09108945])
    """
    options = Options(p, pair(bounds), axis, keepdims, infeasible, method, num_threads)
    tangents = tangent_x, tangent_delta, tangent_eps
    names = arrays_of("eta", "tangent_x", "tangent_delta", "tangent_eps")
    library = differentiator_of(x, delta, eps, *options.bounds, *tangents, names=names)
    return library.eta_jvp(x, delta, eps, tangents, options)


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
    infeasible: Infeasible = "saturate",
    method: Method = "auto",
    num_threads: int | None = None,
) -> Any:
    r"""Push tangents of x, delta and eps forward through `rescale`.

    .. math:: \dot v = (\dot x + \eta\,\dot\delta + \dot\eta\,\delta)\,[U]

    Parameters
    ----------
    x : array_like
        The inputs, inside `bounds`. float16, bfloat16, float32, float64, integers or booleans.
    delta : array_like
        The directions; broadcast against `x`.
    eps : array_like
        Target norms, finite and >= 0, in the units of `x`: a scalar, or one per row. Leading axes
        that the rows do not have are a sweep: results have them too, one solve for each entry.
    tangent_x, tangent_delta, tangent_eps : array_like, optional
        The tangents, broadcast as their arguments are; None is 0.
    p : float, optional
        Order of the norm, in (0, inf]; below 1 a quasi-norm.
    bounds : pair of array_like or None, optional
        ``(lower, upper)``, each broadcast against `x` (for bounds per element, channel or row), and
        rounded to the dtype of the result. None or an infinite value is no bound.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    keepdims : bool, optional
        Accepted as by `rescale`, without effect.
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
    ndarray
        The tangent of the result; NaN in rows without an eta.

    Raises
    ------
    ValueError
        If a value or a shape breaks a rule above, or x is outside its bounds by more than rounding.
    TypeError
        If an array does not hold integers or floats, or arrays are of different libraries.

    See Also
    --------
    eta_vjp : the derivatives, and what holds at kinks.

    Examples
    --------
    >>> import numba_car as car
    >>> car.rescale_jvp([[0.9, 0.5]], [[1.0, 1.0]], 0.25, tangent_eps=1.0)
    array([[0.        , 1.09108945]])
    """
    options = Options(p, pair(bounds), axis, False, infeasible, method, num_threads)
    tangents = tangent_x, tangent_delta, tangent_eps
    names = arrays_of("rescale", "tangent_x", "tangent_delta", "tangent_eps")
    library = differentiator_of(x, delta, eps, *options.bounds, *tangents, names=names)
    return library.rescale_jvp(x, delta, eps, tangents, options)
