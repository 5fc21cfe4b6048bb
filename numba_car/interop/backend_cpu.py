"""The solver for a framework's arrays, once they are NumPy arrays of one rank in host memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numba_car._cpu import derivatives, direct, solve
from numba_car._derivatives import sum_to
from numba_car._layout import Array, Rows
from numba_car._problem import (
    PRECISIONS,
    Options,
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


# The dtypes that small calls of that precision are computed in, the dtypes of NumPy being singletons.
_PLAIN = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}


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
    x, delta, eps, lower, upper = arrays
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    if np.broadcast_shapes(x.shape, delta.shape) != shape:
        delta = np.broadcast_to(delta, shape)  # a batch, vmapped over others than x and delta
    return problem(x, delta, eps, task.p, (lower, upper), task.axes, task.limits())


def compute_directly(
    name: str, x: Array, delta: Array, numbers: list[float], task: Task, out: Array | None = None
) -> tuple[Array, ...] | None:
    """Take the short way of a small call with nothing special about it, if this is one.

    The numbers are eps and the bounds.
    """
    if x.dtype is not _PLAIN.get(task.precision) or task[4:] != ("saturate", "auto", None):
        return None
    if name not in ("eta", "rescale") or task.axes != tuple(range(1 - x.ndim, 0)):
        return None
    eps, lower, upper = numbers
    kept = x.shape[:1] + (1,) * (x.ndim - 1)
    if name == "eta":
        eta = direct.eta(x, delta, eps, task.p, (lower, upper))
        return None if eta is None else (eta.reshape(kept),)
    found = direct.rescale(x, delta, eps, task.p, (lower, upper), out)
    return None if found is None else (found[0].reshape(kept), found[1])


def compute(name: str, arrays: Arrays, task: Task, out: Array | None = None) -> tuple[Array, ...]:
    """Find what OUTPUTS says; `out` is memory for its namesake."""
    x, delta, *others = arrays
    if all(array.size == 1 for array in others):
        numbers = [array.item() for array in others]
        if (plain := compute_directly(name, x, delta, numbers, task, out)) is not None:
            return plain
    options = Options(task.infeasible, task.method, task.num_threads)
    rows = _problem(arrays, task)
    kept = batch_of(rows.shape, rows.axes, keepdims=True)
    found: tuple[Array, ...]
    if name == "rescale":
        out = np.empty(rows.shape, rows.dtype) if out is None else out
        eta = solve.rescale(rows, options, Rows(out, rows.axes, rows.dtype), in_one_go=True)
        return eta.reshape(kept), out
    if name == "solve":
        found = solve.solve(rows, options)
    elif name == "max_norm":
        found = (solve.max_norm(rows, options),)
    else:
        found = (solve.eta(rows, options),)
    return tuple(values.reshape(kept) for values in found)


def differentiate(
    arrays: Arrays, eta: Array, grad_eta: Array, grad_out: Array | None, wanted: Arrays, task: Task
) -> Arrays:
    """Pull gradients back to the arrays that are wanted (the others get whatever there is)."""
    rows = _problem(arrays, task)
    g = 0.0 if grad_out is None else by_element("grad_out", grad_out, rows)
    h = by_row("grad_eta", grad_eta, rows.shape, rows.axes)
    options = Options(num_threads=task.num_threads)
    known = np.broadcast_to(eta, batch_of(rows.shape, rows.axes, keepdims=True)).reshape(-1)
    of_x, of_delta, of_eps, of_lower, of_upper = derivatives.vjp(
        rows, options, g, h, eta=known, wanted=(wanted.x, wanted.delta)
    )
    kept = of_eps.reshape(batch_of(rows.shape, rows.axes, keepdims=True))
    found = of_x, of_delta, sum_to(kept, arrays.eps.shape), of_lower, of_upper
    return Arrays(
        *(
            np.asarray(gradient, array.dtype).reshape(array.shape)
            for gradient, array in zip(found, arrays, strict=True)
        )
    )
