"""What can be told to be wrong before a run begins."""

from __future__ import annotations

import os
from pathlib import Path
from types import NoneType
from typing import Any, TypeAlias

import numpy as np

from numba_car._options import Options, check_options
from numba_car._problem import PRECISIONS, problem
from numba_car.offline.errors import OfflineError
from numba_car.offline.job import Job, Work
from numba_car.offline.noise import KINDS
from numba_car.offline.places import place_of

File: TypeAlias = str | os.PathLike[str]


def _one_of(**given: Any) -> None:
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(f"give one of {', '.join(given)}, found {' and '.join(names) or 'none'}")


def _choice(name: str, value: Any, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, found {value!r}")


def two_numbers(name: str, values: Any) -> tuple[float, float] | None:
    """Return two finite numbers in order, or None."""
    if values is None:
        return None
    try:
        low, high = map(float, values)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be two numbers, found {values!r}") from None
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"{name} must be two finite numbers in order, found {low:g}, {high:g}")
    return low, high


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and bool(value >= least)


def check_workers(workers: Any) -> None:
    """Raise unless this is a number of processes, or None."""
    if workers is not None and not _is_whole(workers, 1):
        raise ValueError(f"workers must be an integer of at least 1, found {workers!r}")


def check_names(**files: Any) -> None:
    """Raise unless files are named by a string or a path, where they are given."""
    for name, file in files.items():
        if not isinstance(file, (str, os.PathLike, NoneType)):
            raise TypeError(f"{name} must be a string or a path, found {file!r}")


def check_job(job: Job) -> None:
    """Raise unless the settings are possible, whatever the files hold."""
    _one_of(delta=job.delta, noise=job.noise)
    _one_of(eps=job.eps, eps_uniform=job.eps_uniform)
    _choice("noise", job.noise, (None, *KINDS))
    _choice("nan", job.nan, ("keep", "fail"))
    _choice("dtype", job.dtype, (None, *(name for name in PRECISIONS if name != "bfloat16")))
    _choice("device", job.device, ("cpu", "cuda"))
    check_options(Options(infeasible=job.infeasible, num_threads=job.num_threads))
    if not _is_whole(job.seed, 0) or job.seed >= 2**64:
        raise ValueError(f"seed must be an integer from 0 to 2**64 - 1, found {job.seed!r}")
    if not isinstance(job.eps, (str, NoneType)) and np.ndim(job.eps):
        raise ValueError(f"eps must be a number or a file of one per row, found {job.eps!r}")
    if job.eps_uniform and job.eps_uniform[0] < 0:
        raise ValueError(f"eps_uniform must not be negative, found {job.eps_uniform[0]:g}")


def check_rows(work: Work) -> None:
    """Raise unless eps, p and bounds go with the first row, and with all rows what is the same for all."""
    count = min(1, work.count)
    row = np.broadcast_to(work.compute_dtype.type(0), (count, *work.x.shape[1:]))
    eps = 0.0 if isinstance(work.job.eps, str) else work.job.eps or 0.0
    box = work.box(0, count)
    try:
        problem(
            row, row, eps, Options(work.job.p, (box.lower, box.upper), tuple(range(1, row.ndim)))
        )
        box.check()
    except ValueError as error:
        files = [bound.source.place.name for bound in work.bounds if bound.source]
        if files and str(error).startswith("bounds"):
            raise OfflineError(f"{' and '.join(files)}: {error}") from error
        raise


def _path_of(name: File) -> str:
    """Return the file that something is in, or its URL."""
    try:
        return os.path.realpath(place_of(name).path)
    except ValueError:  # a report or a plot
        return os.path.realpath(name)


def check_distinct(job: Job, **outputs: File | None) -> None:
    """Raise if something would be written over what is read, or over another result."""
    lower, upper = job.bounds
    inputs = {"x": job.x, "delta": job.delta, "eps": job.eps, "lower": lower, "upper": upper}
    taken = {_path_of(file): name for name, file in inputs.items() if isinstance(file, str)}
    for name, file in outputs.items():
        if file is None:
            continue
        first = taken.setdefault(_path_of(file), name)
        if first != name:
            raise ValueError(f"{name} must not be the file of {first}, found {os.fspath(file)!r}")


def check_folders(*files: File | None) -> None:
    """Raise unless files can be made there, before hours go by and not after."""
    for folder in [Path(file).absolute().parent for file in files if file is not None]:
        if not folder.is_dir():
            raise FileNotFoundError(2, "No such folder", str(folder))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(folder))


def check_side_files(eta_out: File | None, plot: File | None, force: bool, resume: bool) -> None:
    """Raise unless these files go by their right names, and do not exist."""
    if eta_out is not None and place_of(eta_out).kind != "npy":
        raise ValueError(f"eta_out must end in .npy, found {os.fspath(eta_out)!r}")
    if eta_out is not None and Path(eta_out).exists() and not (force or resume):
        raise FileExistsError(17, "exists already; force replaces it", os.fspath(eta_out))
    if plot is not None and Path(plot).suffix.lower() != ".png":
        raise ValueError(f"plot must end in .png, found {os.fspath(plot)!r}")
