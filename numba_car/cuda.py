"""The public functions for NumPy arrays, computed on a GPU: what they take and return is the same.

The arrays may be larger than the GPU's memory, but for a single row: they are copied there in chunks of
rows. Results differ from the CPU's by a few units in the last place at most, and errors are the same. The
functions need numba-cuda, and raise RuntimeError where there is no driver or no GPU.

Arrays that are in device memory already go into `numba_car.rescale` and the other functions as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from numba_car import _api, _norms, _numpy, _steps
from numba_car._cpu import solve as cpu
from numba_car._cpu.on_grid import rescale_on_grid
from numba_car._cuda import staging
from numba_car._cuda.solver import BadRowError
from numba_car._dispatch import library_of
from numba_car._layout import Array, Rows
from numba_car._options import (
    Options,
    Rescaled,
    Solution,
    axis_of,
    check_order_of_ascent,
    check_order_of_projection,
    pair,
)
from numba_car._problem import Problem, check_grid, problem, result_rows
from numba_car._results import restore
from numba_car.interop.device_call import warn

__all__ = ["eta", "max_norm", "maximize", "norm", "project", "rescale", "solve"]

_F = TypeVar("_F", bound=Callable[..., Any])

# What the docstrings say besides those of the namesakes in `numba_car`.
_SUMMARY = """
Computed on a GPU, for NumPy arrays. `num_threads` is for the CPU, which finds the values that the
message of an error names.
"""
_RAISES = """
RuntimeError
    If there is no driver or no GPU.
MemoryError
    If a single row does not fit the GPU's memory.
"""
_EXAMPLE = """
>>> import numpy as np
>>> from numba_car import cuda
>>> row, up = np.full((1, 4), 0.5), np.ones((1, 4))
>>> cuda.{call}  # doctest: +SKIP
{shown}
"""


def _as(public: _F, call: str, shown: str) -> Callable[[Callable[..., Any]], _F]:
    """Return a decorator that gives a function the signature and docstring of the public one.

    The docstring says in addition what differs on a GPU, and has this call and its result for an example.
    """
    signature, documented = inspect.signature(public), inspect.getdoc(public) or ""
    summary, _, rest = documented.partition("\n")
    sections, _, _ = rest.partition("Examples\n--------\n")
    sections = sections.replace("\nRaises\n------\n", f"\nRaises\n------{_RAISES}")
    example = _EXAMPLE.format(call=call, shown=shown)

    def decorate(function: Callable[..., Any]) -> _F:
        def on_gpu(*arguments: Any, **options: Any) -> Any:
            given = signature.bind(*arguments, **options)
            given.apply_defaults()
            names = given.arguments
            names["axis"] = axis_of(names["axis"], names.pop("dim"))
            return function(*given.args, **given.kwargs)

        on_gpu.__name__ = on_gpu.__qualname__ = public.__name__
        on_gpu.__doc__ = f"{summary}\n{_SUMMARY}{sections}Examples\n--------{example}"
        on_gpu.__annotations__ = public.__annotations__
        on_gpu.__signature__ = signature  # type: ignore[attr-defined]
        return cast("_F", on_gpu)

    return decorate


def _check_kind(*arrays: Any) -> None:
    """Raise TypeError unless the arrays are NumPy's or convert to them."""
    library = library_of(*arrays)
    if library is not _numpy:
        name = library.__name__.rpartition(".")[2].removeprefix("backend_")
        raise TypeError(
            f"arrays must be NumPy arrays or convert to them, found {name}'s; those that are on a "
            "GPU go into numba_car's own functions"
        )


def _run(name: str, task: Problem, out: Rows | None = None) -> tuple[Any, ...]:
    """Return the values by row of the function of that name, which may fill `out`, see `staging.run`."""
    if not (task.count and task.n):
        if out is not None and name != "rescale_and_solve":
            return ()
        found = _on_host("solve" if name == "rescale_and_solve" else name, task)
        return found if isinstance(found, tuple) else (found,)
    try:
        values, unreachable = staging.run(name, task, out)
    except BadRowError:  # the CPU's solver raises the error, with its message
        if name == "norm":
            task.eps = np.zeros(task.count)  # scales, which are valid
        if task.options.step is None or out is None:
            cpu.eta(task)
        else:
            rows = result_rows(task, None, out.dtype)[1]
            rescale_on_grid(task, rows, at_once=True, with_facts=False)
        raise ValueError("x, eps or bounds broke a rule in some row") from None
    warn(unreachable, task.batch_shape)
    return values


def _on_host(name: str, task: Problem) -> Any:
    if name != "norm":
        return getattr(cpu, name)(task)
    scales, task.eps = task.eps, np.zeros(task.count)
    return cpu.norm(task, scales)


def _by_row(name: str, x: Any, delta: Any, eps: Any, options: Options) -> list[Any]:
    """Return the results of a function of one number a row, in the shape and dtype of its result."""
    _check_kind(x, delta, eps, *pair(options.bounds))
    task = problem(x, delta, eps, options, name)
    return _restored(_run(name, task), task)


def _restored(found: tuple[Array, ...], task: Problem) -> list[Any]:
    """Return values by row in the shape and dtype of results; booleans stay what they are."""
    dtypes = {np.dtype(np.float64): task.dtype}
    with np.errstate(over="ignore"):
        rounded = (v.astype(dtypes.get(v.dtype, v.dtype), copy=False) for v in found)
        return [restore(values, task) for values in rounded]


@_as(_api.eta, "eta(row, up, 0.1)", "array([0.05])")
def eta(x: Any, delta: Any, eps: Any, **options: Any) -> Any:
    """See `numba_car.eta`."""
    return _by_row("eta", x, delta, eps, Options(**options))[0]


@_as(_api.rescale, "rescale(row, up, 0.1)", "array([[0.55, 0.55, 0.55, 0.55]])")
def rescale(
    x: Any, delta: Any, eps: Any, *, out: Array | None, full_output: bool, **options: Any
) -> Any:
    """See `numba_car.rescale`."""
    name = "rescale_and_solve" if full_output else "rescale"
    moved, found = _store(name, x, delta, eps, out, Options(**options))
    return Rescaled(moved, *found) if full_output else moved


def _store(
    name: str, x: Any, delta: Any, eps: Any, out: Array | None, options: Options
) -> tuple[Any, list[Any]]:
    """Return the batch that the function of that name stores, and its values by row."""
    _check_kind(x, delta, eps, *pair(options.bounds), out)
    task, dtype = problem(x, delta, eps, options, name), None
    if options.step is not None:
        dtype = _numpy.dtype_on_grid(x, task)
        check_grid(task, dtype)
    result_rows(task, out, dtype)  # which raises where out does not fit
    result, rows, _ = result_rows(task, None, dtype)
    found = _restored(_run(name, task, rows), task)
    if out is None:
        return result[()], found
    out[...] = result
    return out, found


@_as(_steps.project, "project(row, row + 1, 0.1, p=1)", "array([[0.525, 0.525, 0.525, 0.525]])")
def project(x: Any, z: Any, eps: Any, *, out: Array | None, **options: Any) -> Any:
    """See `numba_car.project`."""
    check_order_of_projection(options["p"])
    return _store("project", x, z, eps, out, Options(**options))[0]


@_as(_steps.maximize, "maximize(row, up, 0.1, p=1)", "array([[0.6, 0.5, 0.5, 0.5]])")
def maximize(x: Any, g: Any, eps: Any, *, out: Array | None, **options: Any) -> Any:
    """See `numba_car.maximize`."""
    check_order_of_ascent(options["p"])
    return _store("maximize", x, g, eps, out, Options(**options))[0]


@_as(_api.solve, "solve(row, up, 2.0).saturated", "array([ True])")
def solve(x: Any, delta: Any, eps: Any, **options: Any) -> Solution[Any]:
    """See `numba_car.solve`."""
    return Solution(*_by_row("solve", x, delta, eps, Options(**options)))


@_as(_norms.max_norm, "max_norm(row, up)", "array([1.])")
def max_norm(x: Any, delta: Any, **options: Any) -> Any:
    """See `numba_car.max_norm`."""
    return _by_row("max_norm", x, delta, 0.0, Options(**options))[0]


@_as(_norms.norm, "norm(row, up, 0.05)", "array([0.1])")
def norm(x: Any, delta: Any, eta: Any, **options: Any) -> Any:
    """See `numba_car.norm`."""
    return _by_row("norm", x, delta, eta, Options(**options))[0]
