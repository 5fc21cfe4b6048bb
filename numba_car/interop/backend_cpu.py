"""The solver for a framework's arrays, once they are NumPy arrays of one rank in host memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numba_car._cpu import derivatives, solve
from numba_car._layout import Array, Rows
from numba_car._numpy import sum_to
from numba_car._options import Options
from numba_car._problem import (
    PRECISIONS,
    Precision,
    Problem,
    batch_of,
    by_element,
    by_row,
    problem,
)
from numba_car.interop.closed_form import Arrays

# What each function finds, rows with their axes kept: floats of the dtype of x but for two.
OUTPUTS = {
    "eta": ("eta",),
    "rescale": ("eta", "out"),
    "solve": ("eta", "norm", "max_norm", "saturated"),
    "max_norm": ("max_norm",),
}


class Task(NamedTuple):
    """What to do, in values that a compiled graph may hold; axes count from the last."""

    p: float
    axes: tuple[int, ...]
    precision: str  # of the result
    of_x: str  # precision that x came in
    infeasible: str = "saturate"
    method: str = "auto"
    num_threads: int | None = None

    def limits(self) -> Precision:
        """How far results may be off, and how large they may be."""
        rounding = max(PRECISIONS[name].rounding for name in (self.precision, self.of_x))
        return Precision(rounding, PRECISIONS[self.precision].largest)


def _problem(arrays: Arrays, task: Task) -> Problem:
    x, delta, *others = arrays
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    if np.broadcast_shapes(x.shape, delta.shape) != shape:
        delta = np.broadcast_to(delta, shape)  # a batch, vmapped over others than x and delta
    # Numbers, and no axes where the default means the same: then the call may be a plain one.
    eps, lower, upper = (array.item() if array.size == 1 else array for array in others)
    axis = None if task.axes == tuple(range(1 - len(shape), 0)) and len(shape) > 1 else task.axes
    how = task.infeasible, task.method, task.num_threads
    precision = None if task.precision == task.of_x == x.dtype.name else task.limits()
    return problem(x, delta, eps, Options(task.p, (lower, upper), axis, True, *how), precision)


def compute(name: str, arrays: Arrays, task: Task, out: Array | None = None) -> tuple[Array, ...]:
    """Return what OUTPUTS says; `out` is memory for the output of that name."""
    rows = _problem(arrays, task)
    kept = batch_of(rows.shape, rows.axes, keepdims=True)
    found: tuple[Array, ...]
    if name == "rescale":
        out = np.empty(rows.shape, rows.dtype) if out is None else out
        eta = solve.rescale(rows, Rows(out, rows.axes, rows.x.dtype), at_once=True)
        return eta.reshape(kept), out
    if name == "solve":
        found = solve.solve(rows)
    elif name == "max_norm":
        found = (solve.max_norm(rows),)
    else:
        found = (solve.eta(rows),)
    return tuple(values.reshape(kept) for values in found)


def differentiate(
    arrays: Arrays, eta: Array, grad_eta: Array, grad_out: Array | None, wanted: Arrays, task: Task
) -> Arrays:
    """Pull gradients back to the arrays that are wanted (the others get whatever there is)."""
    rows = _problem(arrays, task)
    g = 0.0 if grad_out is None else by_element("grad_out", grad_out, rows)
    h = by_row("grad_eta", grad_eta, rows.shape, rows.axes)
    known = np.broadcast_to(eta, batch_of(rows.shape, rows.axes, keepdims=True)).reshape(-1)
    of_x, of_delta, of_eps, of_lower, of_upper = derivatives.vjp(
        rows, g, h, eta=known, wanted=(wanted.x, wanted.delta)
    )
    kept = of_eps.reshape(batch_of(rows.shape, rows.axes, keepdims=True))
    found = of_x, of_delta, sum_to(kept, arrays.eps.shape), of_lower, of_upper
    return Arrays(
        *(
            np.asarray(gradient, array.dtype).reshape(array.shape)
            for gradient, array in zip(found, arrays, strict=True)
        )
    )
