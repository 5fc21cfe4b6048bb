"""The functions for arrays in device memory: with a ``__cuda_array_interface__``, or with DLPack.

The public functions take arrays and `Options`; `compute` and `differentiate` take a framework's arrays of one
rank and a `Task`, as their namesakes in `backend_cpu` do for host memory. Results are arrays of the library
of x, on its device, in the order of the stream that x is ready on.
"""

from __future__ import annotations

from typing import Any

from numba_car._cuda import copies, device_memory, solver, steps, streams
from numba_car._cuda.device_memory import is_on_device
from numba_car._cuda.problem import DeviceProblem, as_rows
from numba_car._cuda.results import ByElement
from numba_car._options import Options, Rescaled, Solution
from numba_car.interop import backend_cpu
from numba_car.interop.backend_cpu import Task
from numba_car.interop.closed_form import Arrays
from numba_car.interop.device_call import (
    DOUBLE,
    on_device_of,
    problem_of,
    public,
    values_by_row,
    warn_of,
)
from numba_car.interop.device_derivatives import (
    differentiate,
    eta_jvp,
    eta_vjp,
    maximize_jvp,
    maximize_vjp,
    project_jvp,
    project_vjp,
    rescale_jvp,
    rescale_vjp,
)

# Those which stand in a module of their own.
__all__ = [
    "differentiate",
    "eta_jvp",
    "eta_vjp",
    "maximize_jvp",
    "maximize_vjp",
    "project_jvp",
    "project_vjp",
    "rescale_jvp",
    "rescale_vjp",
]


def _store(name: str, task: DeviceProblem, out: Any = None) -> tuple[Any, Any]:
    """Return what the function of that name in `steps.STORING` returns, and the batch that it stores."""
    store = steps.STORING[name]
    if out is None:
        result = ByElement(task, task.shape)
        return store(task, result.rows), result.finish()
    if not is_on_device(out):
        raise TypeError(f"out must be on the device as well, found {type(out).__name__}")
    view = device_memory.view_of(out)
    if (view.shape, view.dtype) != (task.shape, task.result):
        raise ValueError(
            f"out must have the shape {task.shape} and dtype {task.result} of the result, "
            f"found {view.shape} and {view.dtype}"
        )
    if not view.is_writeable:
        raise ValueError("out must be writeable, found a read-only array")
    rows = as_rows("out", view, task.shape, task.axes, task.result, task.stream)
    if rows[0].size and device_memory.pointer_of(rows[0]) != view.pointer:
        raise ValueError(
            "out must hold each row without gaps; leave it out, or copy from the result"
        )
    return store(task, rows), out


@public("eta")
def eta(task: DeviceProblem) -> Any:
    """Return `numba_car.eta` in device memory."""
    return values_by_row(task, solver.solve(task).eta)


@public("rescale")
def rescale(task: DeviceProblem, out: Any = None) -> Any:
    """Return `numba_car.rescale` in device memory."""
    return _store("rescale", task, out)[1]


@public("rescale")
def rescale_and_solve(task: DeviceProblem, out: Any = None) -> Rescaled[Any]:
    """Return `numba_car.rescale` with full output in device memory."""
    facts, moved = _store("rescale_and_solve", task, out)
    return Rescaled(moved, *(values_by_row(task, values) for values in facts))


@public("project")
def project(task: DeviceProblem, out: Any = None) -> Any:
    """Return `numba_car.project` in device memory."""
    return _store("project", task, out)[1]


@public("maximize")
def maximize(task: DeviceProblem, out: Any = None) -> Any:
    """Return `numba_car.maximize` in device memory."""
    return _store("maximize", task, out)[1]


@public("norm")
def norm(task: DeviceProblem) -> Any:
    """Return `numba_car.norm` in device memory."""
    return values_by_row(task, *solver.values_of("norm", task))


@public("eta")
def solve(task: DeviceProblem) -> Solution[Any]:
    """Return `numba_car.solve` in device memory."""
    return Solution(*(values_by_row(task, values) for values in solver.solution(task)))


def max_norm(x: Any, delta: Any, options: Options) -> Any:
    """Return `numba_car.max_norm` in device memory."""
    return _max_norm(x, delta, 0.0, options)


@public("eta")
def _max_norm(task: DeviceProblem) -> Any:
    return values_by_row(task, *solver.values_of("max_norm", task))


def compute(name: str, arrays: Arrays, task: Task) -> tuple[Any, ...]:
    """Return what `backend_cpu.OUTPUTS` names: eta of `eta` and `rescale` in float64, else the dtype of x."""

    def solve_on_host() -> None:
        backend_cpu.compute(name, Arrays(*map(copies.on_host, arrays)), task)

    streams.refuse_capture(arrays.x)
    with on_device_of(arrays.x, solve_on_host):
        rows = problem_of(arrays, task, name)
        if name in steps.STORING:
            eta, moved = _store(name, rows)
            found = values_by_row(rows, eta, DOUBLE), moved
        else:
            dtype = DOUBLE if name == "eta" else None
            values = solver.values_of(name, rows)
            found = tuple(values_by_row(rows, value, dtype) for value in values)
        warn_of(rows)
        return found
