"""`numba_car.offline.rescale`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import ArrayLike

from numba_car._layout import Array
from numba_car._options import pair
from numba_car.offline.checks import (
    File,
    check_distinct,
    check_folders,
    check_job,
    check_names,
    check_rows,
    check_side_files,
    check_workers,
    two_numbers,
)
from numba_car.offline.job import Job, Work
from numba_car.offline.manifest import Rows, replace_file
from numba_car.offline.memory import rows_per_block
from numba_car.offline.npy import as_npy
from numba_car.offline.outputs import Output, output_of
from numba_car.offline.report import summary
from numba_car.offline.state import State, prepared

Bound: TypeAlias = ArrayLike | File | None
# Work, its state, the blocks that are left, and what to call with the rows of a finished one.
Loop: TypeAlias = Callable[[Work, State, list[Rows], Callable[[int, int], None]], None]


def _name_of(value: Any) -> Any:
    """Return the name of a file, or what else it is."""
    return os.fspath(value) if isinstance(value, (str, os.PathLike)) else value


def _loop_on(scheduler: str | None, workers: int | None, output: Output) -> Loop:
    """Choose where the blocks are computed."""
    check_workers(workers)
    if scheduler is None:
        return _run_here
    if output.place.kind != "zarr":
        raise ValueError(f"out must be a Zarr array for a scheduler, found {output.place.name!r}")
    from numba_car.offline.cluster import run_on_cluster

    return partial(run_on_cluster, scheduler=scheduler, workers=workers)


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
    bounds: tuple[Bound, Bound] = (0.0, 1.0),
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
    p : float, optional
        As for `numba_car.rescale`.
    bounds : pair of float, array, path or None, optional
        The box, in the units of eps: None is no bound. Arrays broadcast against one row; a file's
        against one row or against all of x, of which it is then read block by block.
    infeasible : {"saturate", "nan", "raise"}, optional
        As for `numba_car.rescale`.
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
    device : {"cpu", "cuda"}, optional
        Where to compute: on a GPU by `numba_car.cuda`, whose results differ from the CPU's in their last
        bits. A run goes on where it began.
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
    check_names(x=x, delta=delta, out=out, eta_out=eta_out, report=report, plot=plot)
    either: Any = bounds  # files beside all that is a bound elsewhere
    lower, upper = pair(either)
    job = Job(
        x=os.fspath(x),
        delta=_name_of(delta),
        eps=_name_of(eps),
        eps_uniform=two_numbers("eps_uniform", eps_uniform),
        noise=noise,
        seed=seed,
        p=p,
        bounds=(_name_of(lower), _name_of(upper)),
        infeasible=infeasible,
        nan=nan,
        dtype=dtype,
        input_range=two_numbers("input_range", input_range),
        round=round,
        with_eta=eta_out is not None or plot is not None,
        num_threads=num_threads,
        device=device,
    )
    check_job(job)
    check_distinct(job, out=out, eta_out=eta_out, report=report, plot=plot)
    check_side_files(eta_out, plot, force, resume)
    check_folders(eta_out, report, plot)
    if plot is not None:
        from numba_car.offline.picture import draw
    output = output_of(out)
    loop = _loop_on(scheduler, workers, output)
    work = Work(job)
    check_rows(work)
    if scheduler is None:
        work.check_device()
    size = rows_per_block(work, memory, output.grain(work))
    with closing(prepared(output, work, size, resume, force)) as state:
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


def _run_here(
    work: Work, state: State, blocks: list[Rows], done: Callable[[int, int], None]
) -> None:
    """Compute the blocks; while one is in work, the one before is summed up and written."""

    def store(rows: Rows, block: Array, records: Array) -> Rows:
        state.store(rows, block, records)
        return rows

    last: Future[Rows] | None = None
    with ThreadPoolExecutor(1, "numba_car_writer") as writer:
        for rows in blocks:
            found = work.compute(*rows)
            if last:
                done(*last.result())
            last = writer.submit(store, rows, *found)
        if last:
            done(*last.result())


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
            progress(done, work.count, work.row_bytes)

    tell()
    loop(work, state, pending, tell)
    if eta_out is not None:
        replace_file(Path(eta_out), as_npy(state.every("eta").astype(work.compute_dtype)))
    state.publish()
    seconds = time.perf_counter() - began
    run = {
        "rows_resumed": before,
        "seconds": seconds,
        "rows_per_second": (work.count - before) / seconds,
        "bytes_written": (work.count - before) * work.row_bytes,
    }
    return summary(state, work.job, run)
