"""The CPU solver that `torch`, `tensorflow` and `jax` call, for NumPy arrays of one rank checked by `protocol`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numba_car._core.constants import SLACK
from numba_car._cpu import derivatives, solve, steps
from numba_car._layout import Array, Rows, flat
from numba_car._options import WITH_OUT, Options, names_of
from numba_car._problem import (
    PRECISIONS,
    Precision,
    Problem,
    by_element,
    by_row,
    check_bounds,
    check_eps,
    check_eta,
    plain_problem,
    precision_of,
)
from numba_car._results import sum_to
from numba_car.interop.closed_form import Arrays, Setting

# The outputs of each function: its result is the last one, but for `solve`, whose result is all of them. Functions
# take x, delta and eps: `norm` has eta in the place of eps, `project` z and `maximize` g in the place of delta.
OUTPUTS = {
    "eta": ("eta",),
    "rescale": ("eta", "out"),
    "solve": ("eta", "norm", "max_norm", "saturated"),
    "max_norm": ("max_norm",),
    "norm": ("norm",),
    "project": ("eta", "out"),
    "maximize": ("eta", "out"),
}


class Task(NamedTuple):
    """The options of a call, checked, in values that a compiled graph may hold; axes count from the last."""

    p: float
    axes: tuple[int, ...]
    precision: str  # name of the dtype of the result
    of_x: str  # name of the dtype of the caller's x
    infeasible: str = "saturate"
    method: str = "auto"
    num_threads: int | None = None
    side: str = "nearest"

    def limits(self) -> Precision:
        """Return the rounding error of the less precise of x and the result, and the largest result."""
        rounding = max(PRECISIONS[name].rounding for name in (self.precision, self.of_x))
        return Precision(rounding, PRECISIONS[self.precision].largest)

    def is_plain(self, x: Array) -> bool:
        """Return whether a row is all axes but the first, and nothing was rounded to the dtype of x."""
        is_rounded = precision_of(x.dtype) != self.limits()
        return self.axes == tuple(range(1 - x.ndim, 0)) and not is_rounded

    def setting(self, shape: tuple[int, ...]) -> Setting:
        """Return shape, axes counted from the first, and p, for arrays that broadcast to that shape."""
        return Setting(shape, tuple(len(shape) + axis for axis in self.axes), self.p)


def _problem(
    arrays: Arrays, task: Task, *, is_checked: bool = False, function: str = "eta"
) -> Problem:
    """Return the `Problem` of arrays; checks the values of eps and of the bounds unless `is_checked`."""
    x, delta, *others = arrays
    if all(array.size == 1 for array in others) and task.is_plain(x):
        eps, lower, upper = (array.item() for array in others)
        options = Options(task.p, (lower, upper), None, True, *task[4:])
        if plain := plain_problem(x, delta, eps, options):
            return plain
    shape, axes, p = task.setting(np.broadcast(*arrays).shape)
    eps, lower, upper = (array.reshape(()) if array.size == 1 else array for array in others)
    if not is_checked:
        (check_eta if function == "norm" else check_eps)(eps)
        check_bounds(lower, upper, x.dtype)

    def rows(array: Array) -> Rows:
        return Rows(array if array.shape == shape else np.broadcast_to(array, shape), axes, x.dtype)

    has_numbers = lower.ndim == upper.ndim == 0
    limits = task.limits()
    return Problem(
        x=rows(x),
        delta=rows(delta),
        lower=lower.item() if has_numbers else rows(lower),
        upper=upper.item() if has_numbers else rows(upper),
        eps=by_row(names_of(function)[1], eps, shape, axes),
        p=p,
        axes=axes,
        shape=shape,
        dtype=x.dtype,
        stored=task.precision,
        largest=limits.largest,
        slack=SLACK * limits.rounding,
        inputs=(x, delta, lower, upper),
        options=Options(p, (lower, upper), axes, True, *task[4:]),
    )


_STORING = {
    "rescale": solve.rescale,
    "project": steps.project,
    "maximize": steps.maximize,
}


def compute(name: str, arrays: Arrays, task: Task, out: Array | None = None) -> tuple[Array, ...]:
    """Return the OUTPUTS of function `name`, with the axes of a row kept; `out` is memory for the output "out".

    All but "solve" give eta as float64; other floats are of the dtype of x.
    """
    rows = _problem(arrays, task, function=name)
    found: tuple[Array, ...]
    if name in WITH_OUT:
        out = np.empty(rows.shape, rows.dtype) if out is None else out
        eta = _STORING[name](rows, Rows(out, rows.axes, rows.x.dtype), at_once=True)
        return eta.reshape(rows.batch_shape_kept), out
    if name == "solve":
        found = solve.solve(rows)
    elif name == "max_norm":
        found = (solve.max_norm(rows),)
    elif name == "norm":
        found = (solve.norm(rows, rows.take_eps()),)
    else:
        found = (solve.eta(rows),)
    return tuple(values.reshape(rows.batch_shape_kept) for values in found)


def _by_row(values: Array, kept: tuple[int, ...]) -> Array:
    """Return one float64 per row, flat, of values that broadcast to that shape, which keeps the axes of a row."""
    if values.shape != kept:
        values = np.broadcast_to(values, kept)
    return flat(np.ascontiguousarray(values, np.float64))


def differentiate(
    arrays: Arrays, eta: Array, grad_eta: Array, grad_out: Array | None, wanted: Arrays, task: Task
) -> Arrays:
    """Return the gradients of `arrays`, given eta; those of x and delta hold anything unless they are `wanted`."""
    rows = _problem(arrays, task, is_checked=True)
    kept = rows.batch_shape_kept
    g = 0.0 if grad_out is None else by_element("grad_out", grad_out, rows)
    known, h = _by_row(eta, kept), _by_row(grad_eta, kept)
    of_x, of_delta, of_eps, of_lower, of_upper = derivatives.vjp(
        rows, g, h, eta=known, wanted=(wanted.x, wanted.delta)
    )
    found = of_x, of_delta, sum_to(of_eps.reshape(kept), arrays.eps.shape), of_lower, of_upper
    return Arrays(
        *(
            np.empty(array.shape, array.dtype)
            if gradient is None
            else np.asarray(gradient, array.dtype).reshape(array.shape)
            for gradient, array in zip(found, arrays, strict=True)
        )
    )
