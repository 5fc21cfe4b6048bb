"""Threads for rows: serial kernels without the GIL, on a pool that survives a fork.

numba's own parallel layers abort under concurrent callers (workqueue) or after a fork (omp).
"""

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def _forget_pool() -> None:
    """Replace pool and lock in a forked child, which has none of the threads, and whose lock may stay held."""
    global _lock, _pool, _pool_size
    _lock, _pool, _pool_size = threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def default_threads() -> int:
    """Return NUMBA_CAR_NUM_THREADS, or else the number of CPUs that this process may run on."""
    setting = os.environ.get("NUMBA_CAR_NUM_THREADS")
    if not setting:
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if not setting.isdecimal() or int(setting) < 1:
        raise ValueError(f"NUMBA_CAR_NUM_THREADS must be a positive integer, found {setting!r}")
    return int(setting)


def _helpers(count: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < count:
            # A smaller pool still in use finishes its work and is collected.
            _pool, _pool_size = ThreadPoolExecutor(count, "numba_car"), count
        return _pool


def run(task: Callable[[int], None], count: int, num_threads: int) -> None:
    """Call task(0) ... task(count - 1), shared among threads of which the caller is one.

    The first exception, a KeyboardInterrupt included, stops the rest and is raised once no thread
    is at work any more: nobody writes into the caller's arrays after that.
    """
    helpers = min(num_threads, count) - 1
    if helpers < 1:
        for index in range(count):
            task(index)
        return
    indices = iter(range(count))
    stopped = threading.Event()

    def work() -> None:
        try:
            for index in indices:
                if stopped.is_set():
                    return
                task(index)
        except BaseException:
            stopped.set()
            raise

    def serve(future: Future[None]) -> None:
        if future.set_running_or_notify_cancel():
            try:
                work()
                future.set_result(None)
            except BaseException as raised:  # noqa: BLE001 - the caller raises it
                future.set_exception(raised)

    futures: list[Future[None]] = []
    error: BaseException | None = None
    try:
        # RuntimeError: no thread can be started, as while Python shuts down. The caller does all but what
        # the pool has taken on for whichever thread is free.
        with contextlib.suppress(RuntimeError):
            pool = _helpers(helpers)
            for _ in range(helpers):
                futures.append(Future())
                pool.submit(serve, futures[-1])
        work()
    except BaseException as raised:  # noqa: BLE001 - it is raised once the helpers are done
        stopped.set()
        error = raised
    started = [future for future in futures if not future.cancel()]
    while True:
        try:
            wait(started)
            break
        except BaseException as raised:  # noqa: BLE001 - an interrupt does not end the wait either
            stopped.set()
            error = error or raised
    for problem in (error, *(future.exception() for future in started)):
        if problem is not None:
            raise problem
