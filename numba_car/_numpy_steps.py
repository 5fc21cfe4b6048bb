"""`numba_car.project` and `numba_car.maximize` of NumPy arrays, as `_numpy` has the functions that rescale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numba_car._cpu import step_derivatives, steps
from numba_car._layout import Array, Rows
from numba_car._options import MaximizeGradients, Options, ProjectGradients
from numba_car._problem import Problem, by_element, problem
from numba_car._results import gradients_of, store_results, tangents_of


def project(
    x: ArrayLike, z: ArrayLike, eps: ArrayLike, options: Options, out: Array | None = None
) -> Any:
    """Return `numba_car.project` of NumPy arrays."""
    return store_results(problem(x, z, eps, options, "project"), out, steps.project)[1]


def maximize(
    x: ArrayLike, g: ArrayLike, eps: ArrayLike, options: Options, out: Array | None = None
) -> Any:
    """Return `numba_car.maximize` of NumPy arrays."""
    return store_results(problem(x, g, eps, options, "maximize"), out, steps.maximize)[1]


def project_vjp(
    x: ArrayLike, z: ArrayLike, eps: ArrayLike, grad_out: ArrayLike, options: Options
) -> ProjectGradients:
    """Return `numba_car.project_vjp` of NumPy arrays."""
    task = problem(x, z, eps, options, "project")
    found = step_derivatives.project_vjp(task, by_element("grad_out", grad_out, task))
    return ProjectGradients(*gradients_of(task, eps, found))


def maximize_vjp(
    x: ArrayLike, g: ArrayLike, eps: ArrayLike, grad_out: ArrayLike, options: Options
) -> MaximizeGradients:
    """Return `numba_car.maximize_vjp` of NumPy arrays."""
    task = problem(x, g, eps, options, "maximize")
    found = step_derivatives.maximize_vjp(task, by_element("grad_out", grad_out, task))
    return MaximizeGradients(*gradients_of(task, eps, found))


def project_jvp(
    x: ArrayLike, z: ArrayLike, eps: ArrayLike, tangents: tuple[Any, ...], options: Options
) -> Any:
    """Return `numba_car.project_jvp` of NumPy arrays, given the tangents of x, z and eps."""
    task = problem(x, z, eps, options, "project")
    return _push(step_derivatives.project_jvp, task, tangents_of(task, tangents, "z"))


def maximize_jvp(
    x: ArrayLike, g: ArrayLike, eps: ArrayLike, tangents: tuple[Any, ...], options: Options
) -> Any:
    """Return `numba_car.maximize_jvp` of NumPy arrays, given the tangents of x, g and eps."""
    task = problem(x, g, eps, options, "maximize")
    return _push(step_derivatives.maximize_jvp, task, tangents_of(task, tangents, "g"))


def _push(store: Callable[..., None], task: Problem, tangents: tuple[Any, ...]) -> Any:
    """Return the tangents that a function of the solver stores."""
    out = np.empty(task.shape, task.dtype)
    store(task, tangents, Rows(out, task.axes, task.x.dtype))
    return out[()]
