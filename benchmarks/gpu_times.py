"""Times on a GPU, a JSON object a line: what `benchmarks.gpu` runs in processes of their own.

``python -m benchmarks.gpu_times float32`` (or ``float64``, ``peers``); with ``--tiny``, as under numba's
simulator, on next to nothing.
"""

import argparse
import json
import sys
import time

import numpy as np
from numba import cuda

import numba_car as car
from numba_car._cuda.jit import IS_SIMULATED
from numba_car.cli.info import gpus

from .gpu_peers import PEERS
from .suites.common.data import batch, eps_of

SHAPES = ((65536, 784), (16384, 3072), (1024, 150528), (4, 50_000_000))
MOST_OF_FLOAT64 = 150528
TINY = ((3, 8), (1, 40))
SHARES = (0.3, 0.05, 0.5)
# Arrays read and written, each once, if all goes well.
TRAFFIC = {"eta": 2, "rescale": 3, "rescale_vjp": 5}
SECONDS = 1.0  # that all runs of one call may take


def show(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def seconds_of(call, runs=20):
    """Median time of a call, and of waiting for it."""
    call()
    cuda.synchronize()
    runs = 1 if IS_SIMULATED else runs
    times, end = [], time.perf_counter() + SECONDS
    while len(times) < runs and (not times or time.perf_counter() < end):
        start = time.perf_counter()
        call()
        cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def calls_of(x, delta, eps):
    """Our functions on arrays in device memory."""
    out = cuda.device_array_like(x)
    return {
        "eta": lambda: car.eta(x, delta, eps),
        "rescale": lambda: car.rescale(x, delta, eps, out=out),
        "rescale_vjp": lambda: car.rescale_vjp(x, delta, eps, delta),
    }


def copy_bandwidth(size):
    """Bytes per second of a copy, reads and writes both counted."""
    source = cuda.to_device(np.zeros(size, np.float32))
    target = cuda.device_array_like(source)
    return 2 * 4 * size / seconds_of(lambda: target.copy_to_device(source))


def overhead():
    """Seconds of a call on next to nothing."""
    x, delta = (cuda.to_device(array) for array in batch((1, 8))[:2])
    return seconds_of(lambda: car.eta(x, delta, 0.1), runs=200)


def show_ours(case, made, x, delta):
    """Show times and bandwidths of our functions on one batch."""
    for share in SHARES[:1] if IS_SIMULATED else SHARES:
        eps = float(eps_of(made.x.shape[1], share=share))
        for name, call in calls_of(x, delta, eps).items():
            seconds = seconds_of(call)
            moved = TRAFFIC[name] * made.x.nbytes
            show(**case, share=share, what=name, seconds=seconds, bandwidth=moved / seconds)


def show_peers(case, made, x, delta):
    """Show the time of each peer, or why there is none."""
    for name, peer in PEERS.items():
        try:
            found = {"seconds": seconds_of(peer(x, delta, float(made.eps)), runs=3)}
        except Exception as error:  # noqa: BLE001  one must not cost us the others
            found = {"error": f"{type(error).__name__}: {error}"[:200]}
        show(**case, share=SHARES[0], what=name, **found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["float32", "float64", "peers"])
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    is_tiny = options.tiny or IS_SIMULATED
    if options.what == "float32":
        show(device="numba's simulator" if IS_SIMULATED else gpus())
        show(copy=copy_bandwidth(1 << 10 if is_tiny else 1 << 28))
        show(overhead=overhead())
    dtype = "float64" if options.what == "float64" else "float32"
    for shape in TINY if is_tiny else SHAPES:
        if dtype == "float32" or shape[1] <= MOST_OF_FLOAT64:
            made = batch(shape, dtype)
            x, delta = cuda.to_device(made.x), cuda.to_device(made.delta)
            case = {"shape": list(shape), "dtype": dtype}
            (show_peers if options.what == "peers" else show_ours)(case, made, x, delta)


if __name__ == "__main__":
    main()
