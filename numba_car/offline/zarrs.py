"""Zarr version 3: arrays in folders or at URLs."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from numba_car._layout import Array, DType
from numba_car.offline import sinks
from numba_car.offline.errors import OfflineError
from numba_car.offline.files import rename, sync_folder
from numba_car.offline.places import Place, is_url
from numba_car.offline.sinks import ATTRIBUTE

_CHUNK, _SHARD = 2**20, 16 * 2**20  # bytes, or one row where that is more


class Source:
    """An array in a folder or at a URL."""

    def __init__(self, place: Place) -> None:
        self.place = place
        try:
            self._array = zarr.open_array(place.path, mode="r", zarr_format=3)
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            raise OfflineError(f"{place.name}: not an array of Zarr version 3: {error}") from error
        self.shape, self.dtype = self._array.shape, np.dtype(self._array.dtype)
        self.held = int(np.prod(self._array.chunks)) * self.dtype.itemsize

    def read(self, start: int, stop: int) -> Array:
        """Return rows start to stop."""
        return np.asarray(self._array[start:stop])


class ZarrSink:
    """An array to write whole shards to: two writers must not share a shard."""

    def __init__(self, path: str) -> None:
        try:
            self._path, self._array = path, zarr.open_array(path, mode="r+", zarr_format=3)
            self._rows = self._array.shards[0]
        except Exception as error:  # zarr refuses damaged metadata with many classes
            raise OfflineError(f"{path}: damaged; force=True starts again") from error

    def write(self, start: int, block: Array) -> None:
        """Write rows, the first of which has the index start."""
        self._array[start : start + len(block)] = block

    def read(self, start: int, stop: int) -> Array:
        """Return rows start to stop."""
        return np.asarray(self._array[start:stop])

    def discard(self, start: int) -> None:
        """Delete the shard that begins at a row: Zarr reads what is left of a shard before it writes."""
        place = f"c/{start // self._rows}" + "/0" * (self._array.ndim - 1)
        if not is_url(self._path):
            Path(self._path, place).unlink(missing_ok=True)
            return
        fs, root = _filesystem(self._path)
        if fs.exists(f"{root}/{place}"):
            fs.rm(f"{root}/{place}")

    def sync(self) -> None:
        """Wait until all shards are on the disk, if the array is in a folder."""
        if is_url(self._path):
            return
        for folder, _, files in os.walk(self._path):
            for name in files:
                with Path(folder, name).open("rb") as file:
                    os.fsync(file.fileno())
            sync_folder(Path(folder))

    def close(self) -> None:
        """Do nothing: no file is kept open."""


def _layout(shape: tuple[int, ...], dtype: DType) -> tuple[int, int]:
    """Return the rows of a chunk and of a shard: a function of shape and dtype alone."""
    count, row_bytes = shape[0], math.prod(shape[1:]) * dtype.itemsize
    chunk = max(1, min(_CHUNK // row_bytes, count))
    most = -(-count // chunk)  # chunks, in all rows
    return chunk, chunk * max(1, min(_SHARD // (row_bytes * chunk), most))


class Output(sinks.Output):
    """An array to write, in a folder or at a URL."""

    is_compressed = True

    def grain(self, shape: tuple[int, ...], dtype: DType) -> int:
        """Return the rows of a shard, which must be written together."""
        return _layout(shape, dtype)[1]

    def create(self, shape: tuple[int, ...], dtype: DType, provenance: dict[str, Any]) -> None:
        """Create the array without chunks, in the state's folder or next to the URL."""
        chunk, shard = ((rows, *shape[1:]) for rows in _layout(shape, dtype))
        layout = {"shape": shape, "chunks": chunk, "shards": shard, "dtype": dtype}
        attributes = {ATTRIBUTE: provenance}
        zarr.create_array(self.partial, **layout, attributes=attributes, overwrite=True)

    def open(self) -> ZarrSink:
        """Return the array at its present path or URL, open to write."""
        return ZarrSink(self.where())

    def remove_partial(self) -> None:
        """Delete the array next to the URL, which is not in the state's folder."""
        if self.is_url and self._exists(self.partial):
            fs, name = _filesystem(self.partial)
            fs.rm(name, recursive=True)

    def _exists(self, path: str) -> bool:
        """Return whether there is a folder of that path, or the metadata of an array at that URL."""
        if not self.is_url:
            return super()._exists(path)
        fs, name = _filesystem(path)
        return bool(fs.exists(f"{name}/zarr.json"))

    def _move(self) -> None:
        """Move the array to its final name, and an array that it replaces to the state's folder."""
        if self.is_url:
            _move_url(self.partial, self.final)
            return
        old = self.folder / "old"
        if self.exists():
            shutil.rmtree(old, ignore_errors=True)
            rename(Path(self.final), old)
        super()._move()


def _filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in that file system."""
    import fsspec

    try:
        fs, name = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:  # what an unknown or uninstalled protocol raises
        raise OfflineError(f"{url}: {error}") from error
    return fs, name.rstrip("/")


def _move_url(before: str, after: str) -> None:
    """Move an array object by object, its metadata last: before that, readers find no array."""
    fs, old = _filesystem(before)
    _, new = _filesystem(after)
    if fs.exists(new):
        fs.rm(new, recursive=True)
    names = [name for name in fs.find(old) if not name.endswith("/zarr.json")]
    for name in [*names, f"{old}/zarr.json"]:
        target = new + name[len(old) :]
        fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        fs.mv(name, target)
    if fs.exists(old):
        fs.rm(old, recursive=True)
