"""Checks of arguments that need no file to be open."""

from __future__ import annotations

import os
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from numba_car.offline.places import File, check_place, place_of


def check_one_of(**given: Any) -> None:
    """Raise ValueError unless exactly one argument is given."""
    names = [f"{name}=" for name, value in given.items() if value is not None]
    if len(names) != 1:
        every = " or ".join(f"{name}=" for name in given)
        raise ValueError(f"give either {every}, found {' and '.join(names) or 'neither'}")


def check_choice(name: str, value: Any, allowed: Any) -> None:
    """Raise ValueError unless a value is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, found {value!r}")


def is_whole(value: Any, least: int) -> bool:
    """Return whether a value is an integer that is large enough."""
    return isinstance(value, (int, np.integer)) and bool(value >= least)


def two_numbers(name: str, values: Any) -> tuple[float, float] | None:
    """Return two finite numbers in ascending order, or None where None is given."""
    if values is None:
        return None
    try:
        low, high = map(float, values)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be two numbers, found {values!r}") from None
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"{name} must be two finite numbers in order, found {low:g}, {high:g}")
    return low, high


def check_workers(workers: Any) -> None:
    """Raise ValueError unless this is a number of processes, or None."""
    if workers is not None and not is_whole(workers, 1):
        raise ValueError(f"workers must be an integer of at least 1, found {workers!r}")


def check_names(**files: Any) -> None:
    """Raise TypeError unless every file that is given is named by a string or a path."""
    for name, file in files.items():
        if not isinstance(file, (str, os.PathLike, NoneType)):
            raise TypeError(f"{name} must be a string or a path, found {file!r}")


def check_kinds(x: Any, delta: Any, out: Any, eps: Any, bounds: tuple[Any, Any]) -> None:
    """Raise ValueError for the name of a file of no known kind."""
    for name, file in {"x": x, "delta": delta, "out": out}.items():
        if file is not None:
            check_place(name, file)
    if isinstance(eps, str):
        check_place("eps", eps, "a number, ")
    for bound in bounds:
        if isinstance(bound, str):
            check_place("each of bounds", bound, "a number, None, ")


def _location(name: File) -> tuple[str, str]:
    """Return the absolute path, without symbolic links, of a file or a URL; and the dataset in it."""
    try:
        place = place_of(name)
    except ValueError:  # a report or a plot
        return os.path.realpath(name), ""
    return os.path.realpath(place.path), place.dataset.strip("/")


def check_distinct(inputs: dict[str, Any], outputs: dict[str, File | None]) -> None:
    """Raise ValueError if an output would overwrite an input or another output."""
    taken = {_location(file): name for name, file in inputs.items() if isinstance(file, str)}
    for name, file in outputs.items():
        if file is None:
            continue
        first = taken.setdefault(_location(file), name)
        if first != name:
            raise ValueError(f"{name} must not be the file of {first}, found {os.fspath(file)!r}")


def check_side_files(
    eta_out: File | None, report: File | None, plot: File | None, *, may_exist: bool
) -> None:
    """Raise unless the files written besides out have the right endings and can be created.

    A file of eta must not exist unless the run resumes or replaces.
    """
    for name, file, ending in (("eta_out", eta_out, ".npy"), ("plot", plot, ".png")):
        if file is not None and Path(file).suffix.lower() != ending:
            raise ValueError(f"{name} must end in {ending}, found {os.fspath(file)!r}")
    if eta_out is not None and Path(eta_out).exists() and not may_exist:
        raise FileExistsError(17, "exists already; force=True replaces it", os.fspath(eta_out))
    for folder in [Path(file).absolute().parent for file in (eta_out, report, plot) if file]:
        if not folder.is_dir():
            raise FileNotFoundError(2, "No such folder", str(folder))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(folder))
