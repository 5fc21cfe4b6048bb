"""Output files: created in the folder of a run's state, and renamed once they are complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from numba_car._layout import Array, DType
from numba_car.offline.errors import OfflineError
from numba_car.offline.journal import sync_folder
from numba_car.offline.npy import FlatSink, create_npy, npy_sink
from numba_car.offline.places import Place, place_of


class Sink(Protocol):
    """An open array on disk, written and read by rows."""

    def write(self, start: int, block: Array) -> None:
        """Write rows, the first of which has the index start."""

    def read(self, start: int, stop: int) -> Array:
        """Return rows start to stop; an exception where they are not whole."""

    def discard(self, start: int) -> None:
        """Delete what an interrupted write may have left of the block that begins at start."""

    def sync(self) -> None:
        """Wait until all rows are on the disk."""

    def close(self) -> None:
        """Close the file."""


class Output(Protocol):
    """An output file, incomplete or complete."""

    place: Place
    folder: Path  # of the state

    def exists(self) -> bool:
        """Return whether there is a file of the final name."""

    def create(self, shape: tuple[int, ...], dtype: DType) -> None:
        """Create the array in the state's folder, with no rows written."""

    def grain(self, shape: tuple[int, ...], dtype: DType) -> int:
        """Return how many rows must be written together; 1 if any number may be."""

    def where(self) -> str:
        """Return the present path of the array: the partial or the final one."""

    def open(self) -> Sink:
        """Return the array, open to write, at its present path."""

    def publish(self) -> None:
        """Give the array its final name, unless it has that."""


class FileOutput:
    """A file with rows in C order: `.npy`, or HDF5 with one dataset."""

    def __init__(self, place: Place) -> None:
        self.place, self.path = place, Path(place.path)
        self.folder = self.path.with_name(self.path.name + ".partial")
        self.partial = self.folder / f"data{self.path.suffix}"

    def exists(self) -> bool:
        """Return whether there is a file of the final name."""
        return self.path.exists()

    def grain(self, shape: tuple[int, ...], dtype: DType) -> int:  # noqa: ARG002
        """Return 1: any number of rows may be written together."""
        return 1

    def create(self, shape: tuple[int, ...], dtype: DType) -> None:
        """Create a sparse file in the state's folder."""
        if self.place.kind == "npy":
            create_npy(self.partial, shape, dtype)
            return
        from numba_car.offline.hdf5 import create_hdf5, other_datasets

        if others := other_datasets(self.path, self.place.dataset):
            what = f"there are other datasets in it, {', '.join(others)}"
            raise OfflineError(f"{self.place.path}: {what}: it is not replaced")
        create_hdf5(self.partial, self.place.dataset, shape, dtype)

    def where(self) -> str:
        """Return the present path of the file."""
        return str(self.partial if self.partial.exists() else self.path)

    def open(self) -> FlatSink:
        """Return the array, open to write, at its present path."""
        path = Path(self.where())
        if self.place.kind == "npy":
            return npy_sink(path)
        from numba_car.offline.hdf5 import hdf5_sink

        return hdf5_sink(path, self.place.dataset)

    def publish(self) -> None:
        """Rename the file to its final name, unless it has that."""
        if self.partial.exists():
            self.partial.replace(self.path)
            sync_folder(self.path.parent)


def output_of(name: str | os.PathLike[str]) -> Output:
    """Return the output of a name; nothing is created."""
    place = place_of(name)
    if place.kind == "zarr":
        from numba_car.offline.zarrs import ZarrOutput

        return ZarrOutput(place)
    return FileOutput(place)
