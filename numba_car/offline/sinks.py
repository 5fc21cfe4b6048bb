"""Output files: created in the folder of a run's state, and renamed once they are complete."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from numba_car._layout import Array, DType
from numba_car.offline.errors import OfflineError
from numba_car.offline.files import rename, sync_folder
from numba_car.offline.places import Place, is_url

ATTRIBUTE = "numba_car"  # of an array, where its format has attributes: the run that wrote it


class Output(ABC):
    """An output file, incomplete or complete. The state of a URL is in the current folder."""

    is_compressed = False

    def __init__(self, place: Place) -> None:
        self.place, self.final = place, place.path.rstrip("/")
        partial, self.is_url = f"{self.final}.partial", is_url(self.final)
        self.folder = Path(partial.rpartition("/")[2] if self.is_url else partial)  # of the state
        inside = str(self.folder / f"data{Path(self.final).suffix}")
        self.partial = partial if self.is_url else inside

    @abstractmethod
    def create(self, shape: tuple[int, ...], dtype: DType, provenance: dict[str, Any]) -> None:
        """Create the partial file, with no rows written, and with the run's settings and inputs if it can."""

    @abstractmethod
    def open(self) -> Any:
        """Return the array at its present path, open to write: a `FlatSink` or one with its methods."""

    def grain(self, shape: tuple[int, ...], dtype: DType) -> int:  # noqa: ARG002
        """Return how many rows must be written together; 1 if any number may be."""
        return 1

    def exists(self) -> bool:
        """Return whether there is an array of the final name."""
        return self._exists(self.final)

    def check(self) -> None:  # noqa: B027 - nothing stands in the way of most kinds
        """Raise OfflineError if something stands in the way that `force` does not replace."""

    def is_in(self, path: str) -> bool:
        """Return whether the output will be in the file of that path."""
        return os.path.realpath(path) == os.path.realpath(self.final)

    def bytes_to_publish(self, size: int) -> int:  # noqa: ARG002
        """Return how many bytes an output of that size takes for a moment when it gets its name."""
        return 0

    def remove_partial(self) -> None:  # noqa: B027 - all of it is in the folder
        """Delete what there is of the output outside the folder of the state."""

    def where(self) -> str:
        """Return the present path or URL: the partial or the final one."""
        return self.partial if self._exists(self.partial) else self.final

    def publish(self) -> None:
        """Give the file its final name, unless it has that."""
        if self._exists(self.partial):
            self._move()

    def _exists(self, path: str) -> bool:
        """Return whether there is something at a path."""
        return Path(path).exists()

    def _move(self) -> None:
        """Rename the partial file to its final name."""
        rename(Path(self.partial), Path(self.final))
        sync_folder(Path(self.final).absolute().parent)


def bytes_of(array: Array) -> Array:
    """Return the bytes of an array in C order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class FlatSink:
    """An array at an offset in a file, in C order, written and read by rows.

    Rows are not written through a memory map: on a full disk that ends in SIGBUS, and not in OSError.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: DType) -> None:
        self._shape, self._dtype, self._offset = shape, dtype, offset
        self._row = int(np.prod(shape[1:])) * dtype.itemsize
        self._file = path.open("r+b", buffering=0)
        self._lock = threading.Lock()  # of the position: Windows has no pwrite

    def write(self, start: int, block: Array) -> None:
        """Write rows, the first of which has the index start."""
        data = bytes_of(np.asarray(block, self._dtype)).data
        with self._lock:
            self._file.seek(self._offset + start * self._row)
            while data:
                data = data[self._file.write(data) :]

    def read(self, start: int, stop: int) -> Array:
        """Return rows start to stop, or raise OfflineError where the file ends before."""
        block = np.empty((stop - start, *self._shape[1:]), self._dtype)
        left = bytes_of(block).data
        with self._lock:
            self._file.seek(self._offset + start * self._row)
            while left:
                count = self._file.readinto(left)
                if not count:
                    raise OfflineError(f"{self._file.name}: ends before row {stop}")
                left = left[count:]
        return block

    def discard(self, start: int) -> None:
        """Do nothing: rows that are not whole are overwritten."""

    def sync(self) -> None:
        """Wait until all rows are on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
