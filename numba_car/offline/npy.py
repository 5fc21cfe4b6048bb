"""`.npy` files, read through memory maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from numba_car._layout import Array, DType
from numba_car.offline import sinks
from numba_car.offline.errors import OfflineError
from numba_car.offline.places import Place


class Source:
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


class Output(sinks.Output):
    """A `.npy` file to write, of rows in C order."""

    def create(self, shape: tuple[int, ...], dtype: DType, _: dict[str, Any]) -> None:
        """Create a sparse file with the header that `numpy.save` writes."""
        header = {"shape": shape, "fortran_order": False, "descr": npy_format.dtype_to_descr(dtype)}
        with Path(self.partial).open("wb") as file:
            npy_format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + int(np.prod(shape)) * dtype.itemsize)

    def open(self) -> sinks.FlatSink:
        """Return the array at its present path, open to write."""
        path = Path(self.where())
        with path.open("rb") as file:
            npy_format.read_magic(file)
            shape, _, dtype = npy_format.read_array_header_1_0(file)
            return sinks.FlatSink(path, file.tell(), shape, dtype)
