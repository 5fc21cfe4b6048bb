"""`numba_car.offline.rescale`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from numba_car._api import options_of
from numba_car._arrays import PRECISIONS, Bounds, pair, problem
from numba_car.offline.errors import OfflineError
from numba_car.offline.job import Job, Work
from numba_car.offline.manifest import replace_file
from numba_car.offline.memory import row_bytes, rows_per_block
from numba_car.offline.noise import KINDS
from numba_car.offline.outputs import Output, output_of
from numba_car.offline.places import place_of
from numba_car.offline.report import summary
from numba_car.offline.run import Loop, run_here
from numba_car.offline.state import State

File: TypeAlias = str | os.PathLike[str]


def _one_of(**given: Any) -> None:
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(f"give one of {', '.join(given)}, found {' and '.join(names) or 'none'}")


def _choice(name: str, value: Any, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, found {value!r}")


def _numbers(name: str, values: Any) -> tuple[float, float] | None:
    if values is None:
        return None
    low, high = map(float, values)
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"{name} must be two finite numbers in order, found {low:g}, {high:g}")
    return low, high


def _check(job: Job, device: str) -> None:
    """Raise unless the settings are possible, whatever the files hold."""
    _one_of(delta=job.delta, noise=job.noise)
    _one_of(eps=job.eps, eps_uniform=job.eps_uniform)
    _choice("noise", job.noise, (None, *KINDS))
    _choice("nan", job.nan, ("keep", "fail"))
    _choice("dtype", job.dtype, (None, *(name for name in PRECISIONS if name != "bfloat16")))
    _choice("device", device, ("cpu",))
    options_of(job.infeasible, "auto", job.num_threads)
    if not 0 <= job.seed < 2**64:
        raise ValueError(f"seed must be from 0 to 2**64 - 1, found {job.seed}")
    if job.eps_uniform and job.eps_uniform[0] < 0:
        raise ValueError(f"eps_uniform must not be negative, found {job.eps_uniform[0]:g}")


def _check_rows(work: Work) -> None:
    """Raise unless eps, p and bounds go with rows of this shape."""
    row = np.broadcast_to(work.compute_dtype.type(0), (1, *work.x.shape[1:]))
    eps = 0.0 if isinstance(work.job.eps, str) else work.job.eps or 0.0
    problem(row, row, eps, work.job.p, work.job.bounds, tuple(range(1, row.ndim)))
    _ = work._scaling


def _prepared(output: Output, work: Work, memory: str | int, resume: bool, force: bool) -> State:
    """Open the state of a run that is to go on, or make one."""
    if resume and State.exists(output):
        state = State(output, work, resumes=True)
        try:
            state.check(work)
        except OfflineError:
            state.close()
            raise
        return state
    if output.exists() and not force:
        raise FileExistsError(17, "exists already; force replaces it", output.place.name)
    if State.exists(output) and not force:
        what = "is of a run that was stopped; resume it, or force a new one"
        raise FileExistsError(17, what, str(output.folder))
    State.create(output, work, rows_per_block(work, memory, output.grain(work)))
    return State(output, work, resumes=False)


def _as_npy(values: Any) -> bytes:
    from io import BytesIO

    file = BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


def _check_folders(*files: File | None) -> None:
    """Raise unless files can be made there, before hours go by and not after."""
    for folder in [Path(file).absolute().parent for file in files if file is not None]:
        if not folder.is_dir():
            raise FileNotFoundError(2, "No such folder", str(folder))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(folder))


def _check_side_files(eta_out: File | None, plot: File | None, force: bool, resume: bool) -> None:
    if eta_out is not None and place_of(eta_out).kind != "npy":
        raise ValueError(f"eta_out must end in .npy, found {os.fspath(eta_out)!r}")
    if eta_out is not None and Path(eta_out).exists() and not (force or resume):
        raise FileExistsError(17, "exists already; force replaces it", os.fspath(eta_out))
    if plot is not None and Path(plot).suffix.lower() != ".png":
        raise ValueError(f"plot must end in .png, found {os.fspath(plot)!r}")


def rescale(
    x: File,
    delta: File | None = None,
    *,
    out: File,
    eps: float | File | None = None,
    eps_uniform: tuple[float, float] | None = None,
    noise: str | None = None,
    seed: int = 0,
    p: float = 2,
    bounds: Bounds = (0.0, 1.0),
    infeasible: str = "saturate",
    nan: str = "keep",
    dtype: str | None = None,
    input_range: tuple[float, float] | None = None,
    round: bool = False,  # noqa: A002 - NumPy's word
    eta_out: File | None = None,
    report: File | None = None,
    plot: File | None = None,
    memory: str | int = "2GiB",
    num_threads: int | None = None,
    device: str = "cpu",
    resume: bool = False,
    force: bool = False,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> dict[str, Any]:
    r"""Rescale all rows of a file into another, block by block: `numba_car.rescale` on disk.

    .. math:: v = \mathrm{clip}(x + \eta\,\delta, l, u), \qquad \|v - x\|_p = \min(\epsilon, R)

    A file is named `a.npy`, `a.zarr` (or any URL of a Zarr array) or `a.h5:/dataset`. Its rows lie
    along the first axis. The output gets its name when it is complete; until then all that is done is
    in `OUT.partial`, from which a stopped run can `resume`, to the same bytes.

    Parameters
    ----------
    x : path
        The inputs: floats inside `bounds`, or integers, which `input_range` brings there.
    delta : path, optional
        The directions, as many rows as in x. Either this or `noise`.
    out : path
        Where the result goes.
    eps : float or path, optional
        The norm of every row, or a file of one per row, in the units of `bounds`.
    eps_uniform : pair of float, optional
        Draw eps of each row between these instead.
    noise : {"gaussian", "uniform", "laplace", "sign"}, optional
        Draw the directions, each row from ``numpy.random.Philox(key=[seed, row])``: they depend on
        nothing else.
    seed : int, optional
        Of `noise` and `eps_uniform`, at least 0.
    p, bounds, infeasible
        As for `numba_car.rescale`; bounds broadcast against one row, and are numbers for integers.
    nan : {"keep", "fail"}, optional
        Whether rows with NaN or infinite input become NaN, or end the run.
    dtype : {"float16", "float32", "float64"}, optional
        What to compute and write in. By default what x and delta promote to; float32 for integers.
    input_range : pair of float, optional
        Which integers are the lower and the upper bound. By default the range of their dtype.
    round : bool, optional
        Write integers, of the dtype of x. The norms reported are then those after rounding.
    eta_out : path, optional
        A ``.npy`` file for eta of each row.
    report, plot : path, optional
        A JSON file for what is returned, and a PNG file for histograms of the norms and etas.
    memory : int or str, optional
        How much the process may take, in bytes or as in "2GiB"; on a cluster, each worker.
    num_threads : int, optional
        As for `numba_car.rescale`.
    device : {"cpu"}, optional
        Where to compute.
    resume : bool, optional
        Go on where a run stopped. Where none did, begin.
    force : bool, optional
        Replace `out`, and forget a run that stopped.
    scheduler : str, optional
        Compute on a Dask cluster: the address of its scheduler, or "local" for processes on this
        machine. `out` must then be a Zarr array, where all workers reach it.
    workers : int, optional
        How many processes "local" starts; by default as many as there are CPUs.
    progress : callable, optional
        Called with the rows that are done, their total, and the bytes of a row.

    Returns
    -------
    dict
        The report, in values that JSON has: rows, saturated and NaN rows, the smallest, mean and
        largest achieved norm, seconds, versions, parameters and inputs.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks a rule above.
    OfflineError
        If a file does not hold what it should, or changed, or the run began with other arguments.
    OSError
        If a file cannot be read or written: among others, if `out` exists.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from numba_car import offline
    >>> temporary = tempfile.TemporaryDirectory()
    >>> folder = Path(temporary.name)
    >>> np.save(folder / "x.npy", np.full((100, 8, 8), 128, np.uint8))
    >>> out = folder / "v.npy"
    >>> report = offline.rescale(folder / "x.npy", out=out, eps=0.5, noise="gaussian", seed=1)
    >>> report["rows"], report["saturated"]["count"], f"{report['norm']['mean']:.6f}"
    (100, 0, '0.500000')
    >>> np.load(out).shape
    (100, 8, 8)
    >>> temporary.cleanup()
    """
    job = Job(
        x=os.fspath(x),
        delta=None if delta is None else os.fspath(delta),
        eps=os.fspath(eps) if isinstance(eps, (str, os.PathLike)) else eps,
        eps_uniform=_numbers("eps_uniform", eps_uniform),
        noise=noise,
        seed=seed,
        p=p,
        bounds=pair(bounds),
        infeasible=infeasible,
        nan=nan,
        dtype=dtype,
        input_range=_numbers("input_range", input_range),
        round=round,
        with_eta=eta_out is not None or plot is not None,
        num_threads=num_threads,
    )
    _check(job, device)
    _check_side_files(eta_out, plot, force, resume)
    _check_folders(eta_out, report, plot)
    if plot is not None:
        from numba_car.offline.picture import draw
    output = output_of(out)
    if scheduler is not None and output.place.kind != "zarr":
        raise ValueError(f"out must be a Zarr array for a scheduler, found {os.fspath(out)!r}")
    loop: Loop = run_here
    if scheduler is not None:
        from numba_car.offline.cluster import run_on_cluster

        loop = partial(run_on_cluster, scheduler=scheduler, workers=workers)
    work = Work(job)
    _check_rows(work)
    with closing(_prepared(output, work, memory, resume, force)) as state:
        try:
            found = _run(work, state, loop, progress, eta_out)
        except OSError as error:
            if error.errno is not None and error.filename is None:
                error.filename = str(state.folder)  # a full disk names no file
            raise
        if plot is not None:
            draw(Path(plot), state, job.p)
        if report is not None:
            replace_file(Path(report), (json.dumps(found, indent=1) + "\n").encode())
        state.remove()
    return found


def _run(
    work: Work,
    state: State,
    loop: Loop,
    progress: Callable[[int, int, int], None] | None,
    eta_out: File | None,
) -> dict[str, Any]:
    """Do what is pending, give the results their names, and sum up."""
    began = time.perf_counter()
    pending = state.pending()
    before = done = work.count - sum(stop - start for start, stop in pending)

    def tell(start: int = 0, stop: int = 0) -> None:
        nonlocal done
        done += stop - start
        if progress:
            progress(done, work.count, row_bytes(work))

    tell()
    loop(work, state, pending, tell)
    if eta_out is not None:
        replace_file(Path(eta_out), _as_npy(state.etas().astype(work.compute_dtype)))
    state.publish()
    seconds = time.perf_counter() - began
    run = {
        "rows_resumed": before,
        "seconds": seconds,
        "rows_per_second": (work.count - before) / seconds,
        "bytes_written": (work.count - before) * row_bytes(work),
    }
    return summary(state, work.job, run)
