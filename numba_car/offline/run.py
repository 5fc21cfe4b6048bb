"""`numba_car.offline.rescale`: from the arguments to the files that end a run."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import ArrayLike

from numba_car._options import pair
from numba_car._problem import as_numeric
from numba_car.offline.arguments import (
    check_distinct,
    check_kinds,
    check_names,
    check_side_files,
    two_numbers,
)
from numba_car.offline.blocks import BlockSolver
from numba_car.offline.files import write_json
from numba_car.offline.finished import (
    add_side_files,
    finished_record,
    record_path,
    write_record,
)
from numba_car.offline.formats import output_of
from numba_car.offline.loop import Loop, Progress, costs, loop_on, run_blocks
from numba_car.offline.memory import rows_per_block
from numba_car.offline.places import File
from numba_car.offline.progress import shown
from numba_car.offline.settings import Settings
from numba_car.offline.side_files import SideFiles, records_of
from numba_car.offline.sinks import Output
from numba_car.offline.space import describe_full_disk
from numba_car.offline.state import State, open_state

Bound: TypeAlias = ArrayLike | File | None


def rescale(
    x: File,
    delta: File | None = None,
    *,
    out: File,
    eps: ArrayLike | File | None = None,
    eps_uniform: tuple[float, float] | None = None,
    snr_db: float | None = None,
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
    progress: Progress | bool | None = None,
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
    eps : float, array or path, optional
        The norm of every row, or an array or a file of one per row. It is in the units of `bounds`:
        the 255 of 8-bit pixels counts as 1 with the default bounds, and as 255 with ``(0, 255)``.
    eps_uniform : pair of float, optional
        Draw eps of each row between these instead.
    snr_db : float, optional
        Let eps of each row be that of `numba_car.eps_for_snr` for this ratio in decibels: that of the
        norm of x, in the numbers of the file, to the norm of what is added to them.
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
        Which integers are the lower and the upper bound. By default the range of their dtype. Not
        for floats.
    round : bool, optional
        Write integers, of the dtype of x. The norms reported are then those after rounding.
    eta_out : path, optional
        A ``.npy`` file for eta of each row. It may be asked for once more from a run that is complete:
        the rows are then computed again, and the output is left as it is.
    report, plot : path, optional
        A JSON file for what is returned, and a PNG file for histograms of the norms, with eps
        marked, and of the etas.
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
    progress : bool or callable, optional
        Whether to show a progress bar on stderr (which needs ``numba_car[cli]``); or a function that is
        called with the number of finished rows, the number of all rows, and the bytes of a row.

    Returns
    -------
    dict
        The report, in values that JSON has: rows; the numbers of the saturated and the NaN rows; the
        smallest, mean and largest eps and achieved norm; under "deviation" the largest
        ``|norm/eps - 1|`` of the other rows, and its row; seconds, versions, parameters and inputs.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks a rule above.
    OfflineError
        If a file does not hold what it should, or changed, or if the run to resume began or was
        finished with other arguments, which the message names with both values.
    OSError
        If a file cannot be read or written, for example because `out` exists or the disk is full.
        A run that the disk has no space for is refused before it begins, unless `out` is compressed.
    ModuleNotFoundError
        If a package is missing; the message says what to install.

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
    lower, upper = (_plain(bound) for bound in pair(either))
    settings = Settings(
        x=os.fspath(x),
        delta=_plain(delta),
        eps=_plain_eps(eps),
        eps_uniform=two_numbers("eps_uniform", eps_uniform),
        snr_db=snr_db,
        noise=noise,
        seed=seed,
        p=p,
        bounds=(lower, upper),
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
    check_kinds(x, delta, out, settings.eps, settings.bounds)
    output = output_of(out)
    check_distinct(
        {"x": x, "delta": delta, "eps": settings.eps, "lower": lower, "upper": upper},
        {
            "out": out,
            "eta_out": eta_out,
            "report": report,
            "plot": plot,
            "the record of the run": record_path(output),
        },
    )
    check_side_files(eta_out, report, plot, may_exist=force or resume)
    side_files, loop = SideFiles(eta_out, plot), loop_on(scheduler, workers, output)
    solver = BlockSolver(settings)
    size = rows_per_block(solver, memory, output.grain(solver.x.shape, solver.out_dtype))
    with shown(progress) as show:
        found = None
        if resume and not force and not State.exists(output):
            found = _finished(output, solver, size, show, side_files)
        if found is None:
            if scheduler is None:
                _ = solver.functions  # raises where there is no such device
            with closing(open_state(output, solver, resume, force)) as state:
                found = _run(solver, state, size, loop, show, side_files, report)
        elif report is not None:
            write_json(Path(report), found)
    return found


def _plain(value: Any) -> Any:
    """Return the name of a file as a string, and any other value unchanged."""
    return os.fspath(value) if isinstance(value, (str, os.PathLike)) else value


def _plain_eps(eps: Any) -> Any:
    """Return the name of a file, a number, or an array of one number per row."""
    if eps is None or isinstance(eps, (str, os.PathLike)):
        return _plain(eps)
    array = as_numeric("eps", eps)
    return array if array.ndim else array.item()


def _finished(
    output: Output, solver: BlockSolver, size: int, show: Progress, side_files: SideFiles
) -> dict[str, Any] | None:
    """Return the report of the run that wrote the output, or None; write the side files that are missing."""
    began = time.perf_counter()
    record = finished_record(output, solver, side_files)
    if record is None:
        return None
    missing = side_files.missing()
    if missing.given():
        records = records_of(solver, size)
        missing.write(records.__getitem__, solver)
        add_side_files(output, record, missing)
    show(solver.count, solver.count, solver.row_bytes)
    report: dict[str, Any] = record["report"]
    return report | costs(solver, solver.count, began)


def _run(
    solver: BlockSolver,
    state: State,
    size: int,
    loop: Loop,
    show: Progress,
    side_files: SideFiles,
    report: File | None,
) -> dict[str, Any]:
    """Run to the end and return the report; an error that comes before any row is finished leaves nothing."""
    try:
        found = run_blocks(solver, state, size, loop, show, side_files)
        if report is not None:
            write_json(Path(report), found)
        write_record(state.output, state.journal.header, found, side_files)
    except Exception as error:
        if isinstance(error, OSError):
            describe_full_disk(error, str(state.folder), resumable=bool(state.journal.done))
        if not state.journal.done:
            state.remove()
        raise
    state.remove()
    return found
