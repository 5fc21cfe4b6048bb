"""The output of a run: where it is made, and how it gets its final name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from numba_car.offline.errors import OfflineError
from numba_car.offline.job import Work
from numba_car.offline.manifest import sync_folder
from numba_car.offline.npy import FlatSink, create_npy, npy_sink
from numba_car.offline.places import Place, place_of


class Output(Protocol):
    """What a state asks of an output."""

    place: Place
    folder: Path  # of the state

    def exists(self) -> bool:
        """Whether there is something under the final name."""

    def create(self, work: Work) -> None:
        """Make it in the state's folder, empty."""

    def grain(self, work: Work) -> int:
        """How many rows must be written at once; 1 if any number may."""

    def where(self) -> str:
        """Tell where it is by now."""

    def open(self) -> Any:
        """Open it to write, wherever it is by now."""

    def publish(self) -> None:
        """Give it its final name, unless it has that."""


class FileOutput:
    """A single file with rows one after the other: `.npy`, or one dataset in an HDF5 file."""

    def __init__(self, place: Place) -> None:
        self.place, self.path = place, Path(place.path)
        self.folder = self.path.with_name(self.path.name + ".partial")
        self.partial = self.folder / f"data{self.path.suffix}"

    def exists(self) -> bool:
        """Whether there is something under the final name."""
        return self.path.exists()

    def grain(self, work: Work) -> int:  # noqa: ARG002
        """How many rows must be written at once; 1 if any number may."""
        return 1

    def create(self, work: Work) -> None:
        """Make it in the state's folder, full of holes."""
        if self.place.kind == "npy":
            create_npy(self.partial, work.x.shape, work.out_dtype)
        else:
            from numba_car.offline.hdf5 import create_hdf5, other_datasets

            if others := other_datasets(self.path, self.place.dataset):
                what = f"there are other datasets in it, {', '.join(others)}"
                raise OfflineError(f"{self.place.path}: {what}: it is not replaced")
            create_hdf5(self.partial, self.place.dataset, work.x.shape, work.out_dtype)

    def where(self) -> str:
        """Tell where it is by now."""
        return str(self.partial if self.partial.exists() else self.path)

    def open(self) -> FlatSink:
        """Open it to write, wherever it is by now."""
        path = Path(self.where())
        if self.place.kind == "npy":
            return npy_sink(path)
        from numba_car.offline.hdf5 import hdf5_sink

        return hdf5_sink(path, self.place.dataset)

    def publish(self) -> None:
        """Give it its final name, unless it has that."""
        if self.partial.exists():
            self.partial.replace(self.path)
            sync_folder(self.path.parent)


def output_of(name: str | os.PathLike[str]) -> Output:
    """Tell what an output is by its name; nothing is made yet."""
    place = place_of(name)
    if place.kind == "zarr":
        from numba_car.offline.zarrs import ZarrOutput

        return ZarrOutput(place)
    return FileOutput(place)
