"""Zarr version 3: arrays in folders or at URLs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from numba_car._layout import Array
from numba_car.offline.errors import OfflineError
from numba_car.offline.job import Work
from numba_car.offline.manifest import sync_folder
from numba_car.offline.places import Place, is_url

_CHUNK, _SHARD = 2**20, 16 * 2**20  # bytes, or one row where that is more


class ZarrSource:
    """Rows of an array."""

    def __init__(self, place: Place) -> None:
        self.place = place
        try:
            self._array = zarr.open_array(place.path, mode="r", zarr_format=3)
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            raise OfflineError(f"{place.name}: not an array of Zarr version 3: {error}") from error
        self.shape, self.dtype = self._array.shape, np.dtype(self._array.dtype)
        self.held = int(np.prod(self._array.chunks)) * self.dtype.itemsize

    def read(self, start: int, stop: int) -> Array:
        """Rows start to stop."""
        return np.asarray(self._array[start:stop])


class ZarrSink:
    """Whole shards to write to: no two writers may share one."""

    def __init__(self, path: str) -> None:
        try:
            self._path, self._array = path, zarr.open_array(path, mode="r+", zarr_format=3)
            self._rows = self._array.shards[0]
        except Exception as error:  # what is left in its metadata, zarr refuses in many ways
            raise OfflineError(f"{path}: damaged; start again with force") from error

    def write(self, start: int, block: Array) -> None:
        """Store rows from start on."""
        self._array[start : start + len(block)] = block

    def read(self, start: int, stop: int) -> Array:
        """Rows start to stop."""
        return np.asarray(self._array[start:stop])

    def discard(self, start: int) -> None:
        """Delete the shard that starts there: before Zarr writes to one, it reads what is left of it."""
        place = f"c/{start // self._rows}" + "/0" * (self._array.ndim - 1)
        if not is_url(self._path):
            Path(self._path, place).unlink(missing_ok=True)
            return
        fs, root = _filesystem(self._path)
        if fs.exists(f"{root}/{place}"):
            fs.rm(f"{root}/{place}")

    def sync(self) -> None:
        """Have all of it on the disk, if it is on one of this machine."""
        if is_url(self._path):
            return
        for folder, _, files in os.walk(self._path):
            for name in files:
                with Path(folder, name).open("rb") as file:
                    os.fsync(file.fileno())
            sync_folder(Path(folder))

    def close(self) -> None:
        """Nothing is held."""


def _layout(work: Work) -> tuple[int, int]:
    """Rows of a chunk and of a shard, which depend on the shape alone."""
    chunk = max(1, min(_CHUNK // work.row_bytes, work.count))
    most = -(-work.count // chunk)  # chunks, in all rows
    return chunk, chunk * max(1, min(_SHARD // (work.row_bytes * chunk), most))


class ZarrOutput:
    """An array in a folder, or at a URL; the state of a URL's is in the current folder."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._final = place.path.rstrip("/")
        partial = f"{self._final}.partial"
        self._is_url = is_url(self._final)
        self.folder = Path(partial.rpartition("/")[2] if self._is_url else partial)
        self.partial = partial if self._is_url else str(self.folder / "data.zarr")

    def exists(self) -> bool:
        """Whether there is something under the final name."""
        return _exists(self._final)

    def grain(self, work: Work) -> int:
        """How many rows must be written at once: those of a shard."""
        return _layout(work)[1]

    def create(self, work: Work) -> None:
        """Make it in the state's folder, or beside the URL, with no chunks."""
        chunk, shard = _layout(work)
        row = work.x.shape[1:]
        zarr.create_array(
            self.partial,
            shape=work.x.shape,
            chunks=(chunk, *row),
            shards=(shard, *row),
            dtype=work.out_dtype,
            overwrite=True,
        )

    def where(self) -> str:
        """Tell where it is by now."""
        return self.partial if _exists(self.partial) else self._final

    def open(self) -> ZarrSink:
        """Open it to write, wherever it is by now."""
        return ZarrSink(self.where())

    def publish(self) -> None:
        """Give it its final name, unless it has that."""
        if not _exists(self.partial):
            return
        if self._is_url:
            _move_url(self.partial, self._final)
            return
        final, old = Path(self._final), self.folder / "old"
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        Path(self.partial).rename(final)
        sync_folder(final.absolute().parent)


def _exists(path: str) -> bool:
    if not is_url(path):
        return Path(path).exists()
    fs, name = _filesystem(path)
    return bool(fs.exists(f"{name}/zarr.json"))


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        fs, name = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:  # what an unknown or uninstalled protocol raises
        raise OfflineError(f"{url}: {error}") from error
    return fs, name.rstrip("/")


def _move_url(before: str, after: str) -> None:
    """Move object by object, the array's metadata last: until then there is no array to be found."""
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
