"""From a framework's arguments to arrays of one dtype and one rank: every framework's first step."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

from numba_car._options import Options, check_options, check_p, pair
from numba_car._problem import PRECISIONS, batch_of, broadcasts, common_shape, kept_shape
from numba_car.interop.backend_cpu import Task
from numba_car.interop.closed_form import Arrays, Setting


class Library(Protocol):
    """What the modules here ask of a framework."""

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
        """Choose by element between two, one of which may be a number."""

    def sum(self, array: Any, axes: tuple[int, ...]) -> Any:
        """Sum over axes, which stay with length 1."""

    def max(self, array: Any, axes: tuple[int, ...]) -> Any:
        """Return the largest along axes, which stay with length 1; there may be no elements."""

    def min(self, array: Any, axes: tuple[int, ...]) -> Any:
        """Return the smallest along axes, which stay with length 1; there may be no elements."""

    def stop(self, array: Any) -> Any:
        """Hide a value from differentiation."""


class Arguments(NamedTuple):
    """A checked call: what to compute on, and what a result must become."""

    arrays: Arrays
    setting: Setting
    task: Task
    dtype: Any
    batch_shape: tuple[int, ...]

    def restore(self, lib: Library, name: str, values: Any) -> Any:
        """Give an output of `host.compute` the shape and dtype that the caller expects."""
        if name == "saturated":
            return lib.reshape(values, self.batch_shape)
        values = lib.cast(values, self.dtype)
        return values if name == "out" else lib.reshape(values, self.batch_shape)


def one_device(kind: str, devices: set[Any]) -> Any:
    """Return the device that all arrays are on, or raise TypeError."""
    if len(devices) > 1:
        raise TypeError(f"{kind} must be on one device, found {sorted(map(str, devices))}")
    (device,) = devices
    return device


def _shape(array: Any) -> tuple[int, ...]:
    return tuple(array.shape)


def prepare(lib: Library, x: Any, delta: Any, eps: Any, call: Options) -> Arguments:
    """Check all that can be told without looking at values."""
    num_threads = check_options(call)
    p = check_p(call.p)
    lower, upper = pair(call.bounds)
    x, delta, eps = lib.array("x", x), lib.array("delta", delta), lib.array("eps", eps)
    lower = lib.array("the lower of bounds", -math.inf if lower is None else lower)
    upper = lib.array("the upper of bounds", math.inf if upper is None else upper)
    dtype, precision = lib.result_type(x, delta)
    _, of_x = lib.result_type(x, x)
    if precision not in PRECISIONS:
        allowed = ", ".join(PRECISIONS)
        raise TypeError(f"x and delta must promote to one of {allowed}, found {precision}")
    shape, axes = common_shape(_shape(x), _shape(delta), call.axis)
    compute = lib.compute_type(dtype)

    def by_element(name: str, array: Any) -> Any:
        found = _shape(array)
        if not broadcasts(found, shape):
            raise ValueError(f"{name} of shape {found} do not broadcast to x, of shape {shape}")
        sizes = (1,) * (len(shape) - len(found)) + found
        return lib.cast(lib.cast(lib.reshape(array, sizes), dtype), compute)

    arrays = Arrays(
        by_element("x", x),
        by_element("delta", delta),
        lib.cast(lib.reshape(eps, kept_shape("eps", _shape(eps), shape, axes)), lib.eps_dtype),
        by_element("bounds", lower),
        by_element("bounds", upper),
    )
    from_last = tuple(axis - len(shape) for axis in axes)
    task = Task(p, from_last, precision, of_x, call.infeasible, call.method, num_threads)
    batch_shape = batch_of(shape, axes, keepdims=call.keepdims)
    return Arguments(arrays, Setting(shape, axes, p), task, dtype, batch_shape)
