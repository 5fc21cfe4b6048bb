"""The public functions for NumPy arrays and what converts to them: check, solve, restore. Nothing dispatches here.

The modules of `interop` have the same functions for other libraries' arrays.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numba_car._cpu import solve as solver
from numba_car._layout import Array, DType
from numba_car._options import Options, Rescaled, Solution
from numba_car._problem import Problem, check_grid, problem
from numba_car._results import restore, rounded, store_results

_DERIVATIVES = ("eta_jvp", "eta_vjp", "rescale_jvp", "rescale_vjp")
_STEPS = ("maximize", "maximize_jvp", "maximize_vjp", "project", "project_jvp", "project_vjp")


def __getattr__(name: str) -> Any:
    """Return a function of a module that is imported only now, since the first call of most processes needs none."""
    if name in _DERIVATIVES:
        return getattr(import_module("numba_car._numpy_derivatives"), name)
    if name in _STEPS:
        return getattr(import_module("numba_car._numpy_steps"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def eta(x: ArrayLike, delta: ArrayLike, eps: ArrayLike, options: Options) -> Any:
    """Return `numba_car.eta` of NumPy arrays."""
    task = problem(x, delta, eps, options)
    return restore(rounded(solver.eta(task), task), task)


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
        return Rescaled(*rescale_on_grid(x, delta, eps, options, out))
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
    with_facts: bool = True,
) -> tuple[Any, ...]:
    """Return the results on the grid of `options.step`, eta, and with facts all that `solve` returns."""
    from numba_car._cpu import on_grid  # with kernels of its own

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
