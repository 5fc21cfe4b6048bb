"""HDF5: any dataset as an input; as an output, a file with one contiguous dataset."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from numba_car._layout import Array, DType
from numba_car.offline.errors import OfflineError
from numba_car.offline.npy import FlatSink
from numba_car.offline.places import Place


class Hdf5Source:
    """The array in a dataset."""

    def __init__(self, place: Place) -> None:
        self.place = place
        try:
            self._dataset = h5py.File(place.path, "r").get(place.dataset)
        except OSError as error:
            raise OfflineError(f"{place.name}: not a whole HDF5 file: {error}") from error
        if not isinstance(self._dataset, h5py.Dataset):
            raise OfflineError(f"{place.name}: there is no such dataset in {place.path}")
        if self._dataset.shape is None:
            raise OfflineError(f"{place.name}: is empty, without even a shape")
        self.shape, self.dtype = self._dataset.shape, self._dataset.dtype
        chunks = self._dataset.chunks
        self.held = int(np.prod(chunks)) * self.dtype.itemsize if chunks else 0

    def read(self, start: int, stop: int) -> Array:
        """Return rows start to stop."""
        return np.asarray(self._dataset[start:stop])


def create_hdf5(path: Path, dataset: str, shape: tuple[int, ...], dtype: DType) -> None:
    """Create a file with one dataset whose space is allocated.

    HDF5's own writes can leave a file that no longer opens when they are cut off. So HDF5 creates the
    file, and `FlatSink` then writes rows into the allocated space.
    """
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple(shape)
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_layout(h5py.h5d.CONTIGUOUS)
        settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        settings.set_obj_track_times(False)  # the same run is to make the same bytes
        links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        links.set_create_intermediate_group(True)
        kind = h5py.h5t.py_create(dtype, logical=True)
        h5py.h5d.create(file.id, dataset.encode(), kind, space, settings, links)


def hdf5_sink(path: Path, dataset: str) -> FlatSink:
    """Return the open array in a dataset that `create_hdf5` created."""
    with h5py.File(path, "r") as file:
        found = file[dataset]
        offset = found.id.get_offset()
        return FlatSink(path, offset or 0, found.shape, found.dtype)


def other_datasets(path: Path, dataset: str) -> list[str]:
    """Return the names of all other datasets in a file; none where there is no HDF5 file."""
    names: list[str] = []
    if not path.exists():
        return names
    try:
        with h5py.File(path, "r") as file:
            file.visititems(
                lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
            )
    except OSError:
        return []
    return [name for name in names if name != dataset.strip("/")]
