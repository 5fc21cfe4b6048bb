"""How kernels see their arguments: a batch is (flat array, stride between rows), or one number.

An element is read in the precision asked for, a bound that is one number as if it were an array.
"""

import numpy as np
from numba import types

from numba_car._jit import formula, overload, rows


def row_of(batch, index, n):
    """Return row `index` of a batch, contiguous; a number unchanged."""
    return batch[0][index * batch[1] : index * batch[1] + n] if isinstance(batch, tuple) else batch


def part(values, start, stop):
    """Return values[start:stop]; a number unchanged."""
    return values[start:stop] if isinstance(values, np.ndarray) else values


def at(values, index):
    """Return values[index]; a number unchanged."""
    return values[index] if isinstance(values, np.ndarray) else values


def store(values, index, value):
    """Store value in values[index]; do nothing if `values` is one number."""
    if isinstance(values, np.ndarray):
        values[index] = value


@overload(store)
def _store(values, index, value):
    if not isinstance(values, types.Array):
        return lambda values, index, value: None

    def implementation(values, index, value):
        values[index] = value

    return implementation


def size_of(values, default):
    """Return the number of elements; `default` for one number."""
    return values.size if isinstance(values, np.ndarray) else default


@overload(size_of)
def _size_of(values, default):
    if isinstance(values, types.Array):
        return lambda values, default: values.size
    return lambda values, default: default


@overload(row_of)
def _row_of(batch, index, n):
    if isinstance(batch, types.BaseTuple):
        return lambda batch, index, n: batch[0][index * batch[1] : index * batch[1] + n]
    return lambda batch, index, n: batch


@overload(part)
def _part(values, start, stop):
    if isinstance(values, types.Array):
        return lambda values, start, stop: values[start:stop]
    return lambda values, start, stop: values


@overload(at)
def _at(values, index):
    if isinstance(values, types.Array):
        return lambda values, index: values[index]
    return lambda values, index: values


@rows
def store_all(outputs, index, of_x, of_delta, of_lower, of_upper):
    """Store one value for each of x, delta, lower and upper, where `outputs` has arrays for them."""
    out_x, out_delta, out_lower, out_upper = outputs
    store(out_x, index, of_x)
    store(out_delta, index, of_delta)
    store(out_lower, index, of_lower)
    store(out_upper, index, of_upper)


@formula
def rows_of(x, delta, lower, upper, index, n):
    """Return row `index` of x, delta, lower and upper."""
    return (
        row_of(x, index, n),
        row_of(delta, index, n),
        row_of(lower, index, n),
        row_of(upper, index, n),
    )


@formula
def parts_of(row, start, stop):
    """Return elements start to stop of x, delta, lower and upper of a row."""
    x, delta, lower, upper = row
    return (
        part(x, start, stop),
        part(delta, start, stop),
        part(lower, start, stop),
        part(upper, start, stop),
    )


@formula
def element(row, index, dtype):
    """Return x, delta, lower and upper of one element, in the type `dtype`."""
    x, delta, lower, upper = row
    return dtype(x[index]), dtype(delta[index]), dtype(at(lower, index)), dtype(at(upper, index))


@formula
def is_even(row):
    """Return whether all arrays of a row are of one length."""
    x, delta, lower, upper = row
    n = x.size
    return delta.size == n and size_of(lower, n) == n and size_of(upper, n) == n
