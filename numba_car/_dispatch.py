"""Which array library and which device a call is for."""

from __future__ import annotations

from types import ModuleType
from typing import Any

_UNSUPPORTED = ("torch", "jax", "jaxlib", "tensorflow", "cupy", "eagerpy", "dask", "xarray")


def _check_library(arrays: tuple[Any, ...]) -> None:
    for array in arrays:
        library = type(array).__module__.partition(".")[0]
        if library in _UNSUPPORTED:
            raise TypeError(
                f"arrays must be NumPy arrays or convert to them, found a {library} array; "
                "convert it first, with numpy.asarray(...)"
            )


def solver_for(*arrays: Any) -> ModuleType:
    """Return the module that solves problems of these arrays; numba is imported here at the latest."""
    _check_library(arrays)
    from numba_car._cpu import solver

    return solver


def gradients_for(*arrays: Any) -> ModuleType:
    """Return the module that differentiates problems of these arrays."""
    _check_library(arrays)
    from numba_car._cpu import gradients

    return gradients
