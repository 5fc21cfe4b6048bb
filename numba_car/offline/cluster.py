"""The loop over blocks, on a Dask cluster: a task reads, computes and writes shards of a Zarr array.

Nothing but the records goes through the scheduler. The manifest is kept here: what a killed worker had
in hand is given to another one, and writes the same bytes to the same shard.
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
from numba_car.offline.errors import OfflineError
from numba_car.offline.job import Job, Work
from numba_car.offline.manifest import Rows
from numba_car.offline.places import is_url
from numba_car.offline.state import State, checksum
from numba_car.offline.zarrs import ZarrSink

SHARDS = 8  # of a task: with one, the scheduler is what holds some ten machines up
_IN_HAND = 4  # tasks of a thread of a worker, one of them in work: the scheduler never holds all
_SECONDS = 1.0  # between two looks at how many workers there are
_DEATHS = 100  # of workers that a task may see: it is a machine's fault rather than its own


@functools.lru_cache(4)
def _opened(job: bytes, out: str) -> tuple[Work, ZarrSink]:
    return Work(pickle.loads(job)), ZarrSink(out)


def _task(job: bytes, out: str, blocks: list[Rows]) -> list[tuple[Rows, Array, int]]:
    """Do some blocks, on a worker; say what each was."""
    work, sink = _opened(job, out)
    found = []
    for rows in blocks:
        block, records = work.compute(*rows)
        sink.write(rows[0], block)
        found.append((rows, records, checksum(block, records)))
    return found


def _absolute(name: Any) -> Any:
    """Return a file's name so that it means the same in any folder; leave all else as it is."""
    if not isinstance(name, str) or is_url(name):
        return name
    return os.path.abspath(name)  # noqa: PTH100 - keeps `.h5:/dataset`


def _for_workers(job: Job, *, local: bool) -> bytes:
    lower, upper = map(_absolute, job.bounds)
    return pickle.dumps(
        replace(
            job,
            x=_absolute(job.x),
            delta=_absolute(job.delta),
            eps=_absolute(job.eps),
            bounds=(lower, upper),
            num_threads=1 if local and job.num_threads is None else job.num_threads,
        )
    )


@contextmanager
def _connected(scheduler: str, workers: int | None) -> Any:
    if scheduler != "local":
        log = logging.getLogger("distributed.client")  # which tells a lost scheduler at length
        level = log.level
        log.setLevel(logging.CRITICAL)
        try:
            with Client(scheduler) as client:
                yield client
        finally:
            log.setLevel(level)
        return
    quiet = {
        "distributed.scheduler.allowed-failures": _DEATHS,
        "distributed.worker.daemon": True,
        "logging.distributed": "critical",
    }
    with (
        dask.config.set(quiet),
        LocalCluster(
            n_workers=workers or default_threads(),
            threads_per_worker=1,
            processes=True,
            memory_limit=0,  # the size of a block sees to that
            dashboard_address=":0",  # any port that is free
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def run_on_cluster(
    work: Work,
    state: State,
    blocks: list[Rows],
    done: Callable[[int, int], None],
    scheduler: str,
    workers: int | None,
) -> None:
    """Compute the blocks on the workers of a scheduler, or of a cluster of processes on this machine."""
    if not blocks:
        return
    job = _for_workers(work.job, local=scheduler == "local")
    out = _absolute(state.output.where())
    with _connected(scheduler, workers) as client:
        at_once, asked = _at_once(client), time.monotonic()
        size = max(1, min(SHARDS, len(blocks) // at_once))  # where there are few, some for each
        left = iter([blocks[start : start + size] for start in range(0, len(blocks), size)])

        def submit(count: int) -> list[Any]:
            some = itertools.islice(left, max(0, count))
            return [client.submit(_task, job, out, part, pure=False) for part in some]

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
    """How many tasks to have in hand, of the workers that there are by now."""
    threads: dict[str, int] = client.nthreads()
    return _IN_HAND * max(1, sum(threads.values()))
