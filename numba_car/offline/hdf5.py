"""HDF5: any dataset as an input; as an output, a file with one contiguous dataset."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from numba_car._layout import Array, DType
from numba_car.offline import sinks
from numba_car.offline.errors import OfflineError
from numba_car.offline.places import Place


class Source:
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


class Output(sinks.Output):
    """A file to write, with one contiguous dataset.

    HDF5's own writes can leave a file that no longer opens when they are cut off. So HDF5 creates the
    file and allocates the space, into which `FlatSink` then writes the rows.
    """

    def create(self, shape: tuple[int, ...], dtype: DType) -> None:
        """Create the file, unless other datasets would be lost with the file that it replaces."""
        if others := _other_datasets(Path(self.final), self.place.dataset):
            what = f"there are other datasets in it, {', '.join(others)}"
            raise OfflineError(f"{self.place.path}: {what}: it is not replaced")
        with h5py.File(self.partial, "w") as file:
            space = h5py.h5s.create_simple(shape)
            settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            settings.set_layout(h5py.h5d.CONTIGUOUS)
            settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            settings.set_obj_track_times(False)  # the same run is to make the same bytes
            links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
            links.set_create_intermediate_group(True)
            kind = h5py.h5t.py_create(dtype, logical=True)
            h5py.h5d.create(file.id, self.place.dataset.encode(), kind, space, settings, links)

    def open(self) -> sinks.FlatSink:
        """Return the dataset at its present path, open to write."""
        path = Path(self.where())
        with h5py.File(path, "r") as file:
            found = file[self.place.dataset]
            return sinks.FlatSink(path, found.id.get_offset() or 0, found.shape, found.dtype)


def _other_datasets(path: Path, dataset: str) -> list[str]:
    """Return the names of all other datasets in a file; none where there is no HDF5 file."""
    names: list[str] = []
    with suppress(OSError), h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
    return [name for name in names if name != dataset.strip("/")]
