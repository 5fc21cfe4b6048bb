"""Rows of different lengths: the arguments of a call, checked, as rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numba_car import _numpy
from numba_car._dispatch import library_of
from numba_car._layout import Array
from numba_car._options import Options, check_options, check_p, names_of, pair
from numba_car._problem import as_numeric, broadcasts, check_eps, check_eta

# The bound of the rows of these numbers, which have one shape, as `numba_car.eta` takes it.
Bound = Callable[[Sequence[int]], Any]


@dataclass
class Call:
    """A call of the function of a name: x and delta by row, and eps or eta, if any, a number or one per row."""

    function: str
    x: list[Array]
    delta: list[Array]
    third: Array | None
    bounds: tuple[Bound, Bound]
    options: Options

    def solve(self, rows: Sequence[int]) -> Any:
        """Return what `_numpy` does for rows of one shape, as a batch."""
        options = self.options._replace(bounds=tuple(bound(rows) for bound in self.bounds))
        return self._of(_stacked(self.x, rows), _stacked(self.delta, rows), rows, options)

    def raise_for_row(self) -> None:
        """Raise the error of the first row that has one alone, with its number."""
        for row, x in enumerate(self.x):
            bounds: Any = tuple(bound((row,)) for bound in self.bounds)
            options = self.options._replace(bounds=bounds, axis=tuple(range(x.ndim)))
            try:
                self._of(x, self.delta[row], row, options)
            except (TypeError, ValueError) as error:
                raise type(error)(f"row {row}: {error}") from None

    def _of(self, x: Array, delta: Array, rows: Any, options: Options) -> Any:
        function = getattr(_numpy, self.function)
        if self.third is None:
            return function(x, delta, options)
        third = self.third if self.third.ndim == 0 else self.third[rows]
        return function(x, delta, third.item() if third.size == 1 else third, options)


def _stacked(arrays: list[Array], rows: Sequence[int]) -> Array:
    """Return arrays of one shape as a batch; an empty one where there are no rows."""
    if len(rows) == 1:
        return arrays[rows[0]][np.newaxis]
    return np.stack([arrays[row] for row in rows]) if len(rows) else np.empty((0, 1))


def call_of(function: str, x: Any, delta: Any, third: Any, offsets: Any, options: Options) -> Call:
    """Return the checked call of a function."""
    of_delta, of_third = names_of(function)
    options = options._replace(p=check_p(options.p), num_threads=check_options(options))
    cuts = None if offsets is None else _cuts_of(offsets)
    x_rows, delta_rows = _rows_of("x", x, cuts), _rows_of(of_delta, delta, cuts)
    if len(delta_rows) != len(x_rows):
        raise ValueError(
            f"{of_delta} must have as many rows as x, {len(x_rows)}, found {len(delta_rows)}"
        )
    for row, (one, other) in enumerate(zip(x_rows, delta_rows, strict=True)):
        if one.shape != other.shape:
            raise ValueError(
                f"row {row}: {of_delta} must have the shape of x, {one.shape}, found {other.shape}"
            )
    lower, upper = (
        _bound_of(side, bound, x_rows, x, cuts)
        for side, bound in zip((-math.inf, math.inf), pair(options.bounds), strict=True)
    )
    if third is not None:
        third = as_numeric(of_third, third)
        (check_eta if function == "norm" else check_eps)(third)
        if third.shape not in ((), (len(x_rows),)):
            raise ValueError(
                f"{of_third} must be a number or one for each of {len(x_rows)} rows, "
                f"found shape {third.shape}"
            )
    return Call(function, x_rows, delta_rows, third, (lower, upper), options)


def _cuts_of(offsets: Any) -> Array:
    """Return offsets as an array, which begins at 0 and ascends."""
    cuts = as_numeric("offsets", offsets)
    if cuts.ndim != 1 or cuts.dtype.kind not in "iu" or not cuts.size or cuts[0] != 0:
        raise ValueError("offsets must be a sequence of integers that begins with 0")
    if (cuts[1:] < cuts[:-1]).any():
        raise ValueError("offsets must not descend")
    return cuts


def _rows_of(name: str, values: Any, cuts: Array | None) -> list[Array]:
    """Return the rows of an argument: the entries of a list, or the parts of an array."""
    if cuts is not None:
        _check_library(name, values)
        array = as_numeric(name, values)
        if array.ndim == 0 or len(array) != cuts[-1]:
            raise ValueError(
                f"{name} must be as long as offsets say, {cuts[-1]}, found shape {array.shape}"
            )
        return _cut(array, cuts)
    is_objects = isinstance(values, np.ndarray) and values.dtype == object and values.ndim == 1
    if not isinstance(values, (list, tuple)) and not is_objects:
        raise TypeError(
            f"{name} must be a list of arrays, or offsets say where its rows begin, "
            f"found {type(values).__name__}"
        )
    _check_library(name, *values)
    rows = [as_numeric(name, value) for value in values]
    for row, array in enumerate(rows):
        if array.ndim == 0:
            raise ValueError(f"row {row}: {name} must have an axis, found the number {array}")
    return rows


def _check_library(name: str, *arrays: Any) -> None:
    if library_of(*arrays) is not _numpy:
        found = next(type(array) for array in arrays if library_of(array) is not _numpy)
        raise TypeError(
            f"{name} must be NumPy's arrays, found {found.__module__}.{found.__name__}: call the "
            "function in numba_car for each row, with its axes as axis"
        )


def _cut(array: Array, cuts: Array) -> list[Array]:
    return [array[start:stop] for start, stop in itertools.pairwise(cuts.tolist())]


def _bound_of(none: float, bound: Any, x: list[Array], values: Any, cuts: Array | None) -> Bound:
    """Return a bound by rows: of its own entry for each row, or the same for all."""
    if cuts is not None and isinstance(bound, np.ndarray) and bound.ndim == np.ndim(values):
        bound = _cut(as_numeric("bounds", bound), cuts) if len(bound) == cuts[-1] else bound
    if not isinstance(bound, list):
        common = none if bound is None else as_numeric("bounds", bound)
        if np.ndim(common):
            for shape in {row.shape for row in x}:
                _check_broadcasts(common, shape)
            return lambda _: common
        number = np.asarray(common).item()
        return lambda _: number
    if len(bound) != len(x):
        raise ValueError(
            f"bounds must have one entry for each of {len(x)} rows, found a list of {len(bound)}"
        )
    entries = [none if entry is None else as_numeric("bounds", entry) for entry in bound]
    for entry, row in zip(entries, x, strict=True):
        _check_broadcasts(entry, row.shape)

    def by_row(rows: Sequence[int]) -> Any:
        if len(rows) == 1:
            entry = np.asarray(entries[rows[0]])
            return entry if entry.ndim else entry.item()
        each = [np.broadcast_to(entries[row], x[row].shape) for row in rows]
        return np.stack(each) if each else none

    return by_row


def _check_broadcasts(bound: Any, shape: tuple[int, ...]) -> None:
    if not broadcasts(np.shape(bound), shape):
        raise ValueError(
            f"bounds of shape {np.shape(bound)} do not broadcast to a row of shape {shape}"
        )
