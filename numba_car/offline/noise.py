"""Random directions and norms: those of a row depend on the seed and the index of the row alone."""

from collections.abc import Callable

import numpy as np

from numba_car._cpu.threads import default_threads, run
from numba_car._layout import Array, DType

_NORMS = 1  # high word of the counter: norms have a stream apart from that of the directions


def _generator(seed: int, row: int, stream: int = 0) -> np.random.Generator:
    """Return the generator of a row, for directions (stream 0) or norms (stream 1)."""
    key = np.array([seed, row], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, stream]))


def _gaussian(rng: np.random.Generator, out: Array) -> None:
    """Fill out with standard normal numbers."""
    rng.standard_normal(out=out, dtype=out.dtype)


def _uniform(rng: np.random.Generator, out: Array) -> None:
    """Fill out with uniform numbers from [-1, 1)."""
    rng.random(out=out, dtype=out.dtype)
    out *= 2
    out -= 1


def _laplace(rng: np.random.Generator, out: Array) -> None:
    """Fill out with Laplace-distributed numbers of scale 1."""
    out[...] = rng.laplace(size=out.shape)


def _sign(rng: np.random.Generator, out: Array) -> None:
    """Fill out with -1 and 1, each with probability 1/2."""
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
    """Return noise for a block of rows that begins at row start; float16 is drawn in float32."""
    out = np.empty(shape, np.float64 if dtype == np.float64 else np.float32)

    def task(row: int) -> None:
        KINDS[kind](_generator(seed, start + row), out[row])

    run(task, len(out), num_threads or default_threads())
    return out.astype(dtype, copy=False)


def uniform_norms(low: float, high: float, seed: int, start: int, stop: int) -> Array:
    """Return one number from [low, high) for each of rows start to stop."""
    rows = range(start, stop)
    drawn = (_generator(seed, row, _NORMS).uniform(low, high) for row in rows)
    return np.fromiter(drawn, np.float64, len(rows))
