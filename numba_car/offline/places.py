"""Where data is: a file or a URL, its kind told by its name."""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from numba_car._layout import Array, DType
from numba_car.offline.errors import OfflineError

_HDF5 = (".h5:", ".hdf5:")
_SAMPLED_ROWS = 16
_SMALL = 2**20  # bytes


class Place(NamedTuple):
    """A name taken apart."""

    name: str
    kind: str  # npy, zarr or hdf5
    path: str  # a file, a folder or a URL
    dataset: str = ""  # inside an HDF5 file


def is_url(path: str) -> bool:
    """Whether it lies beyond the file system."""
    return "://" in path


class Source(Protocol):
    """Rows to read."""

    place: Place
    shape: tuple[int, ...]
    dtype: DType
    held: int  # bytes that reading takes beyond the rows asked for

    def read(self, start: int, stop: int) -> Array:
        """Rows start to stop."""


def place_of(name: str | os.PathLike[str]) -> Place:
    """Tell what a name means: `a.npy`, `a.zarr` or any URL, `a.h5:/dataset`."""
    text = os.fspath(name)
    if not isinstance(text, str):
        raise TypeError(f"a file must be named by a string or a path, found {name!r}")
    path = text.removeprefix("file://")
    if is_url(path) or path.rstrip("/").endswith(".zarr"):
        return Place(text, "zarr", path)
    for ending in _HDF5:
        file, found, dataset = path.rpartition(ending)
        if found and dataset.strip("/"):
            return Place(text, "hdf5", file + ending[:-1], dataset)
    if path.endswith(".npy"):
        return Place(text, "npy", path)
    raise ValueError(
        f"a file must end in .npy, .zarr or .h5:/dataset, or be the URL of a Zarr array, found {text!r}"
    )


def open_source(name: str | os.PathLike[str]) -> Source:
    """Open what is to be read; refuse all but real numbers."""
    place = place_of(name)
    if not is_url(place.path) and not Path(place.path).exists():
        raise FileNotFoundError(2, "No such file or directory", place.path)
    source: Source
    if place.kind == "npy":
        from numba_car.offline.npy import NpySource

        source = NpySource(place)
    elif place.kind == "zarr":
        from numba_car.offline.zarrs import ZarrSource

        source = ZarrSource(place)
    else:
        from numba_car.offline.hdf5 import Hdf5Source

        source = Hdf5Source(place)
    if source.dtype.kind not in "biuf":
        raise OfflineError(f"{place.name}: must hold integers or floats, found {source.dtype}")
    return source


def shape_error(source: Source, rule: str) -> OfflineError:
    """Say which rule a shape breaks."""
    return OfflineError(f"{source.place.name}: {rule}, found shape {source.shape}")


def identity(source: Source) -> dict[str, Any]:
    """Tell a source from a changed one: by shape, dtype, size, time of change and a sample of rows.

    The sample is the CRC-32 of all rows of a small file, and of a larger one of rows at even distances,
    the first and the last among them: the size and the time say little of a folder, and nothing of a
    URL.
    """
    count = source.shape[0]
    found: dict[str, Any] = {"shape": list(source.shape), "dtype": source.dtype.str}
    if source.place.kind != "zarr":
        state = Path(source.place.path).stat()
        found |= {"size": state.st_size, "modified_ns": state.st_mtime_ns}
    pieces = [(0, count)]
    if math.prod(source.shape) * source.dtype.itemsize > _SMALL:
        rows = np.unique(np.linspace(0, count - 1, _SAMPLED_ROWS).astype(int)).tolist()
        pieces = [(row, row + 1) for row in rows]
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(np.ascontiguousarray(source.read(*piece)).data, crc)
    return found | {"sample_crc32": crc}
