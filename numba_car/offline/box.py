"""The box: bounds from numbers, arrays or files, and where integers lie in it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from numba_car._layout import Array, DType
from numba_car._problem import broadcasts
from numba_car.offline.places import Source, open_source, shape_error


class Bound:
    """One side of the box: None, a number, an array, or a file of one row or of all rows of x."""

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
        """Bytes that are taken however few rows a block has."""
        return int(getattr(self._value, "nbytes", 0)) + (self.source.held if self.source else 0)

    @property
    def memory_per_row(self) -> int:
        """Bytes that a row takes while it is in work."""
        if self.source is None or not self._is_by_row:
            return 0
        return int(np.prod(self.source.shape[1:])) * self.source.dtype.itemsize

    def of(self, start: int, stop: int) -> Any:
        """Return what bounds rows start to stop, for `numba_car.rescale`."""
        if self.source and self._is_by_row:
            return self.source.read(start, stop)
        return self._value


@dataclass(frozen=True)
class Box:
    """The bounds of a block of rows, and which integers they are, unless x holds floats."""

    lower: Any
    upper: Any
    integers: tuple[float, float] | None

    def check(self) -> None:
        """Raise unless integers have a place in it."""
        lower, upper = (np.asarray(side, np.float64) for side in self.sides)
        if self.integers and not (np.isfinite(lower) & np.isfinite(upper) & (lower < upper)).all():
            raise ValueError(
                "bounds must be finite and apart where x holds integers, "
                f"found {self.lower} and {self.upper}"
            )

    @property
    def sides(self) -> tuple[Any, Any]:
        """Both bounds; infinite where there is none."""
        return (
            -np.inf if self.lower is None else self.lower,
            np.inf if self.upper is None else self.upper,
        )

    def _scaling(self) -> tuple[float, Any, Any]:
        """Lowest integer, where it lies, and how far apart two neighbours do."""
        low, high = self.integers or (0.0, 1.0)
        lower, upper = (_exact(side) for side in self.sides)
        return low, lower, (upper - lower) / (high - low)

    def enter(self, raw: Array, dtype: DType) -> Array:
        """Bring what x holds into the box."""
        if self.integers is None:
            return raw.astype(dtype, copy=False)
        low, lower, step = self._scaling()
        is_short = raw.dtype.itemsize <= 2 and isinstance(step, float)
        x = raw.astype(np.result_type(np.float32 if is_short else np.float64, dtype))
        x -= low
        x *= step
        x += lower
        return x.astype(dtype, copy=False)

    def leave(self, v: Array, dtype: DType) -> Array:
        """Round to integers again."""
        low, lower, step = self._scaling()
        limits = np.iinfo(dtype)
        steps = v.astype(np.float64)  # from here on in place: it is eight times as large as uint8
        steps -= lower
        steps /= step
        steps += low
        np.rint(steps, out=steps)
        np.clip(steps, limits.min, limits.max, out=steps)
        return steps.astype(dtype)

    def first(self, shape: tuple[int, ...], count: int) -> tuple[Array, Array]:
        """Bounds of the first elements of each row of a block, shape (rows, count)."""
        lower, upper = (first_of(np.broadcast_to(side, shape), count) for side in self.sides)
        return lower, upper

    def of_rows(self, rows: Array, shape: tuple[int, ...]) -> tuple[Any, Any]:
        """Bounds of some rows of a block."""

        def some(side: Any) -> Any:
            is_by_row = np.ndim(side) == len(shape) and len(side) == shape[0]
            return side[rows] if is_by_row else side

        return some(self.lower), some(self.upper)


def first_of(values: Array, count: int) -> Array:
    """Copy the first elements of each row: flattening would copy all where values are broadcast."""
    row = values.shape[1:]
    places: tuple[Any, ...] = np.unravel_index(np.arange(min(count, int(np.prod(row)))), row)
    first: Array = values[(slice(None), *places)]
    return first


def _exact(side: Any) -> Any:
    """Return a number as such, which takes the precision of what it meets, and an array in float64."""
    array = np.asarray(side, np.float64)
    return array.item() if array.ndim == 0 else array


def integers_of(dtype: DType, given: tuple[float, float] | None) -> tuple[float, float] | None:
    """Which integers are the bounds: those given, or all that the dtype has; None for floats."""
    if dtype.kind == "f":
        return None
    if given:
        return given
    if dtype.kind == "b":
        return 0.0, 1.0
    limits = np.iinfo(dtype)
    return float(limits.min), float(limits.max)


def in_words(given: Any) -> Any:
    """Return a bound as manifests and reports have it: an array by its checksum."""
    array = np.asarray(given)
    if isinstance(given, str) or array.ndim == 0:
        return given
    crc = zlib.crc32(np.ascontiguousarray(array).data)
    return {"shape": array.shape, "dtype": array.dtype.str, "crc32": crc}
