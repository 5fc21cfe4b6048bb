"""The functions for arrays in device memory: with a ``__cuda_array_interface__``, or with DLPack.

The public functions take arrays and `Options`; `compute` and `differentiate` take a framework's arrays of one
rank and a `Task`, as their namesakes in `backend_cpu` do for host memory. Results are arrays of the library
of x, on its device, in the order of the stream that x is ready on.
"""

from __future__ import annotations

import contextlib
import functools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from numba_car import _numpy
from numba_car._core.constants import SLACK
from numba_car._cpu.solve import frames_inside
from numba_car._cuda import (
    copies,
    derivatives,
    device_memory,
    solver,
    step_derivatives,
    steps,
    streams,
)
from numba_car._cuda.device_memory import is_on_device
from numba_car._cuda.problem import DeviceProblem, as_rows, problem
from numba_car._cuda.results import ByElement, by_row
from numba_car._layout import DType
from numba_car._options import (
    Gradients,
    MaximizeGradients,
    Options,
    ProjectGradients,
    Rescaled,
    Solution,
    pair,
)
from numba_car._problem import as_numeric, batch_of, kept_shape
from numba_car.interop import backend_cpu
from numba_car.interop.backend_cpu import Task
from numba_car.interop.closed_form import Arrays

_NUMBER = (0.0,)  # a batch of the kind NUMBER, see `_cuda.row`: as a target, it stores nothing
_DOUBLE = np.dtype(np.float64)


@contextlib.contextmanager
def _on_device_of(x: Any, solve_on_host: Callable[[], Any]) -> Iterator[None]:
    """Make the device of x current; where a row's values are an error, the CPU's solver raises it."""
    with device_memory.on_device_of(x):
        try:
            yield
        except solver.BadRowError:
            solve_on_host()
            raise ValueError("x, eps or bounds broke a rule in some row") from None


def warn(found: Sequence[solver.Unreachable], shape: tuple[int, ...]) -> None:
    """Warn of rows that cannot reach eps, of a batch of that shape, as the CPU's solver does."""
    if not found:
        return
    first, _, eps, max_norm = min(found)
    index = tuple(int(place) for place in np.unravel_index(first, shape))
    warnings.warn(
        f"eps cannot be reached in {sum(rows.size for rows in found)} of {math.prod(shape)} rows, "
        f"the first at index {index}: eps {eps} > max_norm {max_norm}",
        RuntimeWarning,
        stacklevel=frames_inside(),
    )


def _warn_of(task: DeviceProblem) -> None:
    warn(task.unreachable, batch_of(task.shape, task.axes, keepdims=False))


def _public(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that makes the public function (x, delta, eps, options, ...) of a function (problem, ...).

    It solves on the device of x, and raises the errors of the CPU's solver under that name.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def on_device(x: Any, delta: Any, eps: Any, options: Options, *more: Any) -> Any:
            lower, upper = pair(options.bounds)
            others = list(filter(is_on_device, (delta, eps, lower, upper, *more)))

            def solve_on_host() -> None:
                arrays = Arrays(*map(copies.on_host, (x, delta, eps, lower, upper)))
                getattr(_numpy, name)(*arrays[:3], options._replace(bounds=arrays[3:]))

            with _on_device_of(x, solve_on_host), streams.in_order(x, others):
                task = problem(x, delta, eps, options, name)
                found = function(task, *more)
                if any(map(device_memory.is_imported, (x, *others))):
                    device_memory.wait()  # the library may reuse it, on a stream that DLPack hides
                _warn_of(task)
                return found

        return on_device

    return decorate


def _by_row(task: DeviceProblem, values: Any, dtype: DType | None = None) -> Any:
    """Return one number a row as an array of the library of x; of its dtype, but for booleans."""
    dtype = dtype or (task.dtype if values.dtype == np.float64 else values.dtype)
    shape = batch_of(task.shape, task.axes, keepdims=task.options.keepdims)
    return by_row(task, values, shape, dtype)


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


@_public("eta")
def eta(task: DeviceProblem) -> Any:
    """Return `numba_car.eta` in device memory."""
    return _by_row(task, solver.solve(task).eta)


@_public("rescale")
def rescale(task: DeviceProblem, out: Any = None) -> Any:
    """Return `numba_car.rescale` in device memory."""
    return _store("rescale", task, out)[1]


@_public("rescale")
def rescale_and_solve(task: DeviceProblem, out: Any = None) -> Rescaled[Any]:
    """Return `numba_car.rescale` with full output in device memory."""
    facts, moved = _store("rescale_and_solve", task, out)
    return Rescaled(moved, *(_by_row(task, values) for values in facts))


@_public("project")
def project(task: DeviceProblem, out: Any = None) -> Any:
    """Return `numba_car.project` in device memory."""
    return _store("project", task, out)[1]


@_public("maximize")
def maximize(task: DeviceProblem, out: Any = None) -> Any:
    """Return `numba_car.maximize` in device memory."""
    return _store("maximize", task, out)[1]


@_public("norm")
def norm(task: DeviceProblem) -> Any:
    """Return `numba_car.norm` in device memory."""
    return _by_row(task, *solver.values_of("norm", task))


@_public("eta")
def solve(task: DeviceProblem) -> Solution[Any]:
    """Return `numba_car.solve` in device memory."""
    return Solution(*(_by_row(task, values) for values in solver.solution(task)))


def max_norm(x: Any, delta: Any, options: Options) -> Any:
    """Return `numba_car.max_norm` in device memory."""
    return _max_norm(x, delta, 0.0, options)


@_public("eta")
def _max_norm(task: DeviceProblem) -> Any:
    return _by_row(task, *solver.values_of("max_norm", task))


def compute(name: str, arrays: Arrays, task: Task) -> tuple[Any, ...]:
    """Return what `backend_cpu.OUTPUTS` names: eta of `eta` and `rescale` in float64, else the dtype of x."""

    def solve_on_host() -> None:
        backend_cpu.compute(name, Arrays(*map(copies.on_host, arrays)), task)

    streams.refuse_capture(arrays.x)
    with _on_device_of(arrays.x, solve_on_host):
        rows = _problem(arrays, task, name)
        if name in steps.STORING:
            eta, moved = _store(name, rows)
            found = _by_row(rows, eta, _DOUBLE), moved
        else:
            dtype = _DOUBLE if name == "eta" else None
            values = solver.values_of(name, rows)
            found = tuple(_by_row(rows, value, dtype) for value in values)
        _warn_of(rows)
        return found


def _problem(arrays: Arrays, task: Task, name: str = "eta") -> DeviceProblem:
    """Return the problem of a framework's arrays, for the function of that name."""
    x, delta, eps, lower, upper = arrays
    shape = np.broadcast_shapes(*map(_shape_of, arrays))
    if np.broadcast_shapes(_shape_of(x), _shape_of(delta)) != shape:
        delta = device_memory.broadcast(delta, shape)  # vmapped over other arrays than x and delta
    how = task.infeasible, task.method, task.num_threads, task.side
    rows = problem(x, delta, eps, Options(task.p, (lower, upper), task.axes, True, *how), name)
    limits = task.limits()
    slack = SLACK * limits.rounding
    return replace(rows, largest=limits.largest, slack=slack, stored=task.precision)


def _shape_of(value: Any) -> tuple[int, ...]:
    return device_memory.view_of(value).shape if is_on_device(value) else ()


def _elements(name: str, value: Any, task: DeviceProblem) -> tuple[Any, ...]:
    """Return a number, or an array that broadcasts to x, as a batch."""
    if not is_on_device(value):
        return (float(as_numeric(name, value).reshape(())),)
    return as_rows(name, device_memory.view_of(value), task.shape, task.axes, _DOUBLE, task.stream)


def _numbers_by_row(name: str, value: Any, task: DeviceProblem) -> tuple[Any, ...]:
    """Return a number, or an array that broadcasts to the rows, as a batch of rows of one element."""
    if not is_on_device(value):
        return (float(as_numeric(name, value).reshape(())),)
    view, shape = device_memory.view_of(value), batch_of(task.shape, task.axes, keepdims=True)
    view = device_memory.reshaped(view, kept_shape(name, view.shape, task.shape, task.axes))
    return as_rows(name, view, shape, task.axes, _DOUBLE, task.stream)


_Pull = Callable[[tuple[Any, ...]], tuple[Any, ...]]


def _pull_of(task: DeviceProblem, solved: solver.Solved, grad_out: Any, grad_eta: Any) -> _Pull:
    """Return what stores gradients by element, given those of clip(x + eta*delta) and of eta, and returns sums by row."""
    given = _elements("grad_out", grad_out, task), _numbers_by_row("grad_eta", grad_eta, task)
    return lambda targets: derivatives.vjp(task, solved, given, targets)


def _vjp(
    task: DeviceProblem,
    pull: _Pull,
    arrays: Arrays,
    wanted: Sequence[bool],
    eps_dtype: DType,
    *,
    is_read: bool = False,
) -> Arrays:
    """Return the gradients of the arrays that are wanted, None for the others.

    `pull` stores those by element in the targets that it gets, and returns by row those of eps and the sums of the
    bounds'; `is_read` says that it reads what it has stored.
    """
    shapes = Arrays(*map(_shape_of, arrays))
    # The kernel itself adds up the gradients of eps, and of a bound that is one number.
    is_sum = Arrays(False, False, True, *(math.prod(shape) == 1 for shape in shapes[3:]))
    results = Arrays(
        *(
            ByElement(task, shape, is_read=is_read) if want and not summed else None
            for shape, want, summed in zip(shapes, wanted, is_sum, strict=True)
        )
    )
    by_element = results.x, results.delta, results.lower, results.upper
    targets = tuple(_NUMBER if result is None else result.rows for result in by_element)
    sums = Arrays(None, None, *pull(targets))
    dtypes = Arrays(eps=eps_dtype, **dict.fromkeys(("x", "delta", "lower", "upper"), task.dtype))
    return Arrays(
        *(
            result.finish() if result else by_row(task, total, shape, dtype) if want else None
            for result, total, shape, dtype, want in zip(
                results, sums, shapes, dtypes, wanted, strict=True
            )
        )
    )


def differentiate(
    arrays: Arrays, eta: Any, grad_eta: Any, grad_out: Any, wanted: Arrays, task: Task
) -> Arrays:
    """Return the gradients of the arrays that are wanted, given eta; None for the others."""
    streams.refuse_capture(arrays.x)
    with device_memory.on_device_of(arrays.x):
        rows = _problem(arrays, task)
        known = copies.packed(device_memory.view_of(eta), _DOUBLE, rows.stream)
        upstream = 0.0 if grad_out is None else grad_out, grad_eta
        pull = _pull_of(rows, solver.Solved(known, None), *upstream)
        return _vjp(rows, pull, arrays, wanted, _DOUBLE)


def eta_vjp(x: Any, delta: Any, eps: Any, grad_eta: Any, options: Options) -> Gradients:
    """Return `numba_car.eta_vjp` in device memory."""
    gradients: Gradients = _gradients(x, delta, eps, options, 0.0, grad_eta)
    return gradients


def rescale_vjp(x: Any, delta: Any, eps: Any, grad_out: Any, options: Options) -> Gradients:
    """Return `numba_car.rescale_vjp` in device memory."""
    gradients: Gradients = _gradients(x, delta, eps, options, grad_out, 0.0)
    return gradients


@_public("eta")
def _gradients(task: DeviceProblem, *upstream: Any) -> Gradients:
    return Gradients(*_of_inputs(task, _pull_of(task, solver.solve(task), *upstream)))


def _of_inputs(task: DeviceProblem, pull: _Pull, *, is_read: bool = False) -> Arrays:
    """Return the gradients of the arguments of a public function, None for a bound that is None."""
    arrays = Arrays(*task.inputs)
    wanted = [array is not None for array in arrays]
    return _vjp(task, pull, arrays, wanted, task.dtype, is_read=is_read)


def eta_jvp(x: Any, delta: Any, eps: Any, tangents: tuple[Any, ...], options: Options) -> Any:
    """Return `numba_car.eta_jvp` in device memory."""
    return _jvp(x, delta, eps, options, *tangents)[0]


def rescale_jvp(x: Any, delta: Any, eps: Any, tangents: tuple[Any, ...], options: Options) -> Any:
    """Return `numba_car.rescale_jvp` in device memory."""
    return _jvp(x, delta, eps, options, *tangents)[1]


@_public("eta")
def _jvp(task: DeviceProblem, *tangents: Any) -> tuple[Any, Any]:
    given = _tangents("delta", tangents, task)
    moved = ByElement(task, task.shape)
    of_eta = derivatives.jvp(task, solver.solve(task), given, moved.rows)
    return _by_row(task, of_eta), moved.finish()


def _tangents(name: str, tangents: Sequence[Any], task: DeviceProblem) -> tuple[Any, ...]:
    """Return the tangents of x, of the argument of that name, and of eps, as batches; None is 0."""
    of_x, of_other, of_eps = (0.0 if tangent is None else tangent for tangent in tangents)
    return (
        _elements("tangent_x", of_x, task),
        _elements(f"tangent_{name}", of_other, task),
        _numbers_by_row("tangent_eps", of_eps, task),
    )


@_public("project")
def _project_gradients(task: DeviceProblem, grad_out: Any) -> ProjectGradients:
    g = _elements("grad_out", grad_out, task)
    pull = functools.partial(step_derivatives.project_vjp, task, g)
    return ProjectGradients(*_of_inputs(task, pull, is_read=True))


@_public("maximize")
def _maximize_gradients(task: DeviceProblem, grad_out: Any) -> MaximizeGradients:
    u = _elements("grad_out", grad_out, task)
    pull = functools.partial(step_derivatives.maximize_vjp, task, u)
    return MaximizeGradients(*_of_inputs(task, pull, is_read=True))


def project_vjp(x: Any, z: Any, eps: Any, grad_out: Any, options: Options) -> ProjectGradients:
    """Return `numba_car.project_vjp` in device memory."""
    gradients: ProjectGradients = _project_gradients(x, z, eps, options, grad_out)
    return gradients


def maximize_vjp(x: Any, g: Any, eps: Any, grad_out: Any, options: Options) -> MaximizeGradients:
    """Return `numba_car.maximize_vjp` in device memory."""
    gradients: MaximizeGradients = _maximize_gradients(x, g, eps, options, grad_out)
    return gradients


@_public("project")
def _project_tangents(task: DeviceProblem, *tangents: Any) -> Any:
    moved = ByElement(task, task.shape, is_read=True)
    step_derivatives.project_jvp(task, _tangents("z", tangents, task), moved.rows)
    return moved.finish()


@_public("maximize")
def _maximize_tangents(task: DeviceProblem, *tangents: Any) -> Any:
    moved = ByElement(task, task.shape)
    step_derivatives.maximize_jvp(task, _tangents("g", tangents, task), moved.rows)
    return moved.finish()


def project_jvp(x: Any, z: Any, eps: Any, tangents: tuple[Any, ...], options: Options) -> Any:
    """Return `numba_car.project_jvp` in device memory."""
    return _project_tangents(x, z, eps, options, *tangents)


def maximize_jvp(x: Any, g: Any, eps: Any, tangents: tuple[Any, ...], options: Options) -> Any:
    """Return `numba_car.maximize_jvp` in device memory."""
    return _maximize_tangents(x, g, eps, options, *tangents)
