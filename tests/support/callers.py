"""Calls from threads, from Dask's threads and from processes, all at once: `python -m tests.support.callers 10000`.

Whoever calls must get the bits that one thread gets by itself. A process that hangs prints where, and ends;
`tests/test_threads.py` runs this with fewer calls.
"""

import argparse
import faulthandler
import hashlib
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

import numba_car as car
from numba_car import kernels, ragged

try:
    import dask
    import dask.array as da
except ImportError:
    dask = None

RNG = np.random.default_rng(0)
X = RNG.random((400, 1000))  # more than one thread does alone
DELTA = RNG.standard_normal(X.shape)
LONG_X = RNG.random((2, 600_000), dtype=np.float32)
LONG_DELTA = RNG.standard_normal(LONG_X.shape, dtype=np.float32)
SHORT_X, SHORT_DELTA = (values[:3].astype(np.float16) for values in (X, DELTA))
PIXELS, SWEEP = RNG.integers(0, 256, X.shape, np.uint8), np.array([[1.0], [5.0]])
BAD_X = np.where(np.arange(1000) == 7, np.nan, X[:50])

CALLERS, CALLERS_EACH = 64, 8  # threads here, and in every other process
CALLS_EACH, PROCESSES = 50, 4  # of a process, and how many there are at a time
# Forks come cheap; a process of another kind takes seconds to import what it needs.
PARTS = {"fork": 0.2, "forkserver": 0.05, "spawn": 0.05, "dask": 0.05}
LIMIT = 900  # seconds that neither a process nor all calls take


def _raises(threads):
    try:
        car.eta(X, DELTA, 1e9, infeasible="raise", num_threads=threads)
    except ValueError as error:
        return str(error)


CALLS = [
    lambda threads: car.eta(X, DELTA, 5.0, num_threads=threads),
    lambda threads: car.eta(LONG_X, LONG_DELTA, 100.0, num_threads=threads),
    lambda threads: car.eta(X, DELTA, 5.0, method="sort", num_threads=threads),
    lambda threads: car.eta(X[:2], DELTA[:2], 5.0),
    lambda threads: car.eta(BAD_X, DELTA[:50], 5.0, p=1, num_threads=threads),
    lambda threads: car.eta(X[:20], DELTA[:20], 5.0, p=0.5, num_threads=threads),
    lambda threads: car.eta(X.T, DELTA.T, 1.0, axis=0, p=np.inf, num_threads=threads),
    lambda threads: car.rescale(X, DELTA, 5.0, p=3.5, num_threads=threads),
    lambda threads: car.rescale(X, DELTA, 5.0, bounds=(X - 0.1, X + 0.1), num_threads=threads),
    lambda threads: car.rescale(SHORT_X, SHORT_DELTA, 0.5, num_threads=threads),
    lambda threads: car.solve(X, DELTA, 1e9, num_threads=threads),
    lambda threads: car.max_norm(X, DELTA, num_threads=threads),
    lambda threads: car.rescale_vjp(X, DELTA, 5.0, DELTA, num_threads=threads)[:3],
    lambda threads: car.eta_vjp(X, DELTA, 5.0, 1.0, bounds=(X[0] * 0, 1.0), num_threads=threads)[
        :4
    ],
    lambda threads: car.rescale_jvp(X, DELTA, 5.0, DELTA, X, 1.0, num_threads=threads),
    lambda threads: kernels.eta(X[0], DELTA[0], 5.0, 3.5, 0.0, 1.0),
    _raises,
    lambda threads: car.project(X, X + DELTA, 5.0, num_threads=threads),
    lambda threads: car.project(X, X + DELTA, 5.0, p=1, num_threads=threads),
    lambda threads: car.maximize(X, DELTA, 5.0, p=1, num_threads=threads),
    lambda threads: car.rescale(X, DELTA, 5.0, side="inside", num_threads=threads),
    lambda threads: car.rescale(PIXELS, DELTA, 900.0, bounds=(0, 255), step=1, num_threads=threads),
    lambda threads: car.norm(X, DELTA, 0.1, num_threads=threads),
    lambda threads: car.eta(X, DELTA, SWEEP, num_threads=threads),
    lambda threads: car.noise((50, 300), seed=3, num_threads=threads),
    lambda threads: ragged.eta(list(X), list(DELTA), 5.0, num_threads=threads),
]


def bits(found):
    """Say what was found, to the bit."""
    if isinstance(found, str):
        return found
    parts = found if isinstance(found, tuple) else (found,)
    return hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in parts)).hexdigest()


def alone():
    """Return what each call finds by itself; this compiles what they need, too."""
    return [bits(call(1)) for call in CALLS]


def check(expected, index):
    """Make the call of that index, and raise unless it finds what is expected."""
    which = index % len(CALLS)
    found = bits(CALLS[which](1 + index % 5))
    assert found == expected[which], f"call {which}: {found} is not {expected[which]}"


def check_dask(expected, _):
    """Make a call in Dask's own threads, which are shared by all that are under way."""
    x, delta = (da.from_array(values, chunks=(30, -1)) for values in (X, DELTA))
    eta, v = dask.compute(
        car.eta(x, delta, 5.0), car.rescale(x, delta, 5.0, p=3.5), scheduler="threads"
    )
    assert [bits(eta), bits(v)] == [expected[0], expected[7]]


def check_many(expected, indices):
    """Make calls from several threads: the work of a process."""
    faulthandler.enable()
    with ThreadPoolExecutor(CALLERS_EACH) as pool:
        list(pool.map(partial(check, expected), indices))


def check_in_processes(method, expected, starts):
    """Make calls in new processes, some at a time, while the threads of this one are at work."""
    context = multiprocessing.get_context(method)
    left, at_work = list(starts), []
    while left or at_work:
        if left and len(at_work) < PROCESSES:
            start = left.pop()
            indices = range(start, start + CALLS_EACH)
            at_work.append(context.Process(target=check_many, args=(expected, indices)))
            at_work[-1].start()
            continue
        process = at_work.pop(0)
        process.join(LIMIT)
        if process.exitcode is None:
            # An alarm of its own would wait for its parent's, which no fork has.
            os.kill(process.pid, signal.SIGABRT)
            process.join()
        assert process.exitcode == 0, f"{method}: exit code {process.exitcode}"


def call_from_everywhere(count):
    """Make so many calls; return how many came from where."""
    faulthandler.dump_traceback_later(LIMIT + 60, exit=True)
    expected = alone()
    starts = {
        method: range(0, round(count * PARTS[method]), CALLS_EACH)
        for method in multiprocessing.get_all_start_methods()
    }
    made = {method: CALLS_EACH * len(starts[method]) for method in starts}
    made["dask"] = 0 if dask is None else round(count * PARTS["dask"])
    made["threads"] = max(0, count - sum(made.values()))
    tasks = [
        partial(function, expected, index)
        for function, calls in ((check, made["threads"]), (check_dask, made["dask"]))
        for index in range(calls)
    ]
    np.random.default_rng(1).shuffle(tasks)
    with ThreadPoolExecutor(CALLERS) as pool:
        found = pool.map(lambda task: task(), tasks)
        # From this thread: a process that a thread of a pool forked waits for itself in the end.
        for method, places in starts.items():
            check_in_processes(method, expected, places)
        list(found)
    assert alone() == expected
    faulthandler.cancel_dump_traceback_later()
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    sys.stdout.write(f"{call_from_everywhere(parser.parse_args().count)}\n")
