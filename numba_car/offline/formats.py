"""Files opened by their kind: each kind has a module with a class `Source` and a class `Output`."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from numba_car._extras import extras_named
from numba_car.offline import sinks, sources
from numba_car.offline.errors import OfflineError
from numba_car.offline.places import is_url, place_of

_MODULES = {"npy": "npy", "zarr": "zarrs", "hdf5": "hdf5"}


def _module_of(kind: str) -> Any:
    """Return the module of a kind of file; its packages are imported only when they are needed."""
    with extras_named(f"a file of kind {kind}"):
        return import_module(f"numba_car.offline.{_MODULES[kind]}")


def open_source(name: str | os.PathLike[str]) -> sources.Source:
    """Return the open array of integers or floats that a file holds."""
    place = place_of(name)
    if not is_url(place.path) and not Path(place.path).exists():
        raise FileNotFoundError(2, "No such file or directory", place.path)
    source: sources.Source = _module_of(place.kind).Source(place)
    if source.dtype.kind not in "biuf":
        raise OfflineError(f"{place.name}: must hold integers or floats, found {source.dtype}")
    return source


def output_of(name: str | os.PathLike[str]) -> sinks.Output:
    """Return the output of a name; nothing is created."""
    place = place_of(name)
    output: sinks.Output = _module_of(place.kind).Output(place)
    return output
