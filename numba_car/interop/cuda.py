"""Arrays in device memory with a ``__cuda_array_interface__``, on the caller's stream, or with DLPack."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from numba_car import _api
from numba_car._cuda import copies, derivatives, device_memory, solver
from numba_car._cuda.device_memory import is_on_device
from numba_car._cuda.problem import DeviceProblem, as_rows, problem
from numba_car._cuda.results import ByElement, by_row
from numba_car._options import Gradients, Options, Solution, check_options, pair
from numba_car._problem import as_numeric, batch_of, kept_shape


def _prepare(x: Any, delta: Any, eps: Any, call: Options) -> tuple[DeviceProblem, Options]:
    check_options(call)
    return problem(x, delta, eps, call.p, call.bounds, call.axis), call


def _let_the_cpu_word_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where values ask for an error, have the CPU's solver find them again and say which."""

    @wraps(function)
    def guarded(x: Any, delta: Any, eps: Any, call: Options, *more: Any) -> Any:
        with device_memory.device_of(x):
            lower, upper = pair(call.bounds)
            try:
                found = function(x, delta, eps, call, *more)
                if any(map(device_memory.is_imported, (x, delta, eps, lower, upper, *more))):
                    device_memory.wait()  # its library may use the memory again, on a stream of its own
                return found
            except solver.BadRowError:
                on_host = call._replace(bounds=(copies.on_host(lower), copies.on_host(upper)))
                _api.eta(*map(copies.on_host, (x, delta, eps)), **on_host._asdict())
                raise ValueError("x, eps or bounds broke a rule in some row") from None

    return guarded


def _by_row(task: DeviceProblem, values: Any, keepdims: bool) -> Any:
    """Return one number a row, as the caller's kind of array."""
    dtype = task.dtype if values.dtype == np.float64 else values.dtype
    return by_row(task, values, batch_of(task.shape, task.axes, keepdims=keepdims), dtype)


def _rows_of(task: DeviceProblem, out: Any) -> tuple[Any, ...]:
    return as_rows(
        "out", device_memory.view_of(out), task.shape, task.axes, task.dtype, task.stream
    )


@_let_the_cpu_word_errors
def eta(x: Any, delta: Any, eps: Any, call: Options) -> Any:
    """`numba_car.eta` in device memory."""
    task, options = _prepare(x, delta, eps, call)
    return _by_row(task, solver.solve(task, options).eta, call.keepdims)


@_let_the_cpu_word_errors
def rescale(x: Any, delta: Any, eps: Any, call: Options, out: Any = None) -> Any:
    """`numba_car.rescale` in device memory."""
    task, options = _prepare(x, delta, eps, call)
    if out is None:
        result = ByElement(task, task.shape)
        solver.rescale(task, solver.solve(task, options), result.rows)
        return result.finish()
    view = device_memory.view_of(out)
    if (view.shape, view.dtype) != (task.shape, task.dtype):
        raise ValueError(
            f"out must have the shape {task.shape} and dtype {task.dtype} of the result, "
            f"found {view.shape} and {view.dtype}"
        )
    rows = _rows_of(task, out)
    if rows[0].size and device_memory.pointer_of(rows[0]) != view.pointer:
        raise ValueError(
            "out must hold each row without gaps; leave it out, or copy from the result"
        )
    solver.rescale(task, solver.solve(task, options), rows)
    return out


@_let_the_cpu_word_errors
def solve(x: Any, delta: Any, eps: Any, call: Options) -> Solution:
    """`numba_car.solve` in device memory."""
    task, options = _prepare(x, delta, eps, call)
    found = solver.solution(task, options)
    return Solution(*(_by_row(task, values, call.keepdims) for values in found))


def max_norm(x: Any, delta: Any, call: Options) -> Any:
    """`numba_car.max_norm` in device memory."""
    return _max_norm(x, delta, 0.0, call)


@_let_the_cpu_word_errors
def _max_norm(x: Any, delta: Any, eps: Any, call: Options) -> Any:
    task, options = _prepare(x, delta, eps, call)
    solved = solver.solve(task, options, for_eps=False)
    return _by_row(task, solver.max_norms(task, solved), call.keepdims)


def eta_vjp(x: Any, delta: Any, eps: Any, grad_eta: Any, call: Options) -> Gradients:
    """`numba_car.eta_vjp` in device memory."""
    found: Gradients = _vjp(x, delta, eps, call, 0.0, grad_eta)
    return found


def rescale_vjp(x: Any, delta: Any, eps: Any, grad_out: Any, call: Options) -> Gradients:
    """`numba_car.rescale_vjp` in device memory."""
    found: Gradients = _vjp(x, delta, eps, call, grad_out, 0.0)
    return found


def _like_elements(name: str, value: Any, task: DeviceProblem) -> tuple[Any, ...]:
    """Return an array that broadcasts to x as rows, or a number."""
    if not is_on_device(value):
        return (float(as_numeric(name, value).reshape(())),)
    view, double = device_memory.view_of(value), np.dtype(np.float64)
    return as_rows(name, view, task.shape, task.axes, double, task.stream)


def _like_eps(name: str, value: Any, task: DeviceProblem) -> tuple[Any, ...]:
    """Return an array that broadcasts to the rows, or a number."""
    if not is_on_device(value):
        return (float(as_numeric(name, value).reshape(())),)
    view, shape = device_memory.view_of(value), batch_of(task.shape, task.axes, keepdims=True)
    view = device_memory.reshaped(view, kept_shape(name, view.shape, task.shape, task.axes))
    return as_rows(name, view, shape, task.axes, np.dtype(np.float64), task.stream)


def _shape_of(value: Any) -> tuple[int, ...]:
    return device_memory.view_of(value).shape if is_on_device(value) else ()


@_let_the_cpu_word_errors
def _vjp(x: Any, delta: Any, eps: Any, call: Options, grad_out: Any, grad_eta: Any) -> Gradients:
    task, options = _prepare(x, delta, eps, call)
    upstream = (
        _like_elements("grad_out", grad_out, task),
        _like_eps("grad_eta", grad_eta, task),
    )
    bounds = pair(call.bounds)
    shapes = [_shape_of(bound) for bound in bounds]
    results = [
        *(ByElement(task, _shape_of(value)) for value in (x, delta)),
        # The kernel sums up what one number gets.
        *(None if math.prod(shape) == 1 else ByElement(task, shape) for shape in shapes),
    ]
    targets = tuple((0.0,) if result is None else result.rows for result in results)
    sums = derivatives.vjp(task, solver.solve(task, options), upstream, targets)
    of_x, of_delta, *found = (None if result is None else result.finish() for result in results)
    of_bounds = (
        None if bound is None else by_row(task, values, shape, task.dtype) if of is None else of
        for bound, shape, values, of in zip(bounds, shapes, sums[1:], found, strict=True)
    )
    return Gradients(of_x, of_delta, by_row(task, sums[0], _shape_of(eps), task.dtype), *of_bounds)


def eta_jvp(x: Any, delta: Any, eps: Any, tangents: tuple[Any, ...], call: Options) -> Any:
    """`numba_car.eta_jvp` in device memory."""
    return _jvp(x, delta, eps, call, tangents)[0]


def rescale_jvp(x: Any, delta: Any, eps: Any, tangents: tuple[Any, ...], call: Options) -> Any:
    """`numba_car.rescale_jvp` in device memory."""
    return _jvp(x, delta, eps, call, tangents)[1]


@_let_the_cpu_word_errors
def _jvp(x: Any, delta: Any, eps: Any, call: Options, tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    task, options = _prepare(x, delta, eps, call)
    of_x, of_delta, of_eps = (0.0 if tangent is None else tangent for tangent in tangents)
    given = (
        _like_elements("tangent_x", of_x, task),
        _like_elements("tangent_delta", of_delta, task),
        _like_eps("tangent_eps", of_eps, task),
    )
    moved = ByElement(task, task.shape)
    of_eta = derivatives.jvp(task, solver.solve(task, options), given, moved.rows)
    return _by_row(task, of_eta, call.keepdims), moved.finish()
