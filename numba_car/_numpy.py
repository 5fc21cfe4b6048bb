"""The public functions for NumPy arrays and what converts to them: check, solve, restore. Nothing dispatches here.

The modules of `interop` have the same functions for other libraries' arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numba_car._cpu import derivatives
from numba_car._cpu import solve as solver
from numba_car._layout import Array, Rows
from numba_car._numpy_steps import maximize, project
from numba_car._options import Gradients, Options, Rescaled, Solution, pair
from numba_car._problem import (
    Problem,
    as_numeric,
    batch_of,
    by_element,
    by_row,
    problem,
    result_rows,
)

__all__ = ["maximize", "project"]  # which stand in a module of their own


def restore(flat: Array, task: Problem) -> Any:
    """Return one number a row in the shape of a NumPy reduction, which is a scalar for a single row."""
    if task.is_plain and not task.options.keepdims:
        return flat
    shape = batch_of(task.shape, task.axes, keepdims=task.options.keepdims)
    return flat.reshape(shape)[()]


def _rounded(flat: Array, task: Problem) -> Array:
    """Return float64 values in the dtype of the result."""
    if flat.dtype is task.dtype:
        return flat
    with np.errstate(over="ignore"):
        return flat.astype(task.dtype, copy=False)


def eta(x: ArrayLike, delta: ArrayLike, eps: ArrayLike, options: Options) -> Any:
    """Return `numba_car.eta` of NumPy arrays."""
    task = problem(x, delta, eps, options)
    return restore(_rounded(solver.eta(task), task), task)


def rescale(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, options: Options, out: Array | None = None
) -> Any:
    """Return `numba_car.rescale` of NumPy arrays."""
    return _rescale(problem(x, delta, eps, options), out, solver.rescale)[1]


def rescale_and_solve(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, options: Options, out: Array | None = None
) -> Rescaled:
    """Return `numba_car.rescale` with full output of NumPy arrays."""
    task = problem(x, delta, eps, options)
    found, result = _rescale(task, out, solver.rescale_and_solve)
    return Rescaled(result, *(restore(values, task) for values in found))


def rescale_with_eta(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, options: Options, out: Array | None = None
) -> tuple[Any, Any]:
    """Return eta in float64, one per row, and the rescaled batch, for one solve of both."""
    task = problem(x, delta, eps, options)
    eta, result = _rescale(task, out, solver.rescale)
    return restore(eta, task), result


def _rescale(task: Problem, out: Array | None, rescale: Callable[..., Any]) -> tuple[Any, Any]:
    """Return what a function of the solver returns, flat, and the rescaled batch, which it writes."""
    result, rows, at_once = result_rows(task, out)
    found = rescale(task, rows, at_once=at_once)
    if out is None:
        return found, result[()]
    if result is not out:
        out[...] = result
    return found, out


def solve(x: ArrayLike, delta: ArrayLike, eps: ArrayLike, options: Options) -> Solution:
    """Return `numba_car.solve` of NumPy arrays."""
    task = problem(x, delta, eps, options)
    return Solution(*(restore(values, task) for values in solver.solve(task)))


def max_norm(x: ArrayLike, delta: ArrayLike, options: Options) -> Any:
    """Return `numba_car.max_norm` of NumPy arrays."""
    task = problem(x, delta, 0.0, options)
    return restore(solver.max_norm(task), task)


def norm(x: ArrayLike, delta: ArrayLike, eta: ArrayLike, options: Options) -> Any:
    """Return `numba_car.norm` of NumPy arrays."""
    task = problem(x, delta, eta, options, "norm")
    scales, task.eps = task.eps, np.zeros(task.count)
    return restore(solver.norm(task, scales), task)


def eta_vjp(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, grad_eta: ArrayLike, options: Options
) -> Gradients:
    """Return `numba_car.eta_vjp` of NumPy arrays."""
    task = problem(x, delta, eps, options)
    h = by_row("grad_eta", as_numeric("grad_eta", grad_eta), task.shape, task.axes)
    return _gradients(task, eps, derivatives.vjp(task, 0.0, h))


def rescale_vjp(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, grad_out: ArrayLike, options: Options
) -> Gradients:
    """Return `numba_car.rescale_vjp` of NumPy arrays."""
    task = problem(x, delta, eps, options)
    g = by_element("grad_out", grad_out, task)
    return _gradients(task, eps, derivatives.vjp(task, g, np.zeros(task.count)))


def _gradients(task: Problem, eps: ArrayLike, found: Any) -> Gradients:
    """Return gradients in the shapes of their arguments."""
    x, delta, of_eps, *of_bounds = found
    if task.is_plain:
        of_numbers = (_clamped_number(value, task) for value in (of_eps.sum(), *of_bounds))
        return Gradients(x, delta, *of_numbers)
    by_batch, shape = of_eps.reshape(task.batch_shape), np.shape(eps)
    if len(shape) == len(task.shape) > by_batch.ndim:
        by_batch = by_batch.reshape(task.batch_shape_kept)
    lower, upper = (
        None if bound is None else _clamped(value, task).reshape(np.shape(bound))[()]
        for bound, value in zip(pair(task.options.bounds), of_bounds, strict=True)
    )
    of_eps = _clamped(sum_to(by_batch, shape), task)
    return Gradients(_clamped(x, task)[()], _clamped(delta, task)[()], of_eps[()], lower, upper)


def _clamped(values: ArrayLike, task: Problem) -> Array:
    """Return values in the result's dtype; sums beyond its range become its largest number."""
    values = np.asarray(values)
    if values.dtype == task.dtype:
        return values
    clamped: Array = np.clip(values, -task.largest, task.largest).astype(task.dtype)
    return clamped


def _clamped_number(value: float, task: Problem) -> Any:
    """Return what `_clamped` does, of one number, in a fraction of the time."""
    beyond = abs(value) > task.largest
    return task.dtype.type(math.copysign(task.largest, value) if beyond else value)


def sum_to(values: Array, shape: tuple[int, ...]) -> Any:
    """Return values summed over the axes along which an array of this shape was broadcast."""
    padded = (1,) * (values.ndim - len(shape)) + shape
    axes = tuple(i for i, size in enumerate(padded) if size != values.shape[i])
    with np.errstate(over="ignore"):
        return values.sum(axis=axes, keepdims=True).reshape(shape)


def eta_jvp(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, tangents: tuple[Any, ...], options: Options
) -> Any:
    """Return `numba_car.eta_jvp` of NumPy arrays, given the tangents of x, delta and eps."""
    task = problem(x, delta, eps, options)
    return restore(_rounded(derivatives.jvp(task, _tangents(task, *tangents), None), task), task)


def rescale_jvp(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, tangents: tuple[Any, ...], options: Options
) -> Any:
    """Return `numba_car.rescale_jvp` of NumPy arrays, given the tangents of x, delta and eps."""
    task = problem(x, delta, eps, options)
    out = np.empty(task.shape, task.dtype)
    rows = Rows(out, task.axes, task.x.dtype)
    derivatives.jvp(task, _tangents(task, *tangents), rows)
    return out[()]


def _tangents(
    task: Problem, of_x: ArrayLike | None, of_delta: ArrayLike | None, of_eps: ArrayLike | None
) -> tuple[Rows | float, Rows | float, Array]:
    """Return tangents as rows, those of eps as one number a row; None is 0."""
    of_eps_array = as_numeric("tangent_eps", 0.0 if of_eps is None else of_eps)
    return (
        0.0 if of_x is None else by_element("tangent_x", of_x, task),
        0.0 if of_delta is None else by_element("tangent_delta", of_delta, task),
        by_row("tangent_eps", of_eps_array, task.shape, task.axes),
    )
