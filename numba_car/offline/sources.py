"""What an input file offers, and what tells it from a changed one."""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from numba_car._layout import Array, DType
from numba_car.offline.errors import OfflineError
from numba_car.offline.places import Place

_SAMPLED_ROWS = 16
_SMALL = 2**20  # bytes


class Source(Protocol):
    """An array in a file, read by rows."""

    place: Place
    shape: tuple[int, ...]
    dtype: DType
    held: int  # bytes that reading takes in addition to the rows asked for

    def read(self, start: int, stop: int) -> Array:
        """Return rows start to stop."""


def shape_error(source: Source, rule: str) -> OfflineError:
    """Return the error for a shape that breaks a rule."""
    return OfflineError(f"{source.place.name}: {rule}, found shape {source.shape}")


def file_identity(path: str | os.PathLike[str]) -> dict[str, int]:
    """Return the size and the time of change of a file."""
    state = Path(path).stat()
    return {"size": state.st_size, "modified_ns": state.st_mtime_ns}


def identity(source: Source, *, with_file: bool = True) -> dict[str, Any]:
    """Return shape, dtype, size, time of change and CRC-32: they differ once the array is changed.

    The CRC-32 is that of all rows up to 1 MiB, and above that of 16 rows at even distances, the first
    and the last among them. A Zarr array has no size or time of change, which a folder has only of its
    own entries and a URL not at all; nor has any array without `with_file`.
    """
    count = source.shape[0]
    found: dict[str, Any] = {"shape": list(source.shape), "dtype": source.dtype.str}
    if with_file and source.place.kind != "zarr":
        found |= file_identity(source.place.path)
    pieces = [(0, count)]
    if math.prod(source.shape) * source.dtype.itemsize > _SMALL:
        rows = np.unique(np.linspace(0, count - 1, _SAMPLED_ROWS).astype(int)).tolist()
        pieces = [(row, row + 1) for row in rows]
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(np.ascontiguousarray(source.read(*piece)).data, crc)
    return found | {"sample_crc32": crc}
