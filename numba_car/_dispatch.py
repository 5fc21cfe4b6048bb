"""Which array library a call is for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from numba_car._options import arrays_of
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
# What makes an array of a library of another one's.
_CONVERTERS = {
    "torch": "torch.as_tensor",
    "jax": "jax.numpy.asarray",
    "tensorflow": "tensorflow.convert_to_tensor",
    "xarray": "xarray.DataArray",
    "eagerpy": "eagerpy.astensor",
    "dask": "dask.array.from_array",
    "cuda": "numba.cuda.to_device",
}
_NAMES = arrays_of("rescale")
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


def _library_name(array: Any) -> str:
    """Return the library of an array; nothing for what goes with any."""
    array_type = type(array)
    kind = _kinds.get(array_type)
    if kind is None:
        kind = _kinds[array_type] = _kind_of(array_type)
    if kind == "dlpack":  # the type does not say where the memory is
        kind = "cuda" if exports_device_memory(array) else ""
    return kind


def _format_mixture(names: Sequence[str], arrays: Sequence[Any]) -> str:
    """Return an error message that says which array is of which library."""
    found: dict[str, list[str]] = {}
    for name, array in zip(names, arrays, strict=False):
        if kind := _library_name(array):
            found.setdefault(kind, []).append(name)
    parts = " and ".join(f"{kind}'s in {', '.join(of)}" for kind, of in found.items())
    *_, kept = sorted(found, key="numpy".__ne__)  # a framework, for what it has of its own
    converted = next(of[0] for kind, of in found.items() if kind != kept)
    cure = f": {_CONVERTERS[kept]}({converted}) converts" if kept in _CONVERTERS else ""
    return f"arrays must be of one library, found {parts}{cure}"


def library_of(*arrays: Any, names: Sequence[str] = _NAMES) -> Any:
    """Return the module with the public functions for these arrays: `_numpy`, or one of `interop`.

    Errors call the arrays by their names.
    """
    found = ""
    for array in arrays:
        kind = _kinds.get(type(array))
        if kind is None or kind == "dlpack":
            kind = _library_name(array)
        if kind and kind != found:
            if found and {found, kind} != {"numpy", "pandas"}:
                raise TypeError(_format_mixture(names, arrays))
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


def on_grid_of(library: Any) -> Any:
    """Return the function of such a module that gives results on a grid, with the facts of those results."""
    if hasattr(library, "rescale_on_grid"):
        return library.rescale_on_grid
    name = library.__name__.rpartition(".")[2]
    raise NotImplementedError(f"full_output must be False for {name}'s arrays where step is given")


def differentiator_of(*arrays: Any, names: Sequence[str]) -> Any:
    """Return the module with explicit derivatives for these arrays, which errors call by their names."""
    library = library_of(*arrays, names=names)
    if hasattr(library, "eta_vjp"):
        return library
    name = library.__name__.rpartition(".")[2]
    cure = "where a framework differentiates by itself, call eta or rescale and differentiate those"
    if name in ("pandas", "xarray"):
        cure = ".to_numpy() converts them"
    raise TypeError(f"arrays must be NumPy arrays or convert to them, found {name}'s; {cure}")
