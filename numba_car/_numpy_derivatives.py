"""The explicit derivatives of `numba_car.eta` and `numba_car.rescale` for NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numba_car._cpu import derivatives
from numba_car._layout import Rows
from numba_car._options import Gradients, Options
from numba_car._problem import as_numeric, by_element, by_row, problem
from numba_car._results import gradients_of, restore, rounded, tangents_of


def eta_vjp(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, grad_eta: ArrayLike, options: Options
) -> Gradients:
    """Return `numba_car.eta_vjp` of NumPy arrays."""
    task = problem(x, delta, eps, options)
    h = by_row("grad_eta", as_numeric("grad_eta", grad_eta), task.shape, task.axes)
    return gradients_of(task, eps, derivatives.vjp(task, 0.0, h))


def rescale_vjp(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, grad_out: ArrayLike, options: Options
) -> Gradients:
    """Return `numba_car.rescale_vjp` of NumPy arrays."""
    task = problem(x, delta, eps, options)
    g = by_element("grad_out", grad_out, task)
    return gradients_of(task, eps, derivatives.vjp(task, g, np.zeros(task.count)))


def eta_jvp(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, tangents: tuple[Any, ...], options: Options
) -> Any:
    """Return `numba_car.eta_jvp` of NumPy arrays, given the tangents of x, delta and eps."""
    task = problem(x, delta, eps, options)
    return restore(rounded(derivatives.jvp(task, tangents_of(task, tangents), None), task), task)


def rescale_jvp(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, tangents: tuple[Any, ...], options: Options
) -> Any:
    """Return `numba_car.rescale_jvp` of NumPy arrays, given the tangents of x, delta and eps."""
    task = problem(x, delta, eps, options)
    out = np.empty(task.shape, task.dtype)
    rows = Rows(out, task.axes, task.x.dtype)
    derivatives.jvp(task, tangents_of(task, tangents), rows)
    return out[()]
