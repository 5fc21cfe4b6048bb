"""Which array library a call is for."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

import numpy as np

from numba_car._problem import exports_device_memory

# The module in `interop` for each library, by the first part of its types' module.
_INTEROP = {
    "torch": "torch",
    "jax": "jax",
    "jaxlib": "jax",
    "tensorflow": "tensorflow",
    "xarray": "xarray",
    "eagerpy": "eagerpy",
    "dask": "dask",
    "pandas": "pandas",
    "cupy": "cuda",
}
# What is known of types: their library, or nothing for numbers, sequences and None, which go with any.
_kinds: dict[type, str] = {
    **dict.fromkeys((bool, int, float, list, tuple, type(None), np.float32, np.float64), ""),
    np.ndarray: "numpy",
}


def _root_of(array_type: type) -> str:
    return array_type.__module__.partition(".")[0]


def _kind_of(array_type: type) -> str:
    # torch.compile cannot follow the loop over base classes, and need not, for torch's own types.
    roots = [_root_of(array_type)]
    if roots[0] not in _INTEROP:
        roots = [_root_of(base) for base in array_type.__mro__]
    for root in roots:
        if root in _INTEROP:
            return _INTEROP[root]
    in_simulator = array_type.__module__.startswith("numba.cuda")  # without such an interface
    if hasattr(array_type, "__cuda_array_interface__") or in_simulator:
        return "cuda"
    if issubclass(array_type, np.ndarray):
        return "numpy"
    return "dlpack" if hasattr(array_type, "__dlpack_device__") else ""


@functools.cache
def _for_numpy() -> Any:
    from numba_car import _numpy  # which imports numba

    return _numpy


def library_of(*arrays: Any) -> Any:
    """Return the module with the public functions for these arrays: `_numpy`, or one of `interop`."""
    found = ""
    for array in arrays:
        array_type = type(array)
        kind = _kinds.get(array_type)
        if kind is None:
            kind = _kinds[array_type] = _kind_of(array_type)
        if kind == "dlpack":  # the type does not say where the memory is
            kind = "cuda" if exports_device_memory(array) else ""
        if kind and kind != found:
            if found and {found, kind} != {"numpy", "pandas"}:
                raise TypeError(f"arrays must be of one library, found {found} and {kind}")
            found = "pandas" if found == "pandas" else kind
    # torch.compile and AutoGraph follow these statements, but no function that imports.
    if not found or found == "numpy":
        return _for_numpy()
    if found == "torch":
        from numba_car.interop import torch

        return torch
    if found == "tensorflow":
        from numba_car.interop import tensorflow

        return tensorflow
    name = "backend_cuda" if found == "cuda" else found
    return import_module(f"numba_car.interop.{name}")


def differentiator_of(*arrays: Any) -> Any:
    """Return the module with explicit derivatives for these arrays."""
    library = library_of(*arrays)
    if hasattr(library, "eta_vjp"):
        return library
    name = library.__name__.rpartition(".")[2]
    raise TypeError(
        f"arrays must be NumPy arrays or convert to them, found {name}'s; where a framework "
        "differentiates by itself, call eta or rescale and differentiate those"
    )
