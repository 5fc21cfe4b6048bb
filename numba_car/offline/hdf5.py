"""HDF5: any dataset as an input; as an output, one contiguous dataset in a file that may have others."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from numba_car._layout import Array, DType
from numba_car.offline import sinks
from numba_car.offline.errors import OfflineError
from numba_car.offline.files import rename, sync_folder
from numba_car.offline.places import Place
from numba_car.offline.sources import file_identity


class Source:
    """The array in a dataset."""

    def __init__(self, place: Place) -> None:
        self.place = place
        try:
            with h5py.File(place.path, "r") as file:
                self._look_at(file.get(place.dataset))
        except OSError as error:
            raise OfflineError(f"{place.name}: not a whole HDF5 file: {error}") from error

    def _look_at(self, dataset: Any) -> None:
        """Take over what there is to know of a dataset, or raise OfflineError."""
        if not isinstance(dataset, h5py.Dataset):
            raise OfflineError(f"{self.place.name}: there is no such dataset in {self.place.path}")
        if dataset.shape is None:
            raise OfflineError(f"{self.place.name}: is empty, without even a shape")
        self.shape, self.dtype, chunks = dataset.shape, dataset.dtype, dataset.chunks
        self.held = int(np.prod(chunks)) * self.dtype.itemsize if chunks else 0

    def read(self, start: int, stop: int) -> Array:
        """Return rows start to stop. In between the file is closed: the output may be in it, too."""
        with h5py.File(self.place.path, "r") as file:
            return np.asarray(file[self.place.dataset][start:stop])


class Output(sinks.Output):
    """A contiguous dataset to write.

    HDF5's own writes can leave a file that no longer opens when they are cut off. So HDF5 creates a file
    with the dataset and allocates the space, into which `FlatSink` then writes the rows. In the end that
    file gets the name of the output, or is copied into a copy of the file that has other datasets.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._name = place.dataset.strip("/")

    def create(self, shape: tuple[int, ...], dtype: DType, provenance: dict[str, Any]) -> None:
        """Create the file."""
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
            h5py.h5d.create(file.id, self._name.encode(), kind, space, settings, links)
            file[self._name].attrs[sinks.ATTRIBUTE] = json.dumps(provenance)

    def open(self) -> sinks.FlatSink:
        """Return the dataset at its present path, open to write."""
        path = Path(self.where())
        with h5py.File(path, "r") as file:
            found = file[self._name]
            return sinks.FlatSink(path, found.id.get_offset() or 0, found.shape, found.dtype)

    def check(self) -> None:
        """Raise OfflineError if a group or a dataset of the file is where the other must be."""
        with _opened(self.final) as file:
            if file is None:
                return
            parts = self._name.split("/")
            for name in ("/".join(parts[:depth]) for depth in range(1, len(parts))):
                if isinstance(file.get(name), h5py.Dataset):
                    raise OfflineError(f"{self.place.name}: {name} is a dataset, not a group")
            if isinstance(file.get(self._name), h5py.Group):
                raise OfflineError(f"{self.place.name}: is a group, not a dataset")

    def bytes_to_publish(self, size: int) -> int:
        """Return how many bytes a copy of a file with other datasets takes."""
        return Path(self.final).stat().st_size + size if self._others() else 0

    def _exists(self, path: str) -> bool:
        """Return whether there is that dataset in a file, or a file that is not HDF5."""
        with _opened(path) as file:
            return Path(path).exists() if file is None else self._name in file

    def _others(self) -> list[str]:
        """Return the names of all else that is in the file of the output."""
        names: list[str] = []
        with _opened(self.final) as file:
            if file is not None:
                names += (f"attribute {name}" for name in file.attrs)
                file.visit(names.append)
        return [name for name in names if not f"{self._name}/".startswith(f"{name}/")]

    def _move(self) -> None:
        """Rename the partial file to its final name, or add its dataset to a file that has others."""
        if not self._others():
            super()._move()
            return
        before = file_identity(self.final)
        merged = self.folder / "merged.h5"
        shutil.copyfile(self.final, merged)
        with h5py.File(self.partial, "r") as source, h5py.File(merged, "r+") as target:
            if self._name in target:
                del target[self._name]
            source.copy(self._name, target, name=self._name)
        with merged.open("rb+") as file:
            os.fsync(file.fileno())
        if file_identity(self.final) != before:
            raise OfflineError(f"{self.final}: was written to by another program; try resume=True")
        rename(merged, Path(self.final))
        sync_folder(Path(self.final).absolute().parent)
        Path(self.partial).unlink()


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """Yield an open HDF5 file, or None where there is no file or one of another kind."""
    if not Path(path).is_file() or not h5py.is_hdf5(path):
        yield None
        return
    try:
        file = h5py.File(path, "r")
    except OSError as error:  # it is damaged, or another program writes to it
        raise OfflineError(f"{path}: cannot be opened: {error}") from error
    with file:
        yield file
