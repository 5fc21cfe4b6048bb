"""What all calls for arrays in device memory have in common: the device, the streams, errors, and values by row."""

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
from numba_car._cuda import copies, device_memory, solver, streams
from numba_car._cuda.device_memory import is_on_device
from numba_car._cuda.problem import DeviceProblem, problem
from numba_car._cuda.results import by_row
from numba_car._layout import DType
from numba_car._options import Options, pair
from numba_car._problem import batch_of
from numba_car.interop.backend_cpu import Task
from numba_car.interop.closed_form import Arrays

DOUBLE = np.dtype(np.float64)


@contextlib.contextmanager
def on_device_of(x: Any, solve_on_host: Callable[[], Any]) -> Iterator[None]:
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


def warn_of(task: DeviceProblem) -> None:
    """Warn of the rows of a problem that cannot reach eps."""
    warn(task.unreachable, batch_of(task.shape, task.axes, keepdims=False))


def public(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that makes the public function (x, delta, eps, options, ...) of a function (problem, ...).

    It solves on the device of x, and raises the errors of the CPU's solver under that name.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def on_device(x: Any, delta: Any, eps: Any, options: Options, *more: Any) -> Any:
            lower, upper = pair(options.bounds)
            streams.refuse_capture(x)
            others = list(filter(is_on_device, (delta, eps, lower, upper, *more)))

            def solve_on_host() -> None:
                arrays = Arrays(*map(copies.on_host, (x, delta, eps, lower, upper)))
                getattr(_numpy, name)(*arrays[:3], options._replace(bounds=arrays[3:]))

            with on_device_of(x, solve_on_host), streams.in_order(x, others):
                task = problem(x, delta, eps, options, name)
                found = function(task, *more)
                if any(map(device_memory.is_imported, (x, *others))):
                    device_memory.wait()  # the library may reuse it, on a stream that DLPack hides
                warn_of(task)
                return found

        return on_device

    return decorate


def values_by_row(task: DeviceProblem, values: Any, dtype: DType | None = None) -> Any:
    """Return one number a row as an array of the library of x; of its dtype, but for booleans."""
    dtype = dtype or (task.dtype if values.dtype == np.float64 else values.dtype)
    shape = batch_of(task.shape, task.axes, keepdims=task.options.keepdims)
    return by_row(task, values, shape, dtype)


def problem_of(arrays: Arrays, task: Task, name: str = "eta") -> DeviceProblem:
    """Return the problem of a framework's arrays, for the function of that name."""
    x, delta, eps, lower, upper = arrays
    shape = np.broadcast_shapes(*map(shape_of, arrays))
    if np.broadcast_shapes(shape_of(x), shape_of(delta)) != shape:
        delta = device_memory.broadcast(delta, shape)  # vmapped over other arrays than x and delta
    how = task.infeasible, task.method, task.num_threads, task.side
    rows = problem(x, delta, eps, Options(task.p, (lower, upper), task.axes, True, *how), name)
    limits = task.limits()
    slack = SLACK * limits.rounding
    return replace(rows, largest=limits.largest, slack=slack, stored=task.precision)


def shape_of(value: Any) -> tuple[int, ...]:
    """Return the shape of an array in device memory, () of a number."""
    return device_memory.view_of(value).shape if is_on_device(value) else ()
