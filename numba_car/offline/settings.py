"""The settings of a run, and the checks of arguments that need no file to be open."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType
from typing import Any, TypeAlias

import numpy as np

import numba_car as car
from numba_car._options import Options, check_options
from numba_car._problem import PRECISIONS
from numba_car.offline.bounds import bound_as_json
from numba_car.offline.noise import KINDS
from numba_car.offline.places import place_of

File: TypeAlias = str | os.PathLike[str]
# A resumed run may name its files otherwise, and no byte of the result depends on threads.
_NOT_COMPARED = ("x", "delta", "num_threads")


@dataclass(frozen=True)
class Settings:
    """The arguments of a run that its result depends on, as plain values; see `rescale`."""

    x: str
    delta: str | None
    eps: float | str | None
    noise: str | None
    seed: int
    eps_uniform: tuple[float, float] | None
    p: float
    bounds: tuple[Any, Any]
    infeasible: str
    nan: str
    dtype: str | None
    input_range: tuple[float, float] | None
    round: bool
    with_eta: bool
    num_threads: int | None
    device: str = "cpu"

    def as_json(self) -> dict[str, Any]:
        """Return all settings for the report, with a checksum in place of an array's elements."""
        return asdict(self) | {"bounds": [bound_as_json(bound) for bound in self.bounds]}

    def compared(self) -> dict[str, Any]:
        """Return what must be equal for two runs on equal files to write the same bytes."""
        found = {k: v for k, v in self.as_json().items() if k not in _NOT_COMPARED}
        eps, *bounds = (
            "a file" if isinstance(value, str) else value for value in (self.eps, *found["bounds"])
        )
        return found | {"eps": eps, "bounds": bounds, "numba_car": car.__version__}

    def check(self) -> None:
        """Raise ValueError or TypeError where a setting is not allowed, whatever the files hold."""
        _one_of(delta=self.delta, noise=self.noise)
        _one_of(eps=self.eps, eps_uniform=self.eps_uniform)
        _choice("noise", self.noise, (None, *KINDS))
        _choice("nan", self.nan, ("keep", "fail"))
        _choice("dtype", self.dtype, (None, *(name for name in PRECISIONS if name != "bfloat16")))
        _choice("device", self.device, ("cpu", "cuda"))
        check_options(Options(infeasible=self.infeasible, num_threads=self.num_threads))
        if not _is_whole(self.seed, 0) or self.seed >= 2**64:
            raise ValueError(f"seed must be an integer from 0 to 2**64 - 1, found {self.seed!r}")
        if not isinstance(self.eps, (str, NoneType)) and np.ndim(self.eps):
            raise ValueError(f"eps must be a number or a file of one per row, found {self.eps!r}")
        if self.eps_uniform and self.eps_uniform[0] < 0:
            raise ValueError(f"eps_uniform must not be negative, found {self.eps_uniform[0]:g}")


def _one_of(**given: Any) -> None:
    """Raise ValueError unless exactly one argument is given."""
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(f"give one of {', '.join(given)}, found {' and '.join(names) or 'none'}")


def _choice(name: str, value: Any, allowed: Any) -> None:
    """Raise ValueError unless a value is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, found {value!r}")


def _is_whole(value: Any, least: int) -> bool:
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
    if workers is not None and not _is_whole(workers, 1):
        raise ValueError(f"workers must be an integer of at least 1, found {workers!r}")


def check_names(**files: Any) -> None:
    """Raise TypeError unless every file that is given is named by a string or a path."""
    for name, file in files.items():
        if not isinstance(file, (str, os.PathLike, NoneType)):
            raise TypeError(f"{name} must be a string or a path, found {file!r}")


def _path_of(name: File) -> str:
    """Return the absolute path, without symbolic links, of a file or a URL."""
    try:
        return os.path.realpath(place_of(name).path)
    except ValueError:  # a report or a plot
        return os.path.realpath(name)


def check_distinct(settings: Settings, **outputs: File | None) -> None:
    """Raise ValueError if an output would overwrite an input or another output."""
    lower, upper = settings.bounds
    inputs = {"x": settings.x, "delta": settings.delta, "eps": settings.eps}
    inputs |= {"lower": lower, "upper": upper}
    taken = {_path_of(file): name for name, file in inputs.items() if isinstance(file, str)}
    for name, file in outputs.items():
        if file is None:
            continue
        first = taken.setdefault(_path_of(file), name)
        if first != name:
            raise ValueError(f"{name} must not be the file of {first}, found {os.fspath(file)!r}")


def check_side_files(
    eta_out: File | None, report: File | None, plot: File | None, *, may_exist: bool
) -> None:
    """Raise unless the files written besides out have the right endings and can be created.

    A file of eta must not exist unless the run resumes or replaces.
    """
    if eta_out is not None and place_of(eta_out).kind != "npy":
        raise ValueError(f"eta_out must end in .npy, found {os.fspath(eta_out)!r}")
    if eta_out is not None and Path(eta_out).exists() and not may_exist:
        raise FileExistsError(17, "exists already; force replaces it", os.fspath(eta_out))
    if plot is not None and Path(plot).suffix.lower() != ".png":
        raise ValueError(f"plot must end in .png, found {os.fspath(plot)!r}")
    for folder in [Path(file).absolute().parent for file in (eta_out, report, plot) if file]:
        if not folder.is_dir():
            raise FileNotFoundError(2, "No such folder", str(folder))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(folder))
