"""Names of files: `a.npy`, `a.zarr` or any URL of a Zarr array, `a.h5:/dataset`."""

from __future__ import annotations

import os
from typing import NamedTuple, TypeAlias

File: TypeAlias = str | os.PathLike[str]
KINDS = "a file that ends in .npy, .zarr or .h5:/dataset, or the URL of a Zarr array"
_HDF5 = (".h5:", ".hdf5:")


class Place(NamedTuple):
    """A parsed name."""

    name: str
    kind: str  # npy, zarr or hdf5
    path: str  # a file, a folder or a URL
    dataset: str = ""  # inside an HDF5 file


def is_url(path: str) -> bool:
    """Return whether a path is a URL and not a name in the file system."""
    return "://" in path


def place_of(name: File) -> Place:
    """Return a name's kind, path and dataset, or raise ValueError for a name of no known kind."""
    text = os.fspath(name)
    if not isinstance(text, str):
        raise TypeError(f"a file must be named by a string or a path, found {name!r}")
    path = text.removeprefix("file://")
    if is_url(path) or path.rstrip("/").endswith(".zarr"):
        return Place(text, "zarr", path)
    for ending in _HDF5:
        file, found, dataset = path.rpartition(ending)
        if found and dataset.strip("/"):
            return Place(text, "hdf5", file + ending[:-1], dataset)
    if path.endswith(".npy"):
        return Place(text, "npy", path)
    raise ValueError(f"{text!r} must be {KINDS}")


def check_place(argument: str, name: File, others: str = "") -> Place:
    """Return what `place_of` does, with an error that names the argument and what else it may be."""
    try:
        return place_of(name)
    except ValueError:
        found = os.fspath(name)
        raise ValueError(f"{argument} must be {others}{KINDS}, found {found!r}") from None
