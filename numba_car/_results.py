"""From what the solver returns to the results of the public functions: shapes and dtypes of NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numba_car._layout import Array, DType, Rows
from numba_car._options import Gradients, pair
from numba_car._problem import Problem, as_numeric, batch_of, by_element, by_row, result_rows


def rounded(flat: Array, task: Problem) -> Array:
    """Return float64 values in the dtype of the result."""
    if flat.dtype is task.dtype:
        return flat
    with np.errstate(over="ignore"):
        return flat.astype(task.dtype, copy=False)


def restore(flat: Array, task: Problem) -> Any:
    """Return one number a row in the shape of a NumPy reduction, which is a scalar for a single row."""
    if task.is_plain and not task.options.keepdims:
        return flat
    shape = batch_of(task.shape, task.axes, keepdims=task.options.keepdims)
    return flat.reshape(shape)[()]


def store_results(
    task: Problem, out: Array | None, store: Callable[..., Any], dtype: DType | None = None
) -> tuple[Any, Any]:
    """Return what a function of the solver returns, flat, and the batch of results, which it stores."""
    result, rows, at_once = result_rows(task, out, dtype)
    found = store(task, rows, at_once=at_once)
    if out is None:
        return found, result[()]
    if result is not out:
        out[...] = result
    return found, out


def gradients_of(task: Problem, eps: ArrayLike, found: Any) -> Gradients:
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


def tangents_of(
    task: Problem, tangents: tuple[Any, ...], name: str = "delta"
) -> tuple[Rows | float, Rows | float, Array]:
    """Return tangents of x, delta and eps as rows, those of eps as one number a row; None is 0.

    Errors call delta by its name.
    """
    of_x, of_delta, of_eps = tangents
    of_eps_array = as_numeric("tangent_eps", 0.0 if of_eps is None else of_eps)
    return (
        0.0 if of_x is None else by_element("tangent_x", of_x, task),
        0.0 if of_delta is None else by_element(f"tangent_{name}", of_delta, task),
        by_row("tangent_eps", of_eps_array, task.shape, task.axes),
    )
