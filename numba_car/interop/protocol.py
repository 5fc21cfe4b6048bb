"""From a framework's arguments to checked arrays of one dtype and one rank, and from outputs to its results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from numba_car._options import WITH_OUT, Options, Solution, check_options, check_p, names_of
from numba_car._problem import (
    PRECISIONS,
    batch_of,
    broadcasts,
    common_shape,
    format_bounds_error,
    kept_shape,
    swept_shape,
)
from numba_car.interop.backend_cpu import OUTPUTS, Task
from numba_car.interop.closed_form import Arrays, Setting


class Library(Protocol):
    """The operations that `prepare` and the closed forms need of a framework."""

    eps_dtype: Any  # the most precise that it has

    def array(self, name: str, value: Any) -> Any:
        """Return value as an array of real numbers, or raise TypeError."""

    def result_type(self, x: Any, delta: Any) -> tuple[Any, str]:
        """Return the dtype that the framework promotes floats of x and delta to, and its name."""

    def compute_type(self, dtype: Any) -> Any:
        """Return the dtype to compute in: float32 for a shorter one."""

    def cast(self, array: Any, dtype: Any) -> Any:
        """Return array as that dtype, differentiably."""

    def reshape(self, array: Any, shape: tuple[int, ...]) -> Any:
        """Return array in that shape."""

    def arange(self, n: int, like: Any) -> Any:
        """Return the integers below n, on the device of `like`."""

    def where(self, condition: Any, chosen: Any, other: Any) -> Any:
        """Return, by element, one of two values, one of which may be a number."""

    def sum(self, array: Any, axes: tuple[int, ...]) -> Any:
        """Return the sums over axes, which stay with length 1."""

    def max(self, array: Any, axes: tuple[int, ...]) -> Any:
        """Return the largest along axes, which stay with length 1; there may be no elements."""

    def min(self, array: Any, axes: tuple[int, ...]) -> Any:
        """Return the smallest along axes, which stay with length 1; there may be no elements."""

    def stop(self, array: Any) -> Any:
        """Return array as a constant for differentiation."""


class Arguments(NamedTuple):
    """A checked call: arrays, options, and the dtype and shape of its results."""

    arrays: Arrays
    setting: Setting
    task: Task
    dtype: Any
    batch_shape: tuple[int, ...]
    sweep: int  # how many leading axes only eps has

    def restore(self, lib: Library, name: str, found: Sequence[Any]) -> Any:
        """Return the result of the function of that name, given its OUTPUTS, or the last of them."""
        if name in WITH_OUT:
            return lib.cast(found[-1], self.dtype)
        by_row = [
            values if output == "saturated" else lib.cast(values, self.dtype)
            for output, values in zip(OUTPUTS[name], found, strict=True)
        ]
        by_row = [lib.reshape(values, self.batch_shape) for values in by_row]
        return Solution(*by_row) if name == "solve" else by_row[0]


def one_device(kind: str, devices: set[Any]) -> Any:
    """Return the device that all arrays are on, or raise TypeError."""
    if len(devices) > 1:
        raise TypeError(f"{kind} must be on one device, found {sorted(map(str, devices))}")
    (device,) = devices
    return device


def _shape(array: Any) -> tuple[int, ...]:
    """Return the shape as a tuple, which it is not in every framework."""
    return tuple(array.shape)


def prepare(
    lib: Library, x: Any, delta: Any, eps: Any, options: Options, function: str
) -> Arguments:
    """Return a call in which all is checked but values, which a traced array does not have.

    Errors call the arguments what the function of that name does.
    """
    of_delta, of_eps = names_of(function)
    num_threads, p = check_options(options), check_p(options.p)
    lower, upper = options.bounds
    x, delta, eps = lib.array("x", x), lib.array(of_delta, delta), lib.array(of_eps, eps)
    lower = lib.array("the lower of bounds", -math.inf if lower is None else lower)
    upper = lib.array("the upper of bounds", math.inf if upper is None else upper)
    dtype, precision = lib.result_type(x, delta)
    _, of_x = lib.result_type(x, x)
    if precision not in PRECISIONS:
        allowed = ", ".join(PRECISIONS)
        raise TypeError(f"x and {of_delta} must promote to one of {allowed}, found {precision}")
    own_shape, axes = common_shape(_shape(x), _shape(delta), options.axis, of_delta)
    shape, axes = swept_shape(_shape(eps), own_shape, axes)
    compute = lib.compute_type(dtype)

    for found in (_shape(lower), _shape(upper)):
        if not broadcasts(found, shape):
            raise ValueError(format_bounds_error(found, shape))

    def by_element(array: Any) -> Any:
        """Return an array in the full rank, rounded to the result's dtype, in the dtype to compute in."""
        sizes = (1,) * (len(shape) - len(_shape(array))) + _shape(array)
        return lib.cast(lib.cast(lib.reshape(array, sizes), dtype), compute)

    by_row = lib.cast(lib.reshape(eps, kept_shape(of_eps, _shape(eps), shape, axes)), lib.eps_dtype)
    x, delta, lower, upper = (by_element(array) for array in (x, delta, lower, upper))
    from_last = tuple(axis - len(shape) for axis in axes)
    how = options.infeasible, options.method, num_threads, options.side
    task = Task(p, from_last, precision, of_x, *how)
    batch_shape = batch_of(shape, axes, keepdims=options.keepdims)
    arrays = Arrays(x, delta, by_row, lower, upper)
    sweep = len(shape) - len(own_shape)
    return Arguments(arrays, Setting(shape, axes, p), task, dtype, batch_shape, sweep)
