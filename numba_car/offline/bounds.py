"""Bounds from numbers, arrays or files, and the integers of x scaled to lie between them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from numba_car._layout import Array, DType
from numba_car._problem import broadcasts
from numba_car.offline.formats import open_source
from numba_car.offline.sources import Source, shape_error


class Bound:
    """The lower or the upper bound: None, a number, an array, or a file of one row or of all rows."""

    def __init__(self, given: Any, x: Source) -> None:
        self.source = open_source(given) if isinstance(given, str) else None
        self._value, self._is_by_row = given, False
        if self.source:
            shape = self.source.shape
            self._is_by_row = len(shape) == len(x.shape) and shape[0] != 1
            if not shape or not broadcasts(shape, x.shape):
                each = (x.shape[0], *[1] * (len(x.shape) - 1))
                rule = f"must broadcast to {x.shape}, the shape of x"
                raise shape_error(self.source, f"{rule} (one number for each row has shape {each})")
            if not self._is_by_row:
                self._value = self.source.read(0, shape[0])

    @property
    def held(self) -> int:
        """Bytes that the bound takes, however few rows a block has."""
        return int(getattr(self._value, "nbytes", 0)) + (self.source.held if self.source else 0)

    @property
    def memory_per_row(self) -> int:
        """Bytes that the bounds of one row take while its block is solved."""
        if self.source is None or not self._is_by_row:
            return 0
        return int(np.prod(self.source.shape[1:])) * self.source.dtype.itemsize

    def of(self, start: int, stop: int) -> Any:
        """Return the bound of rows start to stop, as `numba_car.rescale` takes it."""
        if self.source and self._is_by_row:
            return self.source.read(start, stop)
        return self._value


@dataclass(frozen=True)
class Box:
    """The bounds of a block of rows, and the integers that stand for them (None if x holds floats)."""

    lower: Any
    upper: Any
    integers: tuple[float, float] | None

    def check(self) -> None:
        """Raise ValueError if x holds integers and its bounds are not finite and lower < upper."""
        sides = (np.asarray(side, np.float64) for side in self.sides)
        lower, upper = np.broadcast_arrays(*sides)
        valid = np.isfinite(lower) & np.isfinite(upper) & (lower < upper)
        if self.integers and not valid.all():
            place = tuple(map(int, np.unravel_index(np.argmin(valid), valid.shape)))
            where = f" at index {place}" if place else ""
            found = f"{lower[place]} and {upper[place]}{where}"
            raise ValueError(f"bounds must be finite and apart for integers, found {found}")

    def check_integers(self, raw: Array) -> None:
        """Raise ValueError if x has an integer outside those that stand for the bounds."""
        low, high = self.integers or (-np.inf, np.inf)
        if raw.size and not (low <= raw.min() and raw.max() <= high):
            place = tuple(map(int, np.argwhere((raw < low) | (raw > high))[0]))
            found = f"found {raw[place]} at index {place}"
            raise ValueError(f"input_range must hold all integers of x, {found}")

    @property
    def sides(self) -> tuple[Any, Any]:
        """Both bounds, infinite where there is none."""
        return (
            -np.inf if self.lower is None else self.lower,
            np.inf if self.upper is None else self.upper,
        )

    def _scaling(self) -> tuple[float, Any, Any]:
        """Return the least integer, the lower bound, and the distance of neighbouring integers."""
        low, high = self.integers or (0.0, 1.0)
        lower, upper = (_exact(side) for side in self.sides)
        return low, lower, (upper - lower) / (high - low)

    def scale(self, raw: Array, dtype: DType) -> Array:
        """Return x as floats: integers are scaled linearly from their range to the bounds."""
        if self.integers is None:
            return raw.astype(dtype, copy=False)
        low, lower, step = self._scaling()
        is_exact_in_float32 = raw.dtype.itemsize <= 2 and isinstance(step, float)
        x = raw.astype(np.result_type(np.float32 if is_exact_in_float32 else np.float64, dtype))
        x -= low
        x *= step
        x += lower
        return x.astype(dtype, copy=False)

    def unscale(self, v: Array, dtype: DType) -> Array:
        """Return the integers of a dtype that are nearest to v on the scale of `scale`."""
        low, lower, step = self._scaling()
        limits = np.iinfo(dtype)
        steps = v.astype(np.float64)  # from here on in place: it is eight times as large as uint8
        steps -= lower
        steps /= step
        steps += low
        np.rint(steps, out=steps)
        np.clip(steps, limits.min, limits.max, out=steps)
        return steps.astype(dtype)

    @property
    def step(self) -> float | None:
        """The distance of neighbouring integers on the scale of `scale`, if it is the same everywhere."""
        step = self._scaling()[2] if self.integers else None
        return step if isinstance(step, float) else None

    def of_rows(self, rows: Array, shape: tuple[int, ...]) -> tuple[Any, Any]:
        """Return both bounds of the rows at some indices in a block of a shape."""
        lower, upper = (
            side[rows] if np.ndim(side) == len(shape) and len(side) == shape[0] else side
            for side in (self.lower, self.upper)
        )
        return lower, upper


def first_of(values: Array, count: int) -> Array:
    """Return a copy of the first elements of each row.

    Reshaping to rows first would copy all elements where values are broadcast.
    """
    row = values.shape[1:]
    places: tuple[Any, ...] = np.unravel_index(np.arange(min(count, int(np.prod(row)))), row)
    first: Array = values[(slice(None), *places)]
    return first


def _exact(side: Any) -> Any:
    """Return a number as a float, which adopts the dtype of an array, and an array in float64."""
    array = np.asarray(side, np.float64)
    return array.item() if array.ndim == 0 else array


def integers_of(dtype: DType, given: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the integers that stand for the bounds: those given or the dtype's; None for floats."""
    if dtype.kind == "f":
        return None
    if given:
        return given
    if dtype.kind == "b":
        return 0.0, 1.0
    limits = np.iinfo(dtype)
    return float(limits.min), float(limits.max)


def array_as_json(given: Any) -> Any:
    """Return a value for the journal and the report: an array by shape, dtype and CRC-32."""
    array = np.asarray(given)
    if isinstance(given, str) or array.ndim == 0:
        return given
    crc = zlib.crc32(np.ascontiguousarray(array).data)
    return {"shape": array.shape, "dtype": array.dtype.str, "crc32": crc}
