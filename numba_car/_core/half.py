"""Arrays of float16 and bfloat16 to float32 and back: NumPy takes some ten times as long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numba_car._core import bfloat16, float16
from numba_car._jit import kernel


@kernel
def _widen_float16(bits, out):
    for i in range(out.size):
        out[i] = float16.widen(bits[i])


@kernel
def _narrow_float16(values, out):
    for i in range(out.size):
        out[i] = float16.narrow(values[i])


@kernel
def _widen_bfloat16(bits, out):
    for i in range(out.size):
        out[i] = bfloat16.widen(bits[i])


@kernel
def _narrow_bfloat16(values, out):
    for i in range(out.size):
        out[i] = bfloat16.narrow(values[i])


_WIDEN: dict[str, Callable[..., None]] = {"float16": _widen_float16, "bfloat16": _widen_bfloat16}
_NARROW: dict[str, Callable[..., None]] = {"float16": _narrow_float16, "bfloat16": _narrow_bfloat16}


def widen(array: Any, out: Any) -> Any:
    """Store the elements of a float16 or bfloat16 array, in C order, in a flat float32 array, and return that."""
    bits = np.array(array, order="C", copy=None if array.flags.writeable else True)
    _WIDEN[array.dtype.name](bits.view(np.uint16).reshape(-1), out)
    return out


def narrow(values: Any, dtype: Any) -> Any:
    """Return a flat float32 array as float16 or bfloat16, rounded to nearest."""
    found = np.empty(values.size, dtype)
    narrow_to(found, values)
    return found


def narrow_to(array: Any, values: Any) -> bool:
    """Store a flat float32 array in a float16 or bfloat16 array if its memory is contiguous; return whether it is."""
    if not array.flags.c_contiguous:
        return False
    _NARROW[array.dtype.name](values, array.view(np.uint16).reshape(-1))
    return True
