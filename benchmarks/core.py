"""The core's numbers, beside what they are compared with: ``python -m benchmarks.core``.

Prints medians of alternated runs: float32, p = 2 at 256 x 150528 against foolbox's NumPy path and the
inexact one-liner; rows built to make Newton's method slow against ``method="sort"``; the cost of
importing; and the first call of a process, with and without compiled kernels in the cache.
"""

import os
import subprocess
import sys
import tempfile
import time
from functools import partial

import numpy as np

import numba_car as car

SHAPE = (256, 150528)


def medians(functions, runs):
    """Median seconds of each function, the functions taking turns."""
    seconds = np.empty((runs, len(functions)))
    for row in seconds:
        for column, function in enumerate(functions):
            start = time.perf_counter()
            function()
            row[column] = time.perf_counter() - start
    return np.median(seconds, axis=0)


def one_liner(x, delta, eps):
    return np.clip(x + eps / np.linalg.norm(delta, axis=1, keepdims=True) * delta, 0, 1)


def against_foolbox():
    from foolbox.external.clipping_aware_rescaling import l2_clipping_aware_rescaling

    rng = np.random.default_rng(0)
    x, delta = rng.random(SHAPE, np.float32), rng.standard_normal(SHAPE, np.float32)
    eps = np.float32(0.3 * np.sqrt(SHAPE[1]))
    functions = (
        lambda: car.eta(x, delta, eps),
        lambda: car.rescale(x, delta, eps),
        lambda: one_liner(x, delta, eps),
        lambda: l2_clipping_aware_rescaling(x, delta, float(eps)),
    )
    car.rescale(x, delta, eps)
    eta, rescale, inexact, foolbox = medians(functions, 3)
    print(f"{SHAPE[0]} x {SHAPE[1]}, float32, p = 2, eps = 0.3 sqrt(n), ns per element:")
    for name, seconds in (
        ("eta", eta),
        ("rescale", rescale),
        ("inexact one-liner", inexact),
        ("foolbox (NumPy), eta", foolbox),
    ):
        print(f"  {name:22} {1e9 * seconds / x.size:8.2f}")
    print(f"  foolbox / eta {foolbox / eta:.0f}, one-liner / rescale {inexact / rescale:.2f}")


def slow_rows(count, n, ratio=2.2, groups=45, lead=0.05):
    """Rows on which each of Newton's passes clips a single group of elements.

    The groups' weights fall by `ratio`, and each group's breakpoint lies by `lead` left of where the
    pass that still has it free arrives; the next group's lies right of that as long as
    (ratio - 1) * (1 - lead) > 1. The elements that a sample would see do not move.
    """
    weights = ratio ** -np.arange(groups, dtype=float)
    caps, free, remaining = np.empty(groups), weights.sum(), 1.0
    for k in range(groups):
        caps[k] = weights[k] * remaining / free * (1 - lead)
        free, remaining = free - weights[k], remaining - caps[k]
    size = n // groups
    delta, room = (np.sqrt(np.repeat(v / size, size)) for v in (weights, caps))
    x = np.full((count, n), 0.5)
    directions = np.zeros_like(x)
    seen = np.arange(n) % (n // 16) < n // 256
    places = np.flatnonzero(~seen)[: delta.size]
    x[:, places], directions[:, places] = 1 - room[: places.size], delta[: places.size]
    return x, directions, np.full(count, np.sqrt(1 - remaining / 2))


def against_sort():
    print("rows built to make Newton slow, newton / sort:")
    for count, n in ((64, 3072), (8, 150528), (1, 6_000_000)):
        x, delta, eps = slow_rows(count, n)
        calls = [partial(car.eta, x, delta, eps, method=method) for method in ("newton", "sort")]
        medians(calls, 1)  # compile
        slow, sort = medians(calls, 5)
        print(f"  {count} x {n}: {slow / sort:.2f}  ({1e9 * slow / x.size:.0f} ns per element)")


def seconds_of(code, **environment):
    code = f"import time; start = time.perf_counter(); {code}; print(time.perf_counter() - start)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(found.stdout)


def start_up():
    both = [[seconds_of("import numpy"), seconds_of("import numpy, numba_car")] for _ in range(9)]
    base, ours = np.median(both, axis=0)
    print(f"import numba_car: {1e3 * (ours - base):.0f} ms more than numpy's {1e3 * base:.0f} ms")
    call = "import numpy as np, numba_car as car; x = np.full((4, 784), 0.5, 'f'); car.eta(x, x, 1)"
    bare = "import numpy, numba; numba.njit(lambda x: x + 1)(1)"
    for name, code in (("numba alone, a trivial function", bare), ("eta, float32, p = 2", call)):
        first, later = [], []
        for _ in range(3):
            with tempfile.TemporaryDirectory() as folder:
                first.append(seconds_of(code, NUMBA_CAR_CACHE_DIR=folder))
                later.append(seconds_of(code, NUMBA_CAR_CACHE_DIR=folder))
        print(
            f"first call, {name}: {np.median(first):.2f} s, next process {np.median(later):.2f} s"
        )


if __name__ == "__main__":
    start_up()
    against_sort()
    against_foolbox()
