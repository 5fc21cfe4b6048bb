"""The solver for a framework's arrays of one rank in device memory: what `host` is for the host's.

The arrays may be of any kind that `_cuda.memory` knows; results are of the kind of x, on its device, in
the order of its library's stream.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from numba_car._core.constants import SLACK
from numba_car._cuda import copies, derivatives, device_memory, solver
from numba_car._cuda.problem import DeviceProblem, as_rows, problem
from numba_car._cuda.results import ByElement, by_row
from numba_car._layout import DType
from numba_car._options import Options
from numba_car._problem import batch_of
from numba_car.interop import backend_cpu
from numba_car.interop.backend_cpu import Task
from numba_car.interop.closed_form import Arrays

_NUMBER = (0.0,)  # a target that stores nothing, or an upstream gradient of 0; see `_cuda.views`


def _shape_of(array: Any) -> tuple[int, ...]:
    return device_memory.view_of(array).shape


def _problem(arrays: Arrays, task: Task) -> DeviceProblem:
    x, delta, eps, lower, upper = arrays
    shape = np.broadcast_shapes(*map(_shape_of, arrays))
    if np.broadcast_shapes(_shape_of(x), _shape_of(delta)) != shape:
        delta = device_memory.broadcast(
            delta, shape
        )  # a batch, vmapped over others than x and delta
    rows = problem(x, delta, eps, task.p, (lower, upper), task.axes)
    limits = task.limits()
    return replace(rows, largest=limits.largest, slack=SLACK * limits.rounding)


def _by_row(rows: DeviceProblem, values: Any, dtype: DType) -> Any:
    return by_row(rows, values, batch_of(rows.shape, rows.axes, keepdims=True), dtype)


def _find(name: str, rows: DeviceProblem, options: Options) -> tuple[Any, ...]:
    if name == "solve":
        found = solver.solution(rows, options)
        dtypes = 3 * [rows.dtype] + [np.dtype(np.bool_)]
        return tuple(_by_row(rows, *both) for both in zip(found, dtypes, strict=True))
    if name == "max_norm":
        solved = solver.solve(rows, options, for_eps=False)
        return (_by_row(rows, solver.max_norms(rows, solved), rows.dtype),)
    solved = solver.solve(rows, options)
    eta = _by_row(rows, solved.eta, np.dtype(np.float64))
    if name == "eta":
        return (eta,)
    moved = ByElement(rows, rows.shape)
    solver.rescale(rows, solved, moved.rows)
    return eta, moved.finish()


def compute(name: str, arrays: Arrays, task: Task) -> tuple[Any, ...]:
    """Find what `backend_cpu.OUTPUTS` says."""
    with device_memory.device_of(arrays.x):
        try:
            return _find(
                name,
                _problem(arrays, task),
                Options(infeasible=task.infeasible, method=task.method),
            )
        except solver.BadRowError:  # the CPU's solver finds them again, and words the error
            backend_cpu.compute(name, Arrays(*map(copies.on_host, arrays)), task)
            raise ValueError("x, eps or bounds broke a rule in some row") from None


def differentiate(
    arrays: Arrays, eta: Any, grad_eta: Any, grad_out: Any, wanted: Arrays, task: Task
) -> Arrays:
    """Pull gradients back to the arrays that are wanted; the others get None."""
    with device_memory.device_of(arrays.x):
        rows, double = _problem(arrays, task), np.dtype(np.float64)

        def as_given(name: str, value: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
            return as_rows(
                name, device_memory.view_of(value), shape, rows.axes, double, rows.stream
            )

        def result(array: Any, is_wanted: bool, *, by_element: bool = True) -> ByElement | None:
            return ByElement(rows, _shape_of(array)) if is_wanted and by_element else None

        upstream = (
            _NUMBER if grad_out is None else as_given("grad_out", grad_out, rows.shape),
            as_given("grad_eta", grad_eta, batch_of(rows.shape, rows.axes, keepdims=True)),
        )
        bounds = zip(arrays[3:], wanted[3:], strict=True)
        results = [
            result(arrays.x, wanted.x),
            result(arrays.delta, wanted.delta),
            # The kernel sums up what one number gets.
            *(result(b, want, by_element=math.prod(_shape_of(b)) > 1) for b, want in bounds),
        ]
        known = copies.packed(device_memory.view_of(eta), double, rows.stream)
        targets = tuple(_NUMBER if result is None else result.rows for result in results)
        sums = derivatives.vjp(rows, solver.Solved(known, None), upstream, targets)
        x, delta, *found = (None if result is None else result.finish() for result in results)
        lower, upper = (
            of if of is not None or not want else by_row(rows, values, _shape_of(b), rows.dtype)
            for of, want, values, b in zip(found, wanted[3:], sums[1:], arrays[3:], strict=True)
        )
        of_eps = by_row(rows, sums[0], _shape_of(arrays.eps), double) if wanted.eps else None
        return Arrays(x, delta, of_eps, lower, upper)
