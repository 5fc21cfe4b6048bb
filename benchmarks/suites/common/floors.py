"""The least time that memory and powers allow, and our time as a multiple of it.

Each floor is one pass in the dtype's own lanes, its arrays cut into one part for each thread. Parts of
65,536 or 262,144 elements, two accumulators instead of one, and numba's own ``parallel=True`` take
the same time or longer.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise

import numba
import numpy as np

from .calls import bounds_like, ready
from .timing import ratio

_kernel = numba.njit(
    nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "nnan"}
)


@_kernel
def _read(x, delta):
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] + delta[i]
    return total


@_kernel
def _read_four(x, delta, lower, upper):
    total = x.dtype.type(0)
    for i in range(x.size):
        total += (x[i] + delta[i]) + (lower[i] + upper[i])
    return total


@_kernel
def _fused(x, delta, out):
    scale, low, high = x.dtype.type(0.3), x.dtype.type(0), x.dtype.type(1)
    for i in range(x.size):
        out[i] = min(max(x[i] + scale * delta[i], low), high)


@_kernel
def _fused_vjp(x, delta, g, to_x, to_delta):
    scale, low, high = x.dtype.type(0.3), x.dtype.type(0), x.dtype.type(1)
    for i in range(x.size):
        moved = x[i] + scale * delta[i]
        to_x[i] = g[i] if low < moved < high else low
        to_delta[i] = scale * to_x[i]


@_kernel
def _powers(x, delta, p):
    total, high, power = x.dtype.type(0), x.dtype.type(1), x.dtype.type(p)
    for i in range(x.size):
        room = high - x[i] if delta[i] > 0 else x[i]
        # ``**`` takes longer: 1.6 times as long for float32, 1.15 times for float64.
        total += np.exp(power * np.log(abs(delta[i]))) + np.exp(power * np.log(room))
    return total


@cache
def _pool():
    return ThreadPoolExecutor(threads())


def threads():
    """Return how many CPUs this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count()


def _shared(kernel, arrays, *numbers):
    """Run a kernel over equal parts of the arrays."""
    flat, count = [array.reshape(-1) for array in arrays], threads()
    ends = [flat[0].size * part // count for part in range(count + 1)]
    parts = [[array[a:b] for array in flat] for a, b in pairwise(ends)]
    waiting = [_pool().submit(kernel, *part, *numbers) for part in parts[1:]]
    kernel(*parts[0], *numbers)
    for future in waiting:
        future.result()


def read(made):
    """One pass that adds up x and delta."""
    return partial(_shared, _read, (made.x, made.delta))


def fused(made):
    """One pass that writes clip(x + c*delta), into memory that is touched."""
    return partial(_shared, _fused, (made.x, made.delta, np.zeros_like(made.x)))


def fused_vjp(made):
    """One pass that reads x, delta and g and writes two gradients, into memory that is touched."""
    x, delta = made[:2]
    return partial(
        _shared, _fused_vjp, (x, delta, np.ones_like(x), np.zeros_like(x), np.zeros_like(x))
    )


def fused_vjp_new(made):
    """The same into new arrays, which the system has to provide and clear."""
    x, delta, g = made.x, made.delta, np.ones_like(made.x)
    return lambda: _shared(_fused_vjp, (x, delta, g, np.empty_like(x), np.empty_like(x)))


def read_four(made):
    """One pass that adds up x, delta and both bounds, arrays all."""
    return partial(_shared, _read_four, (made.x, made.delta, *bounds_like(made.x)))


def powers(made):
    """One pass that raises |delta| and the room to the power p, once each."""
    return partial(_shared, _powers, (made.x, made.delta), made.p)


FLOORS = {floor.__name__: floor for floor in (read, fused, fused_vjp, read_four, powers)}
OURS_AND_FLOOR = {
    "eta / read": ("eta", read),
    "rescale / fused": ("rescale", fused),
    "rescale_vjp / fused_vjp": ("rescale_vjp", fused_vjp),
    "rescale_vjp / fused_vjp, new arrays": ("rescale_vjp", fused_vjp_new),
    "eta, bounds per element / read_four": ("eta", read_four),
    "eta / powers": ("eta", powers),
}


def multiple(name, made, runs=7):
    """How many times as long our call takes as its floor."""
    function, floor = OURS_AND_FLOOR[name]
    options = {"bounds": bounds_like(made.x)} if floor is read_four else {}
    return ratio(ready(function, made, **options), floor(made), runs)


KERNELS = {  # and how many arrays each takes
    "read": (_read, 2),
    "read_four": (_read_four, 4),
    "fused": (_fused, 3),
    "fused_vjp": (_fused_vjp, 5),
}
