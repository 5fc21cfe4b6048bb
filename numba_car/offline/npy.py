"""`.npy` files, read through memory maps; and the writer of rows at fixed offsets in any file."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from numba_car._layout import Array, DType
from numba_car.offline.errors import OfflineError
from numba_car.offline.places import Place


class NpySource:
    """The array in a `.npy` file, of any layout and byte order."""

    held = 0

    def __init__(self, place: Place) -> None:
        self.place = place
        array = self._map()
        self.shape, self.dtype = array.shape, array.dtype

    def _map(self) -> Array:
        """Return a memory map of the array, or raise OfflineError."""
        try:
            # Unlike numpy.load, this loads no pickles. Sizes in the header must not wrap around.
            with np.errstate(over="raise"):
                return npy_format.open_memmap(self.place.path, mode="r")
        except OSError:
            raise
        except Exception as error:  # the header is a Python expression, which fails in many ways
            raise OfflineError(
                f"{self.place.name}: not a whole .npy file of numbers: {error}"
            ) from error

    def read(self, start: int, stop: int) -> Array:
        """Return rows start to stop of a new map: pages of a kept map would stay resident."""
        return self._map()[start:stop]


def bytes_of(array: Array) -> Array:
    """Return the bytes of an array in C order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def as_npy(values: Array) -> bytes:
    """Return the bytes of a `.npy` file."""
    file = BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


class FlatSink:
    """An array at an offset in a file, in C order, written and read by rows.

    Rows are not written through a memory map: on a full disk that ends in SIGBUS, and not in OSError.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: DType) -> None:
        self._shape, self._dtype, self._offset = shape, dtype, offset
        self._row = int(np.prod(shape[1:])) * dtype.itemsize
        self._file = path.open("r+b", buffering=0)

    def write(self, start: int, block: Array) -> None:
        """Write rows, the first of which has the index start."""
        data = bytes_of(np.asarray(block, self._dtype)).data
        place = self._offset + start * self._row
        while data:
            written = os.pwrite(self._file.fileno(), data, place)
            data, place = data[written:], place + written

    def read(self, start: int, stop: int) -> Array:
        """Return rows start to stop, or raise OfflineError where the file ends before."""
        size = (stop - start) * self._row
        data = os.pread(self._file.fileno(), size, self._offset + start * self._row)
        if len(data) < size:
            raise OfflineError(f"{self._file.name}: ends before row {stop}")
        return np.frombuffer(data, self._dtype).reshape(-1, *self._shape[1:])

    def discard(self, start: int) -> None:
        """Do nothing: rows that are not whole are overwritten."""

    def sync(self) -> None:
        """Wait until all rows are on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def create_npy(path: Path, shape: tuple[int, ...], dtype: DType) -> None:
    """Create a sparse file with the header that `numpy.save` writes."""
    header = {"shape": shape, "fortran_order": False, "descr": npy_format.dtype_to_descr(dtype)}
    with path.open("wb") as file:
        npy_format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + int(np.prod(shape)) * dtype.itemsize)


def npy_sink(path: Path) -> FlatSink:
    """Return the open array in a file that `create_npy` created."""
    with path.open("rb") as file:
        npy_format.read_magic(file)
        shape, _, dtype = npy_format.read_array_header_1_0(file)
        return FlatSink(path, file.tell(), shape, dtype)
