"""Directions and norms drawn row by row, so that they depend on the seed and the row alone."""

from collections.abc import Callable

import numpy as np

from numba_car._cpu.threads import default_threads, run
from numba_car._layout import Array, DType

_NORMS = 1  # high word of the counter: a stream of its own, whether noise is drawn or not


def _generator(seed: int, row: int, stream: int = 0) -> np.random.Generator:
    key = np.array([seed, row], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, stream]))


def _gaussian(rng: np.random.Generator, out: Array) -> None:
    rng.standard_normal(out=out, dtype=out.dtype)


def _uniform(rng: np.random.Generator, out: Array) -> None:
    rng.random(out=out, dtype=out.dtype)
    out *= 2
    out -= 1


def _laplace(rng: np.random.Generator, out: Array) -> None:
    out[...] = rng.laplace(size=out.shape)


def _sign(rng: np.random.Generator, out: Array) -> None:
    out[...] = 2 * rng.integers(0, 2, out.shape, np.int8) - 1


KINDS: dict[str, Callable[[np.random.Generator, Array], None]] = {
    "gaussian": _gaussian,
    "uniform": _uniform,
    "laplace": _laplace,
    "sign": _sign,
}


def directions(
    kind: str,
    seed: int,
    start: int,
    shape: tuple[int, ...],
    dtype: DType,
    num_threads: int | None = None,
) -> Array:
    """Rows from start on, of standard noise; drawn in float32 for a shorter dtype."""
    out = np.empty(shape, np.float64 if dtype == np.float64 else np.float32)

    def task(row: int) -> None:
        KINDS[kind](_generator(seed, start + row), out[row])

    run(task, len(out), num_threads or default_threads())
    return out.astype(dtype, copy=False)


def uniform_norms(low: float, high: float, seed: int, start: int, stop: int) -> Array:
    """One number from [low, high) for each row."""
    rows = range(start, stop)
    drawn = (_generator(seed, row, _NORMS).uniform(low, high) for row in rows)
    return np.fromiter(drawn, np.float64, len(rows))
