"""Derivatives for arrays in device memory: those of public functions, and `differentiate`, as of `backend_cpu`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from numba_car._cuda import copies, derivatives, device_memory, solver, step_derivatives, streams
from numba_car._cuda.device_memory import is_on_device
from numba_car._cuda.problem import DeviceProblem, as_rows
from numba_car._cuda.results import ByElement, by_row
from numba_car._layout import DType
from numba_car._options import Gradients, MaximizeGradients, Options, ProjectGradients
from numba_car._problem import as_numeric, batch_of, kept_shape
from numba_car.interop.backend_cpu import Task
from numba_car.interop.closed_form import Arrays
from numba_car.interop.device_call import DOUBLE, problem_of, public, shape_of, values_by_row

_NUMBER = (0.0,)  # a batch of the kind NUMBER, see `_cuda.row`: as a target, it stores nothing


def _elements(name: str, value: Any, task: DeviceProblem) -> tuple[Any, ...]:
    """Return a number, or an array that broadcasts to x, as a batch."""
    if not is_on_device(value):
        return (float(as_numeric(name, value).reshape(())),)
    return as_rows(name, device_memory.view_of(value), task.shape, task.axes, DOUBLE, task.stream)


def _numbers_by_row(name: str, value: Any, task: DeviceProblem) -> tuple[Any, ...]:
    """Return a number, or an array that broadcasts to the rows, as a batch of rows of one element."""
    if not is_on_device(value):
        return (float(as_numeric(name, value).reshape(())),)
    view, shape = device_memory.view_of(value), batch_of(task.shape, task.axes, keepdims=True)
    view = device_memory.reshaped(view, kept_shape(name, view.shape, task.shape, task.axes))
    return as_rows(name, view, shape, task.axes, DOUBLE, task.stream)


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
    shapes = Arrays(*map(shape_of, arrays))
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
        rows = problem_of(arrays, task)
        known = copies.packed(device_memory.view_of(eta), DOUBLE, rows.stream)
        upstream = 0.0 if grad_out is None else grad_out, grad_eta
        pull = _pull_of(rows, solver.Solved(known, None), *upstream)
        return _vjp(rows, pull, arrays, wanted, DOUBLE)


def eta_vjp(x: Any, delta: Any, eps: Any, grad_eta: Any, options: Options) -> Gradients:
    """Return `numba_car.eta_vjp` in device memory."""
    gradients: Gradients = _gradients(x, delta, eps, options, 0.0, grad_eta)
    return gradients


def rescale_vjp(x: Any, delta: Any, eps: Any, grad_out: Any, options: Options) -> Gradients:
    """Return `numba_car.rescale_vjp` in device memory."""
    gradients: Gradients = _gradients(x, delta, eps, options, grad_out, 0.0)
    return gradients


@public("eta")
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


@public("eta")
def _jvp(task: DeviceProblem, *tangents: Any) -> tuple[Any, Any]:
    given = _tangents("delta", tangents, task)
    moved = ByElement(task, task.shape)
    of_eta = derivatives.jvp(task, solver.solve(task), given, moved.rows)
    return values_by_row(task, of_eta), moved.finish()


def _tangents(name: str, tangents: Sequence[Any], task: DeviceProblem) -> tuple[Any, ...]:
    """Return the tangents of x, of the argument of that name, and of eps, as batches; None is 0."""
    of_x, of_other, of_eps = (0.0 if tangent is None else tangent for tangent in tangents)
    return (
        _elements("tangent_x", of_x, task),
        _elements(f"tangent_{name}", of_other, task),
        _numbers_by_row("tangent_eps", of_eps, task),
    )


@public("project")
def _project_gradients(task: DeviceProblem, grad_out: Any) -> ProjectGradients:
    g = _elements("grad_out", grad_out, task)
    pull = functools.partial(step_derivatives.project_vjp, task, g)
    return ProjectGradients(*_of_inputs(task, pull, is_read=True))


@public("maximize")
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


@public("project")
def _project_tangents(task: DeviceProblem, *tangents: Any) -> Any:
    moved = ByElement(task, task.shape)
    step_derivatives.project_jvp(task, _tangents("z", tangents, task), moved.rows)
    return moved.finish()


@public("maximize")
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
