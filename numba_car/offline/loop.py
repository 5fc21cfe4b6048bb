"""The loop over blocks in this process, and what ends a run once all blocks are finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

from numba_car._extras import extras_named
from numba_car._layout import Array
from numba_car.offline.arguments import check_workers
from numba_car.offline.blocks import BlockSolver
from numba_car.offline.journal import RowRange
from numba_car.offline.report import summary
from numba_car.offline.side_files import SideFiles
from numba_car.offline.sinks import Output
from numba_car.offline.space import check_space
from numba_car.offline.state import State

# It takes the number of finished rows, the number of all rows, and the bytes of a row.
Progress: TypeAlias = Callable[[int, int, int], None]
# It takes the blocks that are not finished, and a function to call with the rows of a finished one.
Loop: TypeAlias = Callable[[BlockSolver, State, list[RowRange], Callable[[int, int], None]], None]


def loop_on(scheduler: str | None, workers: int | None, output: Output) -> Loop:
    """Return the loop over blocks: of this process, or on a Dask cluster."""
    check_workers(workers)
    if scheduler is None:
        return _run_here
    if output.place.kind != "zarr":
        raise ValueError(f"out must be a Zarr array for a scheduler, found {output.place.name!r}")
    with extras_named("scheduler="):
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


def run_blocks(
    solver: BlockSolver,
    state: State,
    size: int,
    loop: Loop,
    progress: Progress | None,
    side_files: SideFiles,
) -> dict[str, Any]:
    """Compute the blocks that are not finished, publish the output, and return the report."""
    began = time.perf_counter()
    pending = state.pending(size)
    left = sum(stop - start for start, stop in pending)
    check_space(state.output, solver, left)
    before = done = solver.count - left

    def count(start: int = 0, stop: int = 0) -> None:
        """Add finished rows and report the progress."""
        nonlocal done
        done += stop - start
        if progress:
            progress(done, solver.count, solver.row_bytes)

    count()
    loop(solver, state, pending, count)
    side_files.write(state.every, solver)
    state.publish()
    return summary(state, solver.settings, costs(solver, before, began))


def costs(solver: BlockSolver, resumed: int, began: float) -> dict[str, Any]:
    """Return the report's part about time, for a run that found some rows finished."""
    seconds = time.perf_counter() - began
    return {
        "rows_resumed": resumed,
        "seconds": seconds,
        "rows_per_second": (solver.count - resumed) / seconds,
        "bytes_written": (solver.count - resumed) * solver.row_bytes,
    }
