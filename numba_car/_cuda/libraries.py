"""The library that an array in device memory is of."""

from __future__ import annotations

from typing import Any

_KNOWN = {"numba", "torch", "cupy", "numba_car"}
_names: dict[type, str] = {}


def library_of(array: Any) -> str:
    """Return the name of the package of an array's type, or of the type that it is derived from."""
    array_type = type(array)
    if array_type not in _names:
        roots = [base.__module__.partition(".")[0] for base in array_type.__mro__]
        _names[array_type] = next((root for root in roots if root in _KNOWN), roots[0])
    return _names[array_type]
