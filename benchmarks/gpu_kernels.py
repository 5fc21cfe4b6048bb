"""Call every kernel on small batches, for the sanitizers: ``python -m benchmarks.gpu_kernels``."""

import argparse
import itertools
import sys

import ml_dtypes
import numpy as np
from numba import cuda

import numba_car as car
import numba_car.cuda
from numba_car import kernels

from .suites.common.data import batch, eps_of

POWERS = 1.0, 2.0, 3.3, np.inf
# A warp a row; 128 and 256 threads; several blocks a row; a block a row of many; sampled twice.
SHAPES = (9, 100), (3, 2000), (2, 6000), (2, 20_000), (300, 13_000), (1, (1 << 20) + 5)
TINY = ((2, 5),)


@cuda.jit
def one_thread_a_row(x, delta, eps, p, etas, out, of_x, of_delta):
    r = cuda.grid(1)
    if r < x.shape[0]:
        etas[r] = kernels.rescale(x[r], delta[r], eps, p, 0.0, 1.0, out[r])
        goal = min(eps, kernels.max_norm(x[r], delta[r], p, 0.0, 1.0))
        row = x[r], delta[r], goal, p, 0.0, 1.0
        kernels.backward(*row, etas[r], delta[r], 0.0, of_x[r], of_delta[r])


def on_device(made):
    return cuda.to_device(made.x), cuda.to_device(made.delta)


def solve(made, p, bounds):
    """Call the solvers and `rescale`, for an eps in reach and one that is not."""
    (x, delta), eps = on_device(made), float(eps_of(made.x.shape[1], p))
    options = {"p": p, "bounds": bounds}
    car.eta(x, delta, eps, **options)
    car.eta(x, delta, eps, method="sort", **options)
    car.solve(x, delta, cuda.to_device(np.full(len(made.x), 10 * eps)), **options)
    car.max_norm(x, delta, **options)
    car.rescale(x, delta, eps, infeasible="nan", **options)


def differentiate(made, p, bounds):
    """Call derivatives in both modes."""
    (x, delta), eps = on_device(made), float(eps_of(made.x.shape[1], p))
    options = {"p": p, "bounds": bounds}
    car.eta_vjp(x, delta, eps, 1.0, **options)
    car.rescale_vjp(x, delta, eps, delta, **options)
    car.eta_jvp(x, delta, eps, delta, x, 1.0, **options)
    car.rescale_jvp(x, delta, eps, delta, x, 1.0, **options)


def other_layouts(made, p):
    """Call what copies: rows along the first axis, halves, integers, arrays of the host."""
    (x, delta), eps = on_device(made), float(eps_of(len(made.x), p))
    car.rescale(x, delta, eps, p=p, axis=0)
    car.rescale_vjp(x, delta, eps, delta, p=p, axis=0)
    half, brain = (
        [cuda.to_device(array.astype(dtype).view(shown)) for array in made[:2]]
        for dtype, shown in ((np.float16, np.float16), (ml_dtypes.bfloat16, "V2"))
    )
    for arrays in (half, brain):
        car.rescale(*arrays, eps, p=p)
        car.rescale_vjp(*arrays, eps, arrays[1], p=p)
    car.rescale(cuda.to_device(np.rint(made.x).astype(np.uint8)), delta, eps, p=p)
    numba_car.cuda.rescale(made.x, made.delta, eps, p=p)
    numba_car.cuda.solve(made.x, made.delta, eps, p=p)


def in_a_kernel(made, p):
    """Call the kernels for callers' own code."""
    count, (x, delta) = len(made.x), on_device(made)
    outputs = [cuda.device_array_like(x) for _ in range(3)]
    etas = cuda.device_array(count, np.float64)
    blocks = -(-count // 32)
    one_thread_a_row[blocks, 32](x, delta, float(eps_of(made.x.shape[1], p)), p, etas, *outputs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--p", type=float, nargs="*", default=POWERS)
    parser.add_argument("--dtype", nargs="*", default=["float32", "float64"])
    parser.add_argument("--tiny", action="store_true", help="one tiny shape")
    options = parser.parse_args()
    shapes = TINY if options.tiny else SHAPES
    for shape, p, dtype in itertools.product(shapes, options.p, options.dtype):
        made = batch(shape, dtype, p)
        given = cuda.to_device(made.x - 1), cuda.to_device(made.x + 1)
        for bounds in ((0.0, 1.0), given):
            solve(made, p, bounds)
            differentiate(made, p, bounds)
        if shape == shapes[0]:
            other_layouts(made, p)
            in_a_kernel(made, p)
        cuda.synchronize()
        sys.stdout.write(f"p = {p}, {dtype}, {shape[0]} x {shape[1]}: done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
