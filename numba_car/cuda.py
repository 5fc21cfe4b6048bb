"""The public functions for NumPy arrays, computed on a GPU: what they take and return is the same.

The arrays may be larger than the GPU's memory, but for a single row: they go there in chunks of rows. All
but a few bits of the results are those of the CPU, and errors are the same. It needs numba-cuda, and
raises RuntimeError where there is no driver or no GPU.

Arrays that are in device memory already go into `numba_car.rescale` and the other functions as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numba_car import _numpy
from numba_car._cpu import solve as cpu
from numba_car._cuda import staging
from numba_car._cuda.solver import BadRowError
from numba_car._dispatch import library_of
from numba_car._layout import Array, Rows
from numba_car._options import Axis, Bounds, Options, Solution, pair
from numba_car._problem import Problem, problem, result_rows

__all__ = ["eta", "max_norm", "rescale", "solve"]


def _check_kind(*arrays: Any) -> None:
    library = library_of(*arrays)
    if library is not _numpy:
        name = library.__name__.rpartition(".")[2]
        raise TypeError(
            f"arrays must be NumPy arrays or convert to them, found {name}'s; those that are on a "
            "GPU go into numba_car's own functions"
        )


def _run(name: str, task: Problem, out: Rows | None = None) -> Any:
    if not (task.count and task.n):
        found = () if out is not None else getattr(cpu, name)(task)
        return found if isinstance(found, tuple) else (found,)
    try:
        return staging.run(name, task, task.options, out)
    except BadRowError:  # the CPU's solver finds them again, and words the error
        cpu.eta(task)
        raise ValueError("x, eps or bounds broke a rule in some row") from None


def _by_row(name: str, x: Any, delta: Any, eps: Any, call: Options) -> list[Any]:
    _check_kind(x, delta, eps, *pair(call.bounds))
    task = problem(x, delta, eps, call)
    with np.errstate(over="ignore"):
        return [
            _numpy.restore(
                values if values.dtype == np.bool_ else values.astype(task.dtype, copy=False), task
            )
            for values in _run(name, task)
        ]


def eta(
    x: ArrayLike,
    delta: ArrayLike,
    eps: ArrayLike,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    keepdims: bool = False,
    infeasible: str = "saturate",
    method: str = "auto",
    num_threads: int | None = None,
) -> Any:
    r"""Scale that puts each row's clipped perturbation at norm eps.

    .. math:: \eta = \min\{\eta \ge 0 : \|\mathrm{clip}(x + \eta\,\delta, l, u) - x\|_p
              \ge \min(\epsilon, R)\}

    Parameters
    ----------
    x, delta, eps, p, bounds, axis, keepdims, infeasible, method, num_threads
        As for `numba_car.eta`, for NumPy arrays; threads find errors again, to word them.

    Returns
    -------
    ndarray or scalar
        As of `numba_car.eta`.

    Raises
    ------
    ValueError, TypeError
        As by `numba_car.eta`.
    RuntimeError
        If there is no driver or no GPU.
    MemoryError
        If a single row does not fit the GPU's memory.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import cuda
    >>> row, up = np.full((1, 4), 0.5), np.ones((1, 4))
    >>> cuda.eta(row, up, 0.1)  # doctest: +SKIP
    array([0.05])
    """
    call = Options(p, bounds, axis, keepdims, infeasible, method, num_threads)
    return _by_row("eta", x, delta, eps, call)[0]


def rescale(
    x: ArrayLike,
    delta: ArrayLike,
    eps: ArrayLike,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    keepdims: bool = False,  # noqa: ARG001
    infeasible: str = "saturate",
    method: str = "auto",
    num_threads: int | None = None,
    out: Array | None = None,
) -> Any:
    r"""Perturb x along delta by exactly eps, inside the bounds.

    .. math:: v = \mathrm{clip}(x + \eta\,\delta, l, u)

    Parameters
    ----------
    x, delta, eps, p, bounds, axis, keepdims, infeasible, method, num_threads, out
        As for `numba_car.rescale`, for NumPy arrays; threads find errors again, to word them.

    Returns
    -------
    ndarray
        As of `numba_car.rescale`.

    Raises
    ------
    ValueError, TypeError
        As by `numba_car.rescale`.
    RuntimeError
        If there is no driver or no GPU.
    MemoryError
        If a single row does not fit the GPU's memory.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import cuda
    >>> row, up = np.full((1, 4), 0.5), np.ones((1, 4))
    >>> cuda.rescale(row, up, 0.1)  # doctest: +SKIP
    array([[0.55, 0.55, 0.55, 0.55]])
    """
    options = Options(p, pair(bounds), axis, False, infeasible, method, num_threads)
    _check_kind(x, delta, eps, *options.bounds, out)
    task = problem(x, delta, eps, options)
    result_rows(task, out)  # which raises where out does not fit
    result, rows, _ = result_rows(task, None)
    _run("rescale", task, rows)
    if out is None:
        return result[()]
    out[...] = result
    return out


def solve(
    x: ArrayLike,
    delta: ArrayLike,
    eps: ArrayLike,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    keepdims: bool = False,
    infeasible: str = "saturate",
    method: str = "auto",
    num_threads: int | None = None,
) -> Solution:
    r"""Eta together with the norm that it reaches and the largest that can be reached.

    .. math:: \|\mathrm{clip}(x + \eta\,\delta, l, u) - x\|_p = \min(\epsilon, R)

    Parameters
    ----------
    x, delta, eps, p, bounds, axis, keepdims, infeasible, method, num_threads
        As for `numba_car.solve`, for NumPy arrays; threads find errors again, to word them.

    Returns
    -------
    Solution
        As of `numba_car.solve`.

    Raises
    ------
    ValueError, TypeError
        As by `numba_car.solve`.
    RuntimeError
        If there is no driver or no GPU.
    MemoryError
        If a single row does not fit the GPU's memory.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import cuda
    >>> row, up = np.full((1, 4), 0.5), np.ones((1, 4))
    >>> cuda.solve(row, up, 2.0).saturated  # doctest: +SKIP
    array([ True])
    """
    call = Options(p, bounds, axis, keepdims, infeasible, method, num_threads)
    return Solution(*_by_row("solve", x, delta, eps, call))


def max_norm(
    x: ArrayLike,
    delta: ArrayLike,
    *,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    axis: Axis = None,
    keepdims: bool = False,
    num_threads: int | None = None,
) -> Any:
    r"""Largest norm that a perturbation along delta can reach inside the bounds.

    .. math:: R = \lim_{\eta\to\infty} \|\mathrm{clip}(x + \eta\,\delta, l, u) - x\|_p

    Parameters
    ----------
    x, delta, p, bounds, axis, keepdims, num_threads
        As for `numba_car.max_norm`, for NumPy arrays; threads find errors again, to word them.

    Returns
    -------
    ndarray or scalar
        As of `numba_car.max_norm`.

    Raises
    ------
    ValueError, TypeError
        As by `numba_car.max_norm`.
    RuntimeError
        If there is no driver or no GPU.
    MemoryError
        If a single row does not fit the GPU's memory.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import cuda
    >>> row, up = np.full((1, 4), 0.5), np.ones((1, 4))
    >>> cuda.max_norm(row, up)  # doctest: +SKIP
    array([1.])
    """
    call = Options(p, bounds, axis, keepdims, num_threads=num_threads)
    return _by_row("max_norm", x, delta, 0.0, call)[0]
