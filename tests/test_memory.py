"""Extra memory is that of a few blocks, whatever the layout, the dtype and the method."""

import tracemalloc

import numpy as np
import pytest

import numba_car as car

SHAPE = (3000, 2000)


def layouts():
    rng = np.random.default_rng(0)
    x = rng.random(SHAPE, dtype=np.float32)
    return {
        "C": x,
        "Fortran": np.asfortranarray(x),
        "strided": np.repeat(x, 2, axis=1)[:, ::2],
        "byte-swapped": x.astype(">f4"),
        "float16": x.astype(np.float16),
        "uint8": (x * 255).astype(np.uint8),
    }


@pytest.mark.parametrize("method", ["newton", "sort"])
@pytest.mark.parametrize("layout", ["C", "Fortran", "strided", "byte-swapped", "float16", "uint8"])
def test_the_batch_is_not_copied(layout, method):
    x = layouts()[layout]
    delta = np.broadcast_to(np.float32([1, -1] * (SHAPE[1] // 2)), SHAPE)
    bounds = (0, 255) if layout == "uint8" else (0, 1)
    options = {"bounds": bounds, "method": method, "num_threads": 2}
    car.eta(x[:16], delta[:16], 5.0, **options)  # compiles
    tracemalloc.start()
    try:
        car.eta(x, delta, 5.0, **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * SHAPE[0] * SHAPE[1] * 4


@pytest.mark.parametrize("method", ["newton", "sort"])
@pytest.mark.parametrize("p", [1, 2])
def test_long_rows_are_not_copied(p, method):
    rng = np.random.default_rng(1)
    x, delta = (rng.random((3, 2_000_000), np.float32) for _ in range(2))
    options = {"p": p, "method": method, "num_threads": 2}
    eps = 0.1 * float(car.max_norm(x[0], delta[0], p=p))
    car.eta(x[:1], delta[:1], eps, **options)  # compiles
    tracemalloc.start()
    try:
        car.eta(x, delta, eps, **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.01 * (x.nbytes + delta.nbytes) + 16e6
