"""Dask: results are lazy, and a task solves a block of rows.

x, delta and the bounds must not be chunked along the axes of a row; `num_threads` is 1 by default, since Dask has
threads of its own. Values are checked when the task runs: an error in values comes out of `compute`, and an index
in its message counts from the start of the block.

>>> import dask.array as da
>>> import numba_car as car
>>> x = da.full((4, 3), 0.9, chunks=(2, 3))
>>> eta = car.eta(x, da.ones((4, 3), chunks=(2, 3)), 0.1)
>>> eta.chunks
((2, 2),)
>>> eta.compute().round(3)
array([0.058, 0.058, 0.058, 0.058])
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from numba_car._extras import extras_named

with extras_named(__name__):
    import dask.array as da

from numba_car._dispatch import library_of
from numba_car._layout import Array, DType
from numba_car._options import WITH_OUT, Options, Solution, check_no_out, names_of
from numba_car._problem import batch_of, kept_shape, problem, swept_shape

_KIND = "dask arrays, which are returned"  # in errors


def _as_dask(name: str, value: Any) -> Any:
    """Return value as a dask array of known shape; a number or None as it is."""
    if value is None or isinstance(value, (int, float, np.generic)):
        return value
    if not isinstance(value, da.Array):
        if type(value).__module__.partition(".")[0] == "dask":
            raise TypeError(f"{name} must be a dask array, found {type(value).__name__}")
        return da.from_array(np.asarray(value), chunks=-1)
    if any(math.isnan(size) for size in value.shape):
        raise ValueError(
            f"{name} must have known chunk sizes, found {value.chunks}: "
            "compute_chunk_sizes() finds them"
        )
    return value


def _stand_in(value: Any) -> Any:
    """Return a NumPy array of zeros in the shape and dtype of a dask array, which takes no memory."""
    if not isinstance(value, da.Array):
        return value
    return np.broadcast_to(np.zeros((), value.dtype), value.shape)


def _check_chunks(name: str, value: Any, axes: tuple[int, ...], ndim: int) -> None:
    """Raise if a row is in several chunks."""
    if not isinstance(value, da.Array):
        return
    first = ndim - value.ndim
    cut = [axis - first for axis in axes if axis >= first and value.numblocks[axis - first] > 1]
    if cut:
        cure = ", ".join(f"{axis}: -1" for axis in cut)
        raise ValueError(
            f"{name} must not be chunked along the axes of a row, {axes}, "
            f"found {value.numblocks} chunks: .rechunk({{{cure}}}) joins them"
        )


def _record(dtype: DType) -> DType:
    """Return the dtype of a `Solution` as one element."""
    return np.dtype([(name, dtype) for name in Solution._fields[:3]] + [("saturated", "?")])


def _on_block(name: str, options: Options, lower: Any, upper: Any, *arguments: Any) -> Array:
    """Return the result for one block, the axes of a row kept."""
    options = options._replace(bounds=(lower, upper), keepdims=True)
    try:
        found = getattr(library_of(*arguments, lower, upper), name)(*arguments, options)
    except ValueError as error:
        error.add_note("(an index counts from the start of a block)")
        raise
    if name != "solve":
        return np.asarray(found)
    record = np.empty(found.eta.shape, _record(found.eta.dtype))
    for field, values in found._asdict().items():
        record[field] = values
    return record


def _apply(name: str, arguments: tuple[Any, ...], options: Options) -> Any:
    """Return a lazy result, once all but values is checked; arguments are x, delta and perhaps eps."""
    names = "the lower of bounds", "the upper of bounds", "x", *names_of(name)
    arrays = [*map(_as_dask, names, (*options.bounds, *arguments))]
    lower, upper, x, delta, *eps = arrays
    number = eps[0] if eps and not isinstance(eps[0], da.Array) else 0.0
    bounds: Any = lower, upper
    if isinstance(lower, da.Array) or isinstance(upper, da.Array):
        # Whether a number is in order with an array is known only when a block is solved.
        bounds = (_stand_in(b) if isinstance(b, da.Array) else None for b in bounds)
    checked = options._replace(bounds=tuple(bounds))
    task = problem(_stand_in(x), _stand_in(delta), number, checked, name)
    shape, axes = task.shape, task.axes
    if eps and isinstance(eps[0], da.Array):
        shape, axes = swept_shape(eps[0].shape, shape, axes)
    for label, value in zip(names[:4], arrays[:4], strict=True):
        _check_chunks(label, value, axes, len(shape))
    if eps and isinstance(eps[0], da.Array):
        arrays[4] = eps[0].reshape(kept_shape(names[4], eps[0].shape, shape, axes))
    of_block = options._replace(
        axis=tuple(axis - len(shape) for axis in axes), num_threads=options.num_threads or 1
    )
    dtype = _record(task.dtype) if name == "solve" else task.dtype
    if options.step is not None and np.dtype(x.dtype).kind in "iu":
        dtype = x.dtype
    labels = tuple(range(len(shape)))
    given: list[Any] = []
    for value in arrays:
        is_array = isinstance(value, da.Array)
        given += [value, labels[len(labels) - value.ndim :] if is_array else None]
    found = da.blockwise(
        functools.partial(_on_block, name, of_block._replace(bounds=(None, None))),
        labels,
        *given,
        adjust_chunks={} if name in WITH_OUT else dict.fromkeys(axes, 1),
        dtype=dtype,
        meta=np.empty((0,) * len(shape), dtype),
        name=None,
        token=f"numba_car-{name}",
    )
    if name in WITH_OUT or options.keepdims:
        return found
    return found.reshape(batch_of(shape, axes, keepdims=False))


def eta(x: Any, delta: Any, eps: Any, options: Options) -> da.Array:
    """Return `numba_car.eta`, chunked as the rows are."""
    return _apply("eta", (x, delta, eps), options)


def rescale(x: Any, delta: Any, eps: Any, options: Options, out: None = None) -> da.Array:
    """Return `numba_car.rescale`; a dask array cannot be written to, so out must be None."""
    check_no_out(out, _KIND)
    return _apply("rescale", (x, delta, eps), options)


def solve(x: Any, delta: Any, eps: Any, options: Options) -> Solution[Any]:
    """Return `numba_car.solve`, four arrays of one graph: `dask.compute(*solution)` solves a block once."""
    found = _apply("solve", (x, delta, eps), options)
    return Solution(*(found[field] for field in Solution._fields))


def max_norm(x: Any, delta: Any, options: Options) -> da.Array:
    """Return `numba_car.max_norm`, chunked as the rows are."""
    return _apply("max_norm", (x, delta), options)


def norm(x: Any, delta: Any, eta: Any, options: Options) -> da.Array:
    """Return `numba_car.norm` of dask arrays."""
    return _apply("norm", (x, delta, eta), options)


def project(x: Any, z: Any, eps: Any, options: Options, out: None = None) -> da.Array:
    """Return `numba_car.project` of dask arrays."""
    check_no_out(out, _KIND)
    return _apply("project", (x, z, eps), options)


def maximize(x: Any, g: Any, eps: Any, options: Options, out: None = None) -> da.Array:
    """Return `numba_car.maximize` of dask arrays."""
    check_no_out(out, _KIND)
    return _apply("maximize", (x, g, eps), options)
