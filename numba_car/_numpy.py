"""The public functions for NumPy arrays and what converts to them: check, solve, restore. Nothing dispatches here.

The modules of `interop` have the same functions for other libraries' arrays.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numba_car._cpu import derivatives, on_grid
from numba_car._cpu import solve as solver
from numba_car._layout import Array, DType, Rows
from numba_car._numpy_steps import (
    maximize,
    maximize_jvp,
    maximize_vjp,
    project,
    project_jvp,
    project_vjp,
)
from numba_car._options import Gradients, Options, Rescaled, Solution
from numba_car._problem import (
    Problem,
    as_numeric,
    by_element,
    by_row,
    check_grid,
    problem,
)
from numba_car._results import gradients_of, restore, store_results, tangents_of

# Those which stand in a module of their own.
__all__ = ["maximize", "maximize_jvp", "maximize_vjp", "project", "project_jvp", "project_vjp"]


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
    if options.step is not None:
        return rescale_on_grid(x, delta, eps, options, out, with_facts=False)[0]
    return store_results(problem(x, delta, eps, options), out, solver.rescale)[1]


def rescale_and_solve(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, options: Options, out: Array | None = None
) -> Rescaled[Any]:
    """Return `numba_car.rescale` with full output of NumPy arrays."""
    if options.step is not None:
        return Rescaled(*rescale_on_grid(x, delta, eps, options, out, with_facts=True))
    task = problem(x, delta, eps, options)
    found, result = store_results(task, out, solver.rescale_and_solve)
    return Rescaled(result, *(restore(values, task) for values in found))


def rescale_with_eta(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, options: Options, out: Array | None = None
) -> tuple[Any, Any]:
    """Return eta in float64, one per row, and the rescaled batch, for one solve of both."""
    task = problem(x, delta, eps, options)
    eta, result = store_results(task, out, solver.rescale)
    return restore(eta, task), result


def dtype_on_grid(x: ArrayLike, task: Problem) -> DType:
    """Return the dtype of results on a grid: that of x if it holds integers."""
    given = np.asarray(x).dtype
    return given.newbyteorder("=") if given.kind in "iu" else task.dtype


def rescale_on_grid(
    x: ArrayLike,
    delta: ArrayLike,
    eps: ArrayLike,
    options: Options,
    out: Array | None,
    *,
    with_facts: bool,
) -> tuple[Any, ...]:
    """Return the results on the grid of `options.step`, eta, and with facts all that `solve` returns."""
    task = problem(x, delta, eps, options)
    dtype = dtype_on_grid(x, task)
    check_grid(task, dtype)
    store = functools.partial(on_grid.rescale_on_grid, with_facts=with_facts)
    found, result = store_results(task, out, store, dtype)
    return result, *(restore(values, task) for values in found[: None if with_facts else 1])


def solve(x: ArrayLike, delta: ArrayLike, eps: ArrayLike, options: Options) -> Solution[Any]:
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
    return restore(solver.norm(task, task.take_eps()), task)


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
    return restore(_rounded(derivatives.jvp(task, tangents_of(task, tangents), None), task), task)


def rescale_jvp(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, tangents: tuple[Any, ...], options: Options
) -> Any:
    """Return `numba_car.rescale_jvp` of NumPy arrays, given the tangents of x, delta and eps."""
    task = problem(x, delta, eps, options)
    out = np.empty(task.shape, task.dtype)
    rows = Rows(out, task.axes, task.x.dtype)
    derivatives.jvp(task, tangents_of(task, tangents), rows)
    return out[()]
