"""The loop over blocks on a Dask cluster: a task reads, computes and writes shards of a Zarr array.

Only the records pass through the scheduler. The journal stays in this process. Tasks of a worker that
dies are given to another worker, which writes the same bytes to the same shards.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import pickle
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dask
from distributed import CancelledError, Client, LocalCluster, as_completed
from distributed.scheduler import KilledWorker

from numba_car._cpu.threads import default_threads
from numba_car._layout import Array
from numba_car.offline.blocks import BlockSolver
from numba_car.offline.errors import OfflineError
from numba_car.offline.journal import RowRange
from numba_car.offline.places import is_url
from numba_car.offline.settings import Settings
from numba_car.offline.state import State, checksum
from numba_car.offline.zarrs import ZarrSink

SHARDS = 8  # of a task: with one, the scheduler limits the speed from about ten machines on
_SUBMITTED = 4  # tasks for each thread of a worker: the scheduler never holds the tasks of all rows
_SECONDS = 1.0  # between two counts of the workers
_DEATHS = 100  # of workers that a task may outlive: machines kill workers, tasks hardly ever do


@functools.lru_cache(4)
def _opened(settings: bytes, out: str) -> tuple[BlockSolver, ZarrSink]:
    """Return the open input files of a pickled run, and the open output."""
    return BlockSolver(pickle.loads(settings)), ZarrSink(out)


def _task(settings: bytes, out: str, blocks: list[RowRange]) -> list[tuple[RowRange, Array, int]]:
    """Compute and write blocks, on a worker; return rows, records and checksum of each block."""
    solver, sink = _opened(settings, out)
    found = []
    for rows in blocks:
        block, records = solver.compute(*rows)
        sink.write(rows[0], block)
        found.append((rows, records, checksum(block, records)))
    return found


def _absolute(name: Any) -> Any:
    """Return the absolute path of a file that is named by a string; URLs and other values unchanged."""
    if not isinstance(name, str) or is_url(name):
        return name
    return os.path.abspath(name)  # noqa: PTH100 - keeps `.h5:/dataset`


def _for_workers(settings: Settings, *, local: bool) -> bytes:
    """Return pickled settings with absolute paths; a local worker has one thread by default."""
    lower, upper = map(_absolute, settings.bounds)
    files = {name: _absolute(getattr(settings, name)) for name in ("x", "delta", "eps")}
    threads = settings.num_threads or (1 if local else None)
    return pickle.dumps(replace(settings, **files, bounds=(lower, upper), num_threads=threads))


def _client(scheduler: str) -> Client:
    """Return a client of the scheduler at an address."""
    try:
        return Client(scheduler)
    except ValueError as error:
        rule = "scheduler must be local or an address such as tcp://host:8786"
        raise ValueError(f"{rule}, found {scheduler!r}: {error}") from error


@contextmanager
def _connected(scheduler: str, workers: int | None) -> Any:
    """Yield a client of the scheduler, or of a new cluster of processes on this machine."""
    if scheduler != "local":
        log = logging.getLogger("distributed.client")  # logs a traceback for a lost scheduler
        level = log.level
        log.setLevel(logging.CRITICAL)
        try:
            with _client(scheduler) as client:
                yield client
        finally:
            log.setLevel(level)
        return
    quiet = {
        "distributed.scheduler.allowed-failures": _DEATHS,
        "distributed.worker.daemon": True,
        "logging.distributed": "critical",
    }
    local = {
        "n_workers": workers or default_threads(),
        "threads_per_worker": 1,
        "memory_limit": 0,  # the size of a block bounds the memory
        "dashboard_address": ":0",  # any free port
    }
    with dask.config.set(quiet), LocalCluster(**local) as cluster, Client(cluster) as client:
        yield client


def run_on_cluster(
    solver: BlockSolver,
    state: State,
    blocks: list[RowRange],
    done: Callable[[int, int], None],
    scheduler: str,
    workers: int | None,
) -> None:
    """Compute and write blocks on a cluster, and call `done` with the rows of each finished block."""
    if not blocks:
        return
    settings = _for_workers(solver.settings, local=scheduler == "local")
    out = _absolute(state.output.where())
    with _connected(scheduler, workers) as client:
        at_once, asked = _at_once(client), time.monotonic()
        size = max(
            1, min(SHARDS, len(blocks) // at_once)
        )  # with few blocks, every thread gets some
        left = iter([blocks[start : start + size] for start in range(0, len(blocks), size)])

        def submit(count: int) -> list[Any]:
            """Submit the next tasks and return their futures."""
            some = itertools.islice(left, max(0, count))
            return [client.submit(_task, settings, out, part, pure=False) for part in some]

        running = as_completed(submit(at_once))
        for future in running:
            try:
                found = future.result()
            except (CancelledError, KilledWorker) as error:
                raise OfflineError(f"{scheduler}: {error}") from error
            for rows, records, crc in found:
                state.note(rows, records, crc)
                done(*rows)
            if time.monotonic() - asked > _SECONDS:
                at_once, asked = _at_once(client), time.monotonic()
            running.update(submit(at_once - running.count()))


def _at_once(client: Client) -> int:
    """Return how many tasks to have submitted, for the workers that are connected now."""
    threads: dict[str, int] = client.nthreads()
    return _SUBMITTED * max(1, sum(threads.values()))
