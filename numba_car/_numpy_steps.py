"""`numba_car.project` and `numba_car.maximize` of NumPy arrays, as `_numpy` has the functions that rescale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from numba_car._cpu import steps
from numba_car._layout import Array
from numba_car._options import Options
from numba_car._problem import Problem, problem, result_rows


def project(
    x: ArrayLike, z: ArrayLike, eps: ArrayLike, options: Options, out: Array | None = None
) -> Any:
    """Return `numba_car.project` of NumPy arrays."""
    return _step(steps.project, problem(x, z, eps, options, "project"), out)


def maximize(
    x: ArrayLike, g: ArrayLike, eps: ArrayLike, options: Options, out: Array | None = None
) -> Any:
    """Return `numba_car.maximize` of NumPy arrays."""
    return _step(steps.maximize, problem(x, g, eps, options, "maximize"), out)


def _step(store: Callable[..., Array], task: Problem, out: Array | None) -> Any:
    """Return the results that a function of the solver stores."""
    result, rows, at_once = result_rows(task, out)
    store(task, rows, at_once=at_once)
    if out is None:
        return result[()]
    if result is not out:
        out[...] = result
    return out
