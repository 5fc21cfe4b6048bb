"""pandas: a DataFrame is a batch of its rows, and labels must agree, as nothing is aligned behind one's back."""

from __future__ import annotations

from typing import Any

import numpy as np

from numba_car._extras import extras_named

with extras_named(__name__):
    import pandas as pd

from numba_car import _numpy
from numba_car._layout import Array, DType
from numba_car._options import (
    WITH_OUT,
    Options,
    Rescaled,
    Solution,
    check_no_out,
    names_of,
    pair,
)
from numba_car._problem import common_shape, swept_shape

_FRAMES = pd.DataFrame, pd.Series


class _Table:
    """The labels of a call: those of x, or else of the direction; a DataFrame comes before a Series."""

    def __init__(self, options: Options, **arrays: Any) -> None:
        found = [(name, value) for name, value in arrays.items() if isinstance(value, _FRAMES)]
        found.sort(key=lambda item: isinstance(item[1], pd.Series))
        self.name, frame = found[0]
        self.labels: list[Any] = list(frame.axes)
        self.shape, self.axes = common_shape(frame.shape, frame.shape, options.axis)
        self.kept = [axis for axis in range(len(self.shape)) if axis not in self.axes]

    def elements(self, name: str, value: Any) -> Any:
        """Return the numbers of x, a direction or a bound: one for each element, or for each column of all rows."""
        if not isinstance(value, _FRAMES):
            return value
        if value.ndim > len(self.shape):
            raise TypeError(f"{name} must be a Series as {self.name} is, found a DataFrame")
        first = len(self.shape) - value.ndim  # the entries of a Series are those of a row
        self._check(name, value, list(range(first, len(self.shape))))
        return _numbers(name, value)

    def by_row(self, name: str, value: Any) -> Any:
        """Return the numbers of eps or eta, one for each row."""
        if isinstance(value, pd.DataFrame) or (
            isinstance(value, pd.Series) and len(self.kept) != 1
        ):
            raise TypeError(
                f"{name} must be a number or a Series of one per row, "
                f"found a {type(value).__name__} for {len(self.kept)} axes of rows"
            )
        if isinstance(value, pd.Series):
            self._check(name, value, self.kept)
            value = _numbers(name, value)
        if swept_shape(np.shape(value), self.shape, self.axes)[0] != self.shape:
            raise ValueError(
                f"{name} must have one number per row, found shape {np.shape(value)}: "
                f"{self.name}.to_numpy() takes a sweep"
            )
        return value

    def _check(self, name: str, value: Any, axes: list[int]) -> None:
        """Raise unless the labels of a DataFrame or Series are those of these axes."""
        words = [("index", "columns")[axis] for axis in axes]
        if not all(own.equals(self.labels[i]) for own, i in zip(value.axes, axes, strict=True)):
            where = ", ".join(f"{self.name}.{word}" for word in words)
            raise ValueError(
                f"{name} must have the labels of {self.name}, {' and '.join(words)}, in their order: "
                f".loc[{where}] selects them, and .to_numpy() goes by position"
            )

    def of_elements(self, values: Array) -> Any:
        """Return results like x with their labels."""
        make = pd.DataFrame if len(self.shape) == 2 else pd.Series
        return make(values, *self.labels, copy=False)

    def of_rows(self, name: str, values: Any) -> Any:
        """Return numbers by row under their labels, as a Series of this name; one of one row as it is."""
        if not self.kept:
            return values
        if len(self.kept) == 2:  # each element is a row
            return self.of_elements(values)
        return pd.Series(values, self.labels[self.kept[0]], name=name, copy=False)


def _numbers(name: str, value: Any) -> Array:
    """Return the values of a DataFrame or Series in the dtype that its columns promote to; NA is NaN."""
    columns = value.dtypes.items() if value.ndim == 2 else [(value.name, value.dtype)]
    dtypes: list[DType] = []
    has_extensions = False
    for column, dtype in columns:
        if not pd.api.types.is_numeric_dtype(dtype):
            raise TypeError(
                f"{name} must hold integers or floats, found dtype {dtype} in {column!r}: "
                ".astype(float) converts numbers, .select_dtypes('number') leaves other columns out"
            )
        has_extensions |= not isinstance(dtype, np.dtype)
        dtypes.append(getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype)))
    common = np.result_type(*dtypes) if dtypes else np.dtype(np.float64)
    if has_extensions and common.kind in "biu" and bool(np.any(value.isna())):
        common = np.dtype(np.float64)
    na_value = {"na_value": np.nan} if has_extensions and common.kind == "f" else {}
    found: Array = value.to_numpy(common, **na_value)
    return found


def _by_position(value: Any) -> Any:
    """Return the numbers of a DataFrame or Series, and any other value as it is."""
    return _numbers("a Series", value) if isinstance(value, _FRAMES) else value


def _apply(function: str, x: Any, delta: Any, third: Any, options: Options) -> tuple[Any, Any]:
    """Return the table of a call, None if neither x nor the direction has labels, and what `_numpy` returns."""
    of_delta, of_third = names_of(function)
    lower, upper = pair(options.bounds)
    table = None
    if isinstance(x, _FRAMES) or isinstance(delta, _FRAMES):
        table = _Table(options, **{"x": x, of_delta: delta})
        if options.keepdims and function not in (*WITH_OUT, "rescale_and_solve"):
            raise ValueError("keepdims must be False for DataFrames, found True")
        x, delta = table.elements("x", x), table.elements(of_delta, delta)
        third = table.by_row(of_third, third)
        lower = table.elements("the lower of bounds", lower)
        upper = table.elements("the upper of bounds", upper)
        shape = common_shape(np.shape(x), np.shape(delta), None, of_delta)[0]
        if shape != table.shape:
            raise ValueError(
                f"x and {of_delta} must broadcast to the shape of {table.name}, {table.shape}, "
                f"found {shape}"
            )
        options = options._replace(axis=table.axes)
    else:  # beside arrays without labels
        third, lower, upper = map(_by_position, (third, lower, upper))
    options = options._replace(bounds=(lower, upper))
    arguments = (x, delta) if function == "max_norm" else (x, delta, third)
    try:
        return table, getattr(_numpy, function)(*arguments, options)
    except ValueError as error:
        error.add_note("(an index counts rows and columns from 0, as .iloc does)")
        raise


def _reduced(function: str, *arguments: Any) -> Any:
    """Return one number a row: a Series."""
    table, values = _apply(function, *arguments)
    return table.of_rows(function, values) if table else values


def _like_x(function: str, out: Any, *arguments: Any) -> Any:
    """Return results like x: a DataFrame, or a Series where x is one row."""
    check_no_out(out, "DataFrames, which are returned")
    table, values = _apply(function, *arguments)
    return table.of_elements(values) if table else values


def eta(x: Any, delta: Any, eps: Any, options: Options) -> Any:
    """Return `numba_car.eta` of DataFrames."""
    return _reduced("eta", x, delta, eps, options)


def rescale(x: Any, delta: Any, eps: Any, options: Options, out: Any = None) -> Any:
    """Return `numba_car.rescale` of DataFrames."""
    return _like_x("rescale", out, x, delta, eps, options)


def rescale_and_solve(
    x: Any, delta: Any, eps: Any, options: Options, out: Any = None
) -> Rescaled[Any]:
    """Return `numba_car.rescale` with full output of DataFrames."""
    check_no_out(out, "DataFrames, which are returned")
    table, found = _apply("rescale_and_solve", x, delta, eps, options)
    if not table:
        return Rescaled(*found)
    facts = map(table.of_rows, Solution._fields, found[1:])
    return Rescaled(table.of_elements(found.out), *facts)


def solve(x: Any, delta: Any, eps: Any, options: Options) -> Solution[Any]:
    """Return `numba_car.solve` of DataFrames."""
    table, found = _apply("solve", x, delta, eps, options)
    return Solution(*map(table.of_rows, Solution._fields, found)) if table else found


def max_norm(x: Any, delta: Any, options: Options) -> Any:
    """Return `numba_car.max_norm` of DataFrames."""
    return _reduced("max_norm", x, delta, 0.0, options)


def norm(x: Any, delta: Any, eta: Any, options: Options) -> Any:
    """Return `numba_car.norm` of DataFrames."""
    return _reduced("norm", x, delta, eta, options)


def project(x: Any, z: Any, eps: Any, options: Options, out: Any = None) -> Any:
    """Return `numba_car.project` of DataFrames."""
    return _like_x("project", out, x, z, eps, options)


def maximize(x: Any, g: Any, eps: Any, options: Options, out: Any = None) -> Any:
    """Return `numba_car.maximize` of DataFrames."""
    return _like_x("maximize", out, x, g, eps, options)
