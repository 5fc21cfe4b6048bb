"""`.npy` files, read through maps of memory, and any file that holds rows one after the other."""

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
    """Rows of a `.npy` file, of any layout and byte order."""

    held = 0

    def __init__(self, place: Place) -> None:
        self.place = place
        array = self._map()
        self.shape, self.dtype = array.shape, array.dtype

    def _map(self) -> Array:
        try:
            # Its own loader alone: unlike numpy.load it knows no pickles. Sizes must not wrap around.
            with np.errstate(over="raise"):
                return npy_format.open_memmap(self.place.path, mode="r")
        except OSError:
            raise
        except Exception as error:  # the tokenizer's, too: a header is a Python expression
            raise OfflineError(
                f"{self.place.name}: not a whole .npy file of numbers: {error}"
            ) from error

    def read(self, start: int, stop: int) -> Array:
        """Rows start to stop, as a map that is gone with the array.

        A new map for each block: the pages of an old one would count as resident for ever.
        """
        return self._map()[start:stop]


def bytes_of(array: Array) -> Array:
    """Return the bytes of an array in C order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def as_npy(values: Array) -> bytes:
    """Return what `numpy.save` would write."""
    file = BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


class FlatSink:
    """Rows to write one after the other, from an offset on.

    They are written, not mapped: a full disk is then an OSError, where a map ends in SIGBUS.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: DType) -> None:
        self._shape, self._dtype, self._offset = shape, dtype, offset
        self._row = int(np.prod(shape[1:])) * dtype.itemsize
        self._file = path.open("r+b", buffering=0)

    def write(self, start: int, block: Array) -> None:
        """Store rows from start on."""
        data = bytes_of(np.asarray(block, self._dtype)).data
        place = self._offset + start * self._row
        while data:
            written = os.pwrite(self._file.fileno(), data, place)
            data, place = data[written:], place + written

    def read(self, start: int, stop: int) -> Array:
        """Rows start to stop; fewer where the file ends before."""
        size = (stop - start) * self._row
        data = os.pread(self._file.fileno(), size, self._offset + start * self._row)
        if len(data) < size:
            raise OfflineError(f"{self._file.name}: ends before row {stop}")
        return np.frombuffer(data, self._dtype).reshape(-1, *self._shape[1:])

    def discard(self, start: int) -> None:
        """Nothing need go before it is written over."""

    def sync(self) -> None:
        """Have all of it on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def create_npy(path: Path, shape: tuple[int, ...], dtype: DType) -> None:
    """Make the file, full of holes, with the header that `numpy.save` would write."""
    header = {"shape": shape, "fortran_order": False, "descr": npy_format.dtype_to_descr(dtype)}
    with path.open("wb") as file:
        npy_format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + int(np.prod(shape)) * dtype.itemsize)


def npy_sink(path: Path) -> FlatSink:
    """Open a file of `create_npy`."""
    with path.open("rb") as file:
        npy_format.read_magic(file)
        shape, _, dtype = npy_format.read_array_header_1_0(file)
        return FlatSink(path, file.tell(), shape, dtype)
