"""From a caller's arrays to a `Problem`: axes, shapes, dtypes and bounds are checked and brought together."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import ArrayLike

from numba_car._core.constants import LARGEST_P, SLACK
from numba_car._layout import Array, DType, Rows, flat, is_plain
from numba_car._options import (
    METHODS,
    RULES,
    SIDES,
    Axis,
    Bounds,
    Options,
    check_options,
    check_p,
    names_of,
    pair,
)


class Precision(NamedTuple):
    """What a result may be."""

    rounding: float  # from 1 to the next number
    largest: float


PRECISIONS = {
    "float16": Precision(2.0**-10, 65504.0),
    "bfloat16": Precision(2.0**-7, (2.0 - 2.0**-7) * 2.0**127),
    "float32": Precision(2.0**-23, (2.0 - 2.0**-23) * 2.0**127),
    "float64": Precision(2.0**-52, (2.0 - 2.0**-52) * 2.0**1023),
}
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_PLAIN = {dtype: PRECISIONS[dtype.name] for dtype in (_FLOAT32, _FLOAT64)}
_NUMBERS, _LARGEST = (int, float), PRECISIONS["float64"].largest


@functools.cache
def precision_of(dtype: DType) -> Precision | None:
    return PRECISIONS.get(dtype.name)


@dataclass  # frozen, it would take 5 us to make
class Problem:
    """A batch of rows, checked. Sizes are in the units of x; a result is of `dtype`."""

    x: Rows
    delta: Rows
    lower: float | Rows
    upper: float | Rows
    eps: Array
    p: float
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: DType
    stored: str  # name of the dtype that results are rounded to in the end
    largest: float  # finite result
    slack: float  # how far x may lie outside its bounds, relative to their size
    inputs: tuple[Array, ...]  # whatever memory is read from
    options: Options  # checked
    is_plain = False  # see `plain_problem`

    def __post_init__(self) -> None:
        self.count, self.n = self.x.count, self.x.n  # number of rows, and of elements of a row

    @property
    def is_copied(self) -> bool:
        """Return whether blocks of some array are copies."""
        parts = self.x, self.delta, self.lower, self.upper
        return any(isinstance(part, Rows) and part.is_copied for part in parts)

    def rows(self, start: int, stop: int) -> tuple[Any, ...]:
        """Return x, delta, lower, upper and n of rows start to stop as kernels take them."""
        lower: Any = self.lower
        upper: Any = self.upper
        if isinstance(lower, Rows):
            lower, upper = lower.block(start, stop), upper.block(start, stop)
        return self.x.block(start, stop), self.delta.block(start, stop), lower, upper, self.n

    def take_eps(self) -> Array:
        """Return eps, and leave 0 in its place: rows are then validated when they are solved."""
        eps, self.eps = self.eps, np.zeros(self.count)
        return eps

    def along(self, delta: Rows) -> Problem:
        """Return the same problem with other directions."""
        given = {field.name: getattr(self, field.name) for field in fields(Problem)}
        return Problem(**{**given, "delta": delta})

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Return the shape of a result of one number a row."""
        return batch_of(self.shape, self.axes, keepdims=False)

    @property
    def batch_shape_kept(self) -> tuple[int, ...]:
        """Return the shape of that result under ``keepdims=True``."""
        return batch_of(self.shape, self.axes, keepdims=True)

    def row_index(self, row: int) -> tuple[int, ...]:
        """Return the index of a row in a result of one number a row."""
        return tuple(int(place) for place in np.unravel_index(row, self.batch_shape))

    def index(self, row: int, element: int) -> tuple[int, ...]:
        """Return the index of one element of a row in x."""
        inner = iter(np.unravel_index(element, tuple(self.shape[axis] for axis in self.axes)))
        outer = iter(self.row_index(row))
        places: Iterator[Any] = (
            next(inner if axis in self.axes else outer) for axis in range(len(self.shape))
        )
        return tuple(int(place) for place in places)


class _PlainProblem(Problem):
    """The problem of a plain call, made from what is known of all calls with these options, dtype and shape."""

    is_plain, is_copied = True, False

    def __init__(self, known: dict[str, Any], x: Array, delta: Array, eps: float) -> None:
        self.__dict__ = known.copy()
        self.inputs = x, delta, *self.inputs
        self.eps = np.empty(self.count)
        self.eps.fill(eps)

    @functools.cached_property
    def x(self) -> Rows:  # type: ignore[override]
        """The rows of x."""
        return Rows.of_plain(self.inputs[0], self.count, self.n)

    @functools.cached_property
    def delta(self) -> Rows:  # type: ignore[override]
        """The rows of delta."""
        return Rows.of_plain(self.inputs[1], self.count, self.n)

    def rows(self, start: int, stop: int) -> tuple[Any, ...]:
        """Return x, delta, lower, upper and n of rows start to stop as kernels take them."""
        if stop - start != self.count:
            return super().rows(start, stop)
        x, delta, *_ = self.inputs  # without rows, which take longer to make
        return (flat(x), self.n), (flat(delta), self.n), self.lower, self.upper, self.n


_CUDA, _CUDA_MANAGED = 2, 13  # DLPack's numbers of kinds of devices


def exports_device_memory(value: Any) -> bool:
    """Return whether an array offers memory of a CUDA device by DLPack."""
    device = getattr(type(value), "__dlpack_device__", None)
    return device is not None and device(value)[0] in (_CUDA, _CUDA_MANAGED)


def as_numeric(name: str, value: ArrayLike) -> Array:
    """Return value as an array of booleans, integers or floats, or raise TypeError."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array, found one: use numpy.ma.filled(...)")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(
            f"{name} must be an array of numbers, found a ragged sequence: numba_car.ragged has "
            "the functions for rows of different lengths"
        ) from error
    if array.dtype.kind not in "biuf" and precision_of(array.dtype) is None:
        cure = ": .to_numpy(float) of a table, or .astype(float)" if array.dtype == object else ""
        raise TypeError(f"{name} must hold integers or floats, found dtype {array.dtype}{cure}")
    return array


def result_dtype(*given: tuple[ArrayLike, Array], name: str = "delta") -> DType:
    """Return the dtype that NumPy promotes to: Python numbers adapt, and integers alone become float64."""
    first, second = (array.dtype for _, array in given)
    if first is second and first in (_FLOAT32, _FLOAT64):
        return first
    dtypes = [value if isinstance(value, (int, float)) else array.dtype for value, array in given]
    dtype = np.result_type(*dtypes)
    dtype = _FLOAT64 if dtype.kind in "biu" else dtype
    if precision_of(dtype) is None:
        allowed = ", ".join(PRECISIONS)
        raise TypeError(f"x and {name} must promote to one of {allowed}, found {dtype}")
    return dtype.newbyteorder("=")


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(int(ndim > 1), ndim))
    if isinstance(axis, str) and axis == "all":
        return tuple(range(ndim))
    try:
        return tuple(sorted(normalize_axis_tuple(axis, ndim, "axis")))  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"axis must be an int, a tuple of ints, 'all' or None, found {axis!r}"
        ) from None
    except OverflowError:
        raise np.exceptions.AxisError(
            f"axis {axis} is out of bounds for array of dimension {ndim}"
        ) from None


def common_shape(
    x: tuple[int, ...], delta: tuple[int, ...], axis: Axis, name: str = "delta"
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape that arrays of these shapes broadcast to, and the axes of a row in it."""
    try:
        shape = x if x == delta else np.broadcast_shapes(x, delta)
    except ValueError:
        raise ValueError(f"x of shape {x} and {name} of shape {delta} do not broadcast") from None
    return shape, _axes(axis, len(shape))


def swept_shape(
    eps: tuple[int, ...], shape: tuple[int, ...], axes: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return shape and axes with the leading axes of eps that the rows do not have, over which it is swept."""
    kept, batch = eps[-len(shape) :], batch_of(shape, axes, keepdims=False)
    has_axes = len(kept) == len(shape) and all(kept[axis] == 1 for axis in axes)
    has_axes = has_axes and broadcasts(batch_of(kept, axes, keepdims=False), batch)
    rows = len(shape) if has_axes else len(batch)
    sweep = eps[: max(len(eps) - rows, 0)]
    return sweep + shape, tuple(axis + len(sweep) for axis in axes)


def broadcasts(shape: tuple[int, ...], full: tuple[int, ...]) -> bool:
    """Return whether an array of that shape broadcasts to the full one; None, in a graph, is any size."""
    pairs = zip(reversed(shape), reversed(full), strict=False)
    return len(shape) <= len(full) and all(a in (1, b) or None in (a, b) for a, b in pairs)


def format_bounds_error(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Return an error message for bounds that do not broadcast; it names new axes that make them, if any do."""
    message = f"bounds of shape {found} do not broadcast to x, of shape {shape}"
    for more in range(1, len(shape) - len(found) + 1):
        if broadcasts(found + (1,) * more, shape):
            index = ", ".join([":"] * len(found) + ["None"] * more)
            return f"{message}: index them with [{index}]"
    return message


def format_cure(value: float, upper: float, dtype: DType) -> str:
    """Return what to do about an x of that dtype and value outside its bounds, for an error."""
    clip = "np.clip(x, lower, upper) brings x inside"
    if upper > 1:
        return clip
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        if low < 0:
            return f"pass bounds=({low}, {high}), or x / {-low} and bounds=(-1, 1)"
        return f"pass bounds=(0, {high}) or x / {high}"
    if value < 0:
        return (
            f"pass the bounds of x, such as bounds=(-1, 1), or bounds=(None, None) for none; {clip}"
        )
    if value < 2:
        return clip
    bytes_ = "bounds=(0, 255) or x / 255 where x holds bytes"
    return f"pass {bytes_}, bounds=(None, None) where x has none, else {clip}"


def batch_of(shape: tuple[int, ...], axes: tuple[int, ...], *, keepdims: bool) -> tuple[int, ...]:
    """Return the shape of a result of one number a row."""
    if keepdims:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def kept_shape(
    name: str, found: tuple[int, ...], shape: tuple[int, ...], axes: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the shape of values by row with the axes of a row as 1; `found` may hold these axes already."""
    batch = batch_of(shape, axes, keepdims=False)
    has_axes = len(found) == len(shape) and all(found[axis] == 1 for axis in axes)
    sizes = batch_of(found, axes, keepdims=False) if has_axes else found
    if not broadcasts(sizes, batch):
        raise ValueError(
            f"{name} of shape {found} does not broadcast to the rows, of shape {batch}"
        )
    inner = iter((1,) * (len(batch) - len(sizes)) + sizes)
    return tuple(1 if axis in axes else next(inner) for axis in range(len(shape)))


def by_row(name: str, values: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Return one float64 per row, flat and writeable (see `flat`); a scalar is not repeated in memory."""
    array = values.astype(np.float64)
    if array.ndim:
        array = array.reshape(kept_shape(name, array.shape, shape, axes))
    if array.size == 1:
        count = math.prod(batch_of(shape, axes, keepdims=False))
        return np.ndarray((count,), np.float64, array, 0, (0,))  # a fifth of broadcast_to's time
    return flat(np.ascontiguousarray(np.broadcast_to(array, batch_of(shape, axes, keepdims=True))))


def by_element(name: str, values: ArrayLike, task: Problem) -> Rows:
    """Return one value per element of x, as rows."""
    array = as_numeric(name, values)
    is_like_x = array.shape == task.shape and array.dtype is task.dtype
    if task.is_plain and is_like_x and is_plain(array):
        return Rows.of_plain(array, task.count, task.n)
    try:
        return Rows(np.broadcast_to(array, task.shape), task.axes, task.x.dtype)
    except ValueError:
        raise ValueError(
            f"{name} of shape {array.shape} does not broadcast to x, of shape {task.shape}"
        ) from None


def _check_all(valid: Any, rule: str, array: Array) -> None:
    """Raise a ValueError that states the rule, unless all values of an array are valid."""
    if not valid.all():
        place = np.unravel_index(np.argmin(valid), array.shape)
        where = f" at index {tuple(map(int, place))}" if array.ndim else ""
        raise ValueError(f"{rule}, found {array[place]}{where}")


def check_eta(array: Array) -> None:
    """Raise if a scale is negative; NaN stands for a row without one."""
    _check_all(~(array < 0), "eta must not be negative", array)


def check_eps(array: Array) -> None:
    largest = PRECISIONS["float64"].largest  # a long double may be larger
    if array.ndim == 0 and 0 <= array.item() <= largest:
        return  # in a fifth of the time of the next line
    valid = (array >= 0) & (array <= np.float64(largest))
    _check_all(valid, "eps must be finite and not negative", array)


def check_order(lower: Array, upper: Array) -> None:
    """Raise unless lower <= upper everywhere, which NaN never fulfils."""
    if lower.ndim == upper.ndim == 0 and lower.item() <= upper.item():
        return  # without the cost of an iterator
    try:
        chunks = np.nditer(
            [lower, upper], ["external_loop", "buffered", "zerosize_ok"], buffersize=1 << 16
        )
    except ValueError:
        raise ValueError(
            f"bounds must broadcast, found lower of shape {lower.shape} and upper of {upper.shape}"
        ) from None
    if all((low <= high).all() for low, high in chunks):
        return
    for name, bound in (("lower", lower), ("upper", upper)):
        if np.isnan(bound).any():
            raise ValueError(f"bounds must not be nan, found nan in {name}")
    low, high = np.broadcast_arrays(lower, upper)
    place = np.unravel_index(np.argmax(low > high), low.shape)
    where = f" at index {tuple(map(int, place))}" if low.ndim else ""
    raise ValueError(f"bounds must have lower <= upper, found {low[place]} > {high[place]}{where}")


_MANY = 1 << 16  # elements of a bound that are no longer checked in a moment


def check_bounds(lower: Array, upper: Array, dtype: DType) -> None:
    """Raise unless lower <= upper everywhere; large bounds of the dtype computed in are left to the kernels."""
    is_read_anyway = lower.dtype == upper.dtype == dtype
    if not (is_read_anyway and min(lower.size, upper.size) > _MANY):
        check_order(lower, upper)


def _bound_arrays(bounds: Bounds) -> tuple[Array, Array]:
    """Return both bounds as arrays, infinite where there is none."""
    lower, upper = pair(bounds)
    return (
        as_numeric("the lower of bounds", -math.inf if lower is None else lower),
        as_numeric("the upper of bounds", math.inf if upper is None else upper),
    )


@functools.lru_cache
def rounded(value: float, dtype: DType) -> float:
    """Return a number rounded to a dtype."""
    with np.errstate(all="ignore"):
        return float(np.asarray(value, np.float64).astype(dtype))


def _bounds(
    lower: Array,
    upper: Array,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    dtype: DType,
    compute: DType,
) -> tuple[float | Rows, float | Rows]:
    """Return both bounds as numbers, or both as rows, rounded to the dtype of the result."""
    if lower.size == upper.size == 1 and max(lower.ndim, upper.ndim) <= len(shape):
        return rounded(lower.item(), dtype), rounded(upper.item(), dtype)

    def rows(bound: Array) -> Rows:
        if dtype != compute:
            bound = bound.astype(dtype)
        try:
            return Rows(np.broadcast_to(bound, shape), axes, compute)
        except ValueError:
            raise ValueError(format_bounds_error(bound.shape, shape)) from None

    with np.errstate(all="ignore"):
        return rows(lower), rows(upper)


def problem(
    x: ArrayLike, delta: ArrayLike, eps: ArrayLike, options: Options, function: str = "eta"
) -> Problem:
    """Return the problem of a call; all but the values of x and delta, which the kernels check, is checked.

    Errors call the arguments what the function of that name does. For `norm`, eps holds scales, which may be infinite
    or NaN.
    """
    if plain := plain_problem(x, delta, eps, options):
        return plain
    options = options._replace(p=check_p(options.p), num_threads=check_options(options))
    of_delta, of_eps = names_of(function)
    x_array, delta_array = as_numeric("x", x), as_numeric(of_delta, delta)
    dtype = result_dtype((x, x_array), (delta, delta_array), name=of_delta)
    compute = _FLOAT32 if dtype.itemsize == 2 else dtype
    eps_array = as_numeric(of_eps, eps)
    (check_eta if function == "norm" else check_eps)(eps_array)
    shape, axes = common_shape(x_array.shape, delta_array.shape, options.axis, of_delta)
    shape, axes = swept_shape(eps_array.shape, shape, axes)
    lower, upper = _bound_arrays(options.bounds)
    check_bounds(lower, upper, compute)
    lower_rows, upper_rows = _bounds(lower, upper, shape, axes, dtype, compute)
    precision = precision_of(dtype) or PRECISIONS["float64"]
    of_x = precision_of(x_array.dtype) or precision
    return Problem(
        x=Rows(_broadcast(x_array, shape), axes, compute),
        delta=Rows(_broadcast(delta_array, shape), axes, compute),
        lower=lower_rows,
        upper=upper_rows,
        eps=by_row(of_eps, eps_array, shape, axes),
        p=options.p,
        axes=axes,
        shape=shape,
        dtype=dtype,
        stored=dtype.name,
        largest=precision.largest,
        slack=SLACK * max(precision.rounding, of_x.rounding),
        inputs=(x_array, delta_array, lower, upper),
        options=options,
    )


def plain_problem(x: Any, delta: Any, eps: Any, options: Options) -> Problem | None:
    """Return the problem of a plain call, or None: on small calls the full checks would take most of the time.

    A call is plain where x and delta are C-contiguous arrays of one shape and one dtype, float32 or
    float64, a row is all axes but the first, and eps, the bounds and p are numbers.
    """
    if not (type(x) is type(delta) is np.ndarray and is_plain(x) and is_plain(delta)):
        return None
    try:
        known = _known_of_plain(options, x.dtype, x.shape)
    except TypeError:  # options that cannot be hashed, such as bounds that are arrays
        return None
    if known is None or delta.dtype is not x.dtype or delta.shape != x.shape:
        return None
    if isinstance(eps, np.floating):
        eps = eps.item()
    if not (type(eps) in _NUMBERS and 0 <= eps <= _LARGEST):
        return None
    return _PlainProblem(known, x, delta, eps)


@functools.lru_cache(256)
def _known_of_plain(options: Options, dtype: DType, shape: tuple[int, ...]) -> Any:
    """Return the fields that problems of plain calls with these options share; None if such a call is not plain."""
    p, (lower, upper), axis, _, infeasible, method, num_threads, side, step = options
    if not (
        dtype in _PLAIN
        and len(shape) > 1
        and math.prod(shape) > 0
        and axis is None
        and (num_threads is None or (type(num_threads) is int and num_threads >= 1))
        and all(type(number) in _NUMBERS for number in (p, lower, upper))
        and (0 < p < LARGEST_P or p == math.inf)
        and lower <= upper
        and infeasible in RULES
        and method in METHODS
        and side in SIDES
        and step is None
    ):
        return None
    return {
        "count": shape[0],
        "n": math.prod(shape[1:]),
        "lower": rounded(lower, dtype),
        "upper": rounded(upper, dtype),
        "p": float(p),
        "axes": tuple(range(1, len(shape))),
        "shape": shape,
        "dtype": dtype,
        "stored": dtype.name,
        "largest": _PLAIN[dtype].largest,
        "slack": SLACK * _PLAIN[dtype].rounding,
        "inputs": (np.asarray(lower), np.asarray(upper)),
        "options": options,
    }


def _broadcast(array: Array, shape: tuple[int, ...]) -> Array:
    return array if array.shape == shape else np.broadcast_to(array, shape)


def check_grid(task: Problem, dtype: DType) -> None:
    """Raise unless a grid begins at every lower bound, and results between the bounds fit the dtype."""
    lower, upper = task.inputs[2:]
    if not np.isfinite(lower).all():
        raise ValueError("the lower of bounds must be finite where a step is given, found infinity")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if lower.size and (lower.min() < limits.min or upper.max() > limits.max):
            raise ValueError(
                f"bounds must lie within the range of {dtype}, {limits.min} to {limits.max}, "
                f"found {lower.min()} to {upper.max()}"
            )
        for name, value in (("step", task.options.step), ("the lower of bounds", lower)):
            if (np.asarray(value) % 1 != 0).any():
                raise ValueError(f"{name} must be whole where x holds integers, found {value}")


def result_rows(task: Problem, out: Any, dtype: DType | None = None) -> tuple[Array, Rows, bool]:
    """Return the array to rescale into, its rows, and whether writing may begin before all is solved.

    The dtype is by default that of the problem; kernels write to an array of another one directly.

    Memory allocated here may be written to at once. The caller's must be left alone until no error can
    happen, and must not be written to at all while it is read from elsewhere.
    """
    if out is not None:
        _check_out(out, task, dtype or task.dtype)
    is_new = out is None or _overlaps(out, task)
    if not is_new:
        result = out
    elif task.is_plain:  # in C's order, without the cost of a look
        result = np.empty(task.shape, dtype or task.dtype)
    else:
        result = _new_result(task, dtype or task.dtype)
    if dtype and dtype != task.dtype:
        return result, Rows(result, task.axes, dtype), is_new
    if task.is_plain and is_plain(result):
        return result, Rows.of_plain(result, task.count, task.n), is_new
    return result, Rows(result, task.axes, task.x.dtype), is_new


def _new_result(task: Problem, dtype: DType) -> Array:
    """Return memory for a result, whose axes have the order in memory that those of x have, as NumPy's order "K"."""
    x, shape = task.inputs[0], task.shape
    swept = len(shape) - x.ndim
    if x.flags.c_contiguous or x.shape != shape[swept:] or 0 in x.strides:  # 0: it is repeated
        return np.empty(shape, dtype)
    inner = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    order = [*range(swept), *(swept + axis for axis in inner)]
    return np.empty([shape[axis] for axis in order], dtype).transpose(np.argsort(order))


def _check_out(out: Any, task: Problem, dtype: DType) -> None:
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out must be a NumPy array, found {type(out).__name__}")
    if out.shape != task.shape:
        raise ValueError(f"out must have the shape {task.shape} of the result, found {out.shape}")
    if out.dtype != dtype:
        raise ValueError(f"out must have the dtype {dtype} of the result, found {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, found a read-only array")


def _overlaps(out: Array, task: Problem) -> bool:
    """Return whether out shares memory with an input, other than as the same view."""
    for array in task.inputs[: 4 if isinstance(task.lower, Rows) else 2]:
        if array is not out and np.may_share_memory(out, array) and not _is_same(out, array):
            return True
    return False


def _is_same(a: Array, b: Array) -> bool:
    """Return whether two arrays are one view of the same memory: then element i is read before written."""
    here, there = a.__array_interface__["data"][0], b.__array_interface__["data"][0]
    return here == there and a.shape == b.shape and a.strides == b.strides and a.dtype == b.dtype
