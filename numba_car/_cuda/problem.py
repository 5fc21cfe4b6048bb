"""A caller's device arrays as what kernels take, after checks of shapes, dtypes and numbers."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numba_car._core.bfloat16 import narrow, widen
from numba_car._core.constants import SLACK
from numba_car._core.norms import norm_of
from numba_car._cuda.copies import packed
from numba_car._cuda.device_memory import (
    BFLOAT16,
    View,
    flat,
    is_on_device,
    reshaped,
    view_of,
)
from numba_car._cuda.device_memory import batch_of as as_batch
from numba_car._cuda.streams import stream_of
from numba_car._jit import interpreted
from numba_car._layout import Array, DType
from numba_car._options import Options, check_options, check_p, names_of, pair
from numba_car._problem import (
    PRECISIONS,
    Precision,
    as_numeric,
    batch_of,
    check_eps,
    check_eta,
    check_order,
    common_shape,
    kept_shape,
    precision_of,
    result_dtype,
    rounded,
    swept_shape,
)


@dataclass(slots=True)
class DeviceProblem:
    """A batch of problems: x, delta, lower, upper and eps are batches as of `_cuda.row`."""

    x: tuple[Any, ...]
    delta: tuple[Any, ...]
    lower: tuple[Any, ...]
    upper: tuple[Any, ...]
    eps: tuple[Any, ...]
    count: int
    n: int
    norm: tuple[float, ...]
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    dtype: DType
    result: DType  # of results by element: an integer one on a grid of integers, else `dtype`
    compute: DType
    largest: float
    slack: float
    stream: Any
    options: Options  # checked
    inputs: tuple[
        Any, ...
    ]  # x, which results are of the kind of; of a caller's call also the others
    stored: str  # name of the dtype that results are rounded to in the end
    unreachable: list[Any] = field(default_factory=list)  # `solver.Unreachable` rows to warn of

    @property
    def rows(self) -> tuple[Any, ...]:
        """The arguments that every kernel takes first."""
        parts = self.x, self.delta, self.lower, self.upper
        return (*parts, np.int64(self.count), np.int64(self.n))


def as_rows(
    name: str, view: View, shape: tuple[int, ...], axes: tuple[int, ...], most: DType, stream: Any
) -> tuple[Any, ...]:
    """Return an array, broadcast to a shape, as a batch: a copy if the layout needs one, or it is wider than `most`."""
    try:
        anywhere = view._replace(pointer=0, owner=None)
        moved, count, n, stride = _layout(anywhere, shape, axes)
    except ValueError:
        raise ValueError(
            f"{name} of shape {view.shape} does not broadcast to x, of shape {shape}"
        ) from None
    itemsize = view.dtype.itemsize
    is_aligned = view.pointer % itemsize == 0
    if math.prod(view.shape) == 1 and shape != view.shape and is_aligned:
        return as_batch(flat(view.pointer, 1, view.dtype, view.owner), view.dtype, 0, 0)
    if 0 in shape:
        return as_batch(flat(0, 0, view.dtype, None), view.dtype, n)
    is_wide = view.dtype.kind == "f" and itemsize > most.itemsize
    if stride is not None and is_aligned and not is_wide:
        size = (count - 1) * stride + n
        return as_batch(flat(view.pointer, size, view.dtype, view.owner), view.dtype, stride)
    dtype = most if is_wide else view.dtype
    batch_ndim = len(shape) - len(axes)
    one_row = not any(
        moved.strides[:batch_ndim]
    )  # such as bounds by channel: one copy serves all rows
    kept = moved[(0,) * batch_ndim] if one_row else moved
    there = view._replace(shape=kept.shape, strides=kept.strides)
    return as_batch(packed(there, dtype, stream), dtype, 0 if one_row else n)


@functools.lru_cache
def _layout(
    view: View, shape: tuple[int, ...], axes: tuple[int, ...]
) -> tuple[Array, int, int, int | None]:
    """Return the broadcast view with a row's axes last, the count and length of rows, and their stride."""
    others = tuple(axis for axis in range(len(shape)) if axis not in axes)
    moved = np.broadcast_to(view.as_numpy(), shape).transpose(others + axes)
    count, n = (math.prod(shape[axis] for axis in of) for of in (others, axes))
    return moved, count, n, _row_stride(moved, count, n)


def _row_stride(moved: Array, count: int, n: int) -> int | None:
    """Return the stride between rows in elements, or None if a row is not contiguous, or they are not even."""
    try:
        outer, inner = moved.reshape((count, n), copy=False).strides
    except ValueError:
        return None
    itemsize = moved.dtype.itemsize
    outer = outer if count > 1 else 0
    if (inner != itemsize and n > 1) or outer < 0 or outer % itemsize:
        return None
    return int(outer // itemsize)


def _promoted(x: DType, delta: DType, name: str) -> DType:
    """Return the dtype that NumPy promotes to, where bfloat16 with another dtype counts as float32."""
    if x == delta == BFLOAT16:
        return BFLOAT16
    known = (np.empty(0, np.float32 if d == BFLOAT16 else d) for d in (x, delta))
    return result_dtype(*((array, array) for array in known), name=name)


def _precision(dtype: DType) -> Precision | None:
    """Return the rounding and range of a float dtype, None for other dtypes."""
    return PRECISIONS["bfloat16"] if dtype == BFLOAT16 else precision_of(dtype)


def _rounded(value: float, dtype: DType) -> float:
    """Return a number rounded to a dtype."""
    if dtype == BFLOAT16:
        bits = interpreted(narrow, {})(np.float32(value))
        return float(interpreted(widen, {})(bits))
    return rounded(value, dtype)


def _numbers(bound: Any, name: str) -> Array:
    """Return a bound in host memory as a NumPy array."""
    return as_numeric(f"the {name} of bounds", bound)


def problem(x: Any, delta: Any, eps: Any, options: Options, function: str = "eta") -> DeviceProblem:
    """Return the problem, with all arguments checked but the values in device memory, which kernels check.

    Errors call the arguments what the function of that name does. For `norm`, eps holds scales.
    """
    of_delta, of_eps = names_of(function)
    options = options._replace(num_threads=check_options(options))
    norm, bounds = norm_of(check_p(options.p)), pair(options.bounds)
    for name, value in (("x", x), (of_delta, delta)):
        if not is_on_device(value):
            raise TypeError(f"{name} must be on the device as well, found {type(value).__name__}")
    given = filter(is_on_device, (x, delta, eps, *bounds))
    # Numba's arrays do not say on which device they are.
    places = {int(a.__dlpack_device__()[1]) for a in given if hasattr(a, "__dlpack_device__")}
    if len(places) > 1:
        raise TypeError(f"arrays must be on one device, found them on {sorted(places)}")
    views = view_of(x), view_of(delta)
    stream = stream_of(x)
    dtype = _promoted(views[0].dtype, views[1].dtype, of_delta)
    compute = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    shape, axes = common_shape(views[0].shape, views[1].shape, options.axis, of_delta)
    shape, axes = swept_shape(_shape_of(of_eps, eps), shape, axes)
    precision = _precision(dtype) or PRECISIONS["float64"]
    of_x = _precision(views[0].dtype) or precision
    count = math.prod(batch_of(shape, axes, keepdims=False))
    has_integers = options.step is not None and views[0].dtype.kind in "iu"
    x_rows, delta_rows = (
        as_rows(name, view, shape, axes, compute, stream)
        for name, view in zip(("x", of_delta), views, strict=True)
    )
    lower, upper = _bounds(bounds, shape, axes, dtype, compute, stream)
    return DeviceProblem(
        x=x_rows,
        delta=delta_rows,
        lower=lower,
        upper=upper,
        eps=_eps(of_eps, eps, shape, axes, stream),
        count=count,
        n=math.prod(shape[axis] for axis in axes),
        norm=norm,
        shape=shape,
        axes=axes,
        dtype=dtype,
        result=views[0].dtype if has_integers else dtype,
        compute=compute,
        largest=precision.largest,
        slack=SLACK * max(precision.rounding, of_x.rounding),
        stream=stream,
        options=options,
        inputs=(x, delta, eps, *bounds),
        stored="bfloat16" if dtype == BFLOAT16 else dtype.name,
    )


def _shape_of(name: str, eps: Any) -> tuple[int, ...]:
    """Return the shape of eps, wherever it is."""
    return view_of(eps).shape if is_on_device(eps) else as_numeric(name, eps).shape


def _eps(
    name: str, eps: Any, shape: tuple[int, ...], axes: tuple[int, ...], stream: Any
) -> tuple[Any, ...]:
    """Return eps, or the scales of `norm`, as a batch of rows of one element."""
    if not is_on_device(eps):
        array = as_numeric(name, eps)
        (check_eta if name == "eta" else check_eps)(array)
        if array.size != 1:
            raise TypeError(f"{name} must be a number or on the device as well, found a sequence")
        return (float(array.reshape(-1)[0]),)
    view = view_of(eps)
    view = reshaped(view, kept_shape(name, view.shape, shape, axes))
    target = batch_of(shape, axes, keepdims=True)
    return as_rows(name, view, target, axes, np.dtype(np.float64), stream)


def _bounds(
    bounds: tuple[Any, Any],
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    dtype: DType,
    compute: DType,
    stream: Any,
) -> tuple[Any, ...]:
    """Return lower and upper, each as a batch; numbers are rounded to the dtype of the result."""
    lower, upper = bounds
    given = -math.inf if lower is None else lower, math.inf if upper is None else upper
    numbers = [
        None if is_on_device(bound) else _numbers(bound, name)
        for bound, name in zip(given, ("lower", "upper"), strict=True)
    ]
    if any(number is not None and number.size != 1 for number in numbers):
        raise TypeError("bounds must be numbers or on the device as well, found a sequence")
    known = [n.reshape(()) for n in numbers if n is not None]
    if known:
        check_order(known[0], known[-1])
    return tuple(
        as_rows("bounds", view_of(bound), shape, axes, dtype, stream)
        if number is None
        else (compute.type(_rounded(number.item(), dtype)),)
        for bound, number in zip(given, numbers, strict=True)
    )
