"""`numba_car.offline.rescale`: arguments, the loop over blocks, and the files that end a run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from numba_car._layout import Array
from numba_car._options import pair
from numba_car.offline.blocks import BlockSolver
from numba_car.offline.finished import finished_report, record_path, write_record
from numba_car.offline.formats import output_of
from numba_car.offline.journal import RowRange, replace_file, write_json
from numba_car.offline.memory import rows_per_block
from numba_car.offline.report import summary
from numba_car.offline.settings import (
    File,
    Settings,
    check_distinct,
    check_names,
    check_side_files,
    check_workers,
    two_numbers,
)
from numba_car.offline.sinks import Output
from numba_car.offline.state import State, open_state

Bound: TypeAlias = ArrayLike | File | None
Progress: TypeAlias = Callable[[int, int, int], None] | None
# It takes the blocks that are not finished, and a function to call with the rows of a finished one.
Loop: TypeAlias = Callable[[BlockSolver, State, list[RowRange], Callable[[int, int], None]], None]


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
    progress: Progress = None,
) -> dict[str, Any]:
    r"""Rescale all rows of a file into another, block by block: `numba_car.rescale` on disk.

    .. math:: v = \mathrm{clip}(x + \eta\,\delta, l, u), \qquad \|v - x\|_p = \min(\epsilon, R)

    A file is named `a.npy`, `a.zarr` (or any URL of a Zarr array) or `a.h5:/dataset`. Its rows lie
    along the first axis. The output gets its name when it is complete. Until then the finished rows are
    in `OUT.partial`, from which a stopped run can `resume` to the same bytes; from then on
    `OUT.run.json` says which run wrote the output.

    Parameters
    ----------
    x : path
        The inputs: floats inside `bounds`, or integers, which are scaled from `input_range` to them.
    delta : path, optional
        The directions, as many rows as in x. Either this or `noise`.
    out : path
        The file to write.
    eps : float or path, optional
        The norm of every row, or a file of one per row, in the units of `bounds`.
    eps_uniform : pair of float, optional
        Draw eps of each row between these instead.
    noise : {"gaussian", "uniform", "laplace", "sign"}, optional
        Draw the directions, each row from ``numpy.random.Philox(key=[seed, row])`` alone.
    seed : int, optional
        The seed of `noise` and `eps_uniform`, at least 0.
    p : float, optional
        As for `numba_car.rescale`.
    bounds : pair of float, array, path or None, optional
        The lower and the upper bound, in the units of eps; None is no bound. Arrays broadcast
        against one row, files against one row or all of x, and are then read block by block.
    infeasible : {"saturate", "nan", "raise"}, optional
        As for `numba_car.rescale`.
    nan : {"keep", "fail"}, optional
        Whether rows with NaN or infinite input become NaN, or end the run.
    dtype : {"float16", "float32", "float64"}, optional
        The dtype of the computation and of the output. By default what x and delta promote to;
        float32 for integers.
    input_range : pair of float, optional
        Which integers are the lower and the upper bound. By default the range of their dtype.
    round : bool, optional
        Write integers, of the dtype of x. The norms reported are then those after rounding.
    eta_out : path, optional
        A ``.npy`` file for eta of each row.
    report, plot : path, optional
        A JSON file for what is returned, and a PNG file for histograms of the norms and etas.
    memory : int or str, optional
        How much memory the process may take, in bytes or as in "2GiB"; on a cluster, each worker.
        What the process takes before the run counts, up to 248 MiB: more is the caller's own.
    num_threads : int, optional
        As for `numba_car.rescale`.
    device : {"cpu", "cuda"}, optional
        Where to compute: on a GPU by `numba_car.cuda`, whose results differ from the CPU's in their last
        bits. A stopped run resumes on the device that it began on.
    resume : bool, optional
        Go on where a run stopped, or begin where there is none. Where a run with the same settings
        and files is complete already, return its report.
    force : bool, optional
        Replace `out`, and discard a run that stopped.
    scheduler : str, optional
        Compute on a Dask cluster: the address of its scheduler, or "local" for processes on this
        machine. `out` must then be a Zarr array that all workers can reach.
    workers : int, optional
        How many processes "local" starts; by default as many as there are CPUs.
    progress : callable, optional
        Called with the number of finished rows, the number of all rows, and the bytes of a row.

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
        If a file does not hold what it should, or changed, or if the run to resume began or was
        finished with other arguments, which the message names with both values.
    OSError
        If a file cannot be read or written, for example because `out` exists.

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
    either: Any = bounds  # which may be files, unlike the bounds of other functions
    lower, upper = pair(either)
    settings = Settings(
        x=os.fspath(x),
        delta=_as_name(delta),
        eps=_as_name(eps),
        eps_uniform=two_numbers("eps_uniform", eps_uniform),
        noise=noise,
        seed=seed,
        p=p,
        bounds=(_as_name(lower), _as_name(upper)),
        infeasible=infeasible,
        nan=nan,
        dtype=dtype,
        input_range=two_numbers("input_range", input_range),
        round=round,
        with_eta=device == "cpu" or eta_out is not None or plot is not None,
        num_threads=num_threads,
        device=device,
    )
    settings.check()
    output = output_of(out)
    record = {"the record of the run": record_path(output)}
    check_distinct(settings, out=out, eta_out=eta_out, report=report, plot=plot, **record)
    check_side_files(eta_out, report, plot, may_exist=force or resume)
    if plot is not None:
        from numba_car.offline.plot import draw
    loop = _loop_on(scheduler, workers, output)
    solver = BlockSolver(settings)
    side_files = {"eta_out": eta_out, "plot": plot}
    if resume and not force and not State.exists(output):
        began = time.perf_counter()
        if found := finished_report(output, solver, side_files):
            found |= _costs(solver, solver.count, began)
            if report is not None:
                write_json(Path(report), found)
            if progress:
                progress(solver.count, solver.count, solver.row_bytes)
            return found
    if scheduler is None:
        _ = solver.functions  # raises where there is no such device, before anything is written
    grain = output.grain(solver.x.shape, solver.out_dtype)
    size = rows_per_block(solver, memory, grain)
    with closing(open_state(output, solver, resume, force)) as state:
        try:
            found = _run(solver, state, size, loop, progress, eta_out)
        except OSError as error:
            if error.errno is not None and error.filename is None:
                error.filename = str(state.folder)  # a full disk names no file
            raise
        if plot is not None:
            draw(Path(plot), state, settings.p)
        if report is not None:
            write_json(Path(report), found)
        write_record(output, state.journal.header, found, side_files)
        state.remove()
    return found


def _as_name(value: Any) -> Any:
    """Return the name of a file as a string, and any other value unchanged."""
    return os.fspath(value) if isinstance(value, (str, os.PathLike)) else value


def _loop_on(scheduler: str | None, workers: int | None, output: Output) -> Loop:
    """Return the loop over blocks: of this process, or on a Dask cluster."""
    check_workers(workers)
    if scheduler is None:
        return _run_here
    if output.place.kind != "zarr":
        raise ValueError(f"out must be a Zarr array for a scheduler, found {output.place.name!r}")
    from numba_car.offline.cluster import run_on_cluster

    return partial(run_on_cluster, scheduler=scheduler, workers=workers)


def _run_here(
    solver: BlockSolver, state: State, blocks: list[RowRange], done: Callable[[int, int], None]
) -> None:
    """Compute the blocks in this process, and write each while the next one is computed."""

    def store(rows: RowRange, block: Array, records: Array) -> RowRange:
        """Write a block and return its rows."""
        state.store(rows, block, records)
        return rows

    last: Future[RowRange] | None = None
    with ThreadPoolExecutor(1, "numba_car_writer") as writer:
        for rows in blocks:
            found = solver.compute(*rows)
            if last:
                done(*last.result())
            last = writer.submit(store, rows, *found)
        if last:
            done(*last.result())


def _run(
    solver: BlockSolver,
    state: State,
    size: int,
    loop: Loop,
    progress: Progress,
    eta_out: File | None,
) -> dict[str, Any]:
    """Compute the blocks that are not finished, publish the output, and return the report."""
    began = time.perf_counter()
    pending = state.pending(size)
    before = done = solver.count - sum(stop - start for start, stop in pending)

    def count(start: int = 0, stop: int = 0) -> None:
        """Add finished rows and report the progress."""
        nonlocal done
        done += stop - start
        if progress:
            progress(done, solver.count, solver.row_bytes)

    count()
    loop(solver, state, pending, count)
    if eta_out is not None:
        with np.errstate(over="ignore"):
            eta = state.every("eta").astype(solver.compute_dtype)
        replace_file(Path(eta_out), lambda file: np.save(file, eta))
    state.publish()
    return summary(state, solver.settings, _costs(solver, before, began))


def _costs(solver: BlockSolver, resumed: int, began: float) -> dict[str, Any]:
    """Return the report's part about time, for a run that found some rows finished."""
    seconds = time.perf_counter() - began
    return {
        "rows_resumed": resumed,
        "seconds": seconds,
        "rows_per_second": (solver.count - resumed) / seconds,
        "bytes_written": (solver.count - resumed) * solver.row_bytes,
    }
