"""The loop over blocks, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from numba_car._rows import Array
from numba_car.offline.job import Work
from numba_car.offline.manifest import Rows
from numba_car.offline.state import State

# Work, its state, the blocks that are left, and what to call with the rows of a finished one.
Loop = Callable[[Work, State, list[Rows], Callable[[int, int], None]], None]


def run_here(
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
