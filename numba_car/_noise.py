"""Random directions: those of a row depend on the seed and the index of the row alone."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numba_car._cpu.threads import default_threads, run
from numba_car._layout import Array, DType
from numba_car._options import Options, check_options, check_p
from numba_car._problem import precision_of

_NORMS = 1  # high word of the counter: norms have a stream apart from that of the directions
_ELEMENTS = 1 << 15  # of a task: some 0.3 ms


def noise(
    shape: int | Sequence[int],
    *,
    kind: str = "gaussian",
    seed: int = 0,
    first_row: int = 0,
    dtype: DTypeLike = np.float32,
    p: float | None = None,
    num_threads: int | None = None,
) -> Array:
    r"""Random directions, of which each row depends on the seed and its number alone.

    Row i of the result is drawn from ``numpy.random.Philox(key=[seed, first_row + i])``, so that parts
    of a large batch can be drawn apart, and are the same bits for any number of threads. (A new version of
    NumPy may draw others, which it says in its notes.)
    `numba_car.offline.rescale` and ``numba-car rescale --noise`` draw these directions too.

    Parameters
    ----------
    shape : int or sequence of int
        The shape of the result. Its rows lie along the first axis; one axis alone is one row.
    kind : {"gaussian", "uniform", "laplace", "sign"}, optional
        The distribution of independent elements: standard normal, uniform in [-1, 1), Laplace of scale
        1, or -1 and 1 with probability 1/2 each.
    seed : int, optional
        From 0 to 2**64 - 1.
    first_row : int, optional
        The number of the first row.
    dtype : dtype, optional
        float16, bfloat16, float32 or float64. The first two are drawn in float32 and rounded. The
        numbers of float64 are others than those of float32.
    p : float, optional
        Draw each row uniformly from the unit sphere of this norm, p in (0, inf]; `kind` must then be
        left alone. See the notes.
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.

    Returns
    -------
    ndarray
        Directions for `rescale`, which scales each row to the norm asked for. ``torch.from_numpy`` and its
        like make them another library's.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks a rule above, or unit vectors for a small p are too small for the dtype.

    Notes
    -----
    On the sphere of a p-norm "uniform" means the cone measure: the result is distributed as
    :math:`u / \|u\|_p` for u uniform in the unit ball. For p = 1, 2 and inf that is the uniform
    distribution by area. A row is :math:`t / \|t\|_p` with independent :math:`t_i` of density
    proportional to :math:`e^{-|t|^p}` [1]_ [2]_, which are normal for p = 2 up to scale, Laplace for
    p = 1, and uniform for p = inf. For other p, :math:`t_i = v_i\,g_i^{1/p}` with :math:`v_i` uniform in
    [-1, 1) and :math:`g_i` of the gamma distribution of shape 1 + 1/p.

    References
    ----------
    .. [1] D. Song and A. K. Gupta, "L_p-norm uniform distribution", Proc. Amer. Math. Soc. 125, 1997.
    .. [2] F. Barthe, O. Guédon, S. Mendelson and A. Naor, "A probabilistic approach to the geometry of
       the l_p^n-ball", Ann. Probab. 33, 2005.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> delta = car.noise((100, 3, 32, 32), seed=1)
    >>> delta.shape, delta.dtype
    ((100, 3, 32, 32), dtype('float32'))
    >>> bool((car.noise((2, 3, 32, 32), seed=1, first_row=98) == delta[98:]).all())
    True
    >>> unit = car.noise((100, 50), p=1, dtype=np.float64)
    >>> np.abs(unit).sum(axis=1).round(12)[:3]
    array([1., 1., 1.])
    """
    sizes = _sizes(shape)
    of_row = (1, *sizes) if len(sizes) == 1 else sizes
    check_seed("seed", seed)
    check_seed("first_row", first_row)
    check_seed("the number of the last row", first_row + max(of_row[0] - 1, 0))
    out_dtype = np.dtype(dtype)
    if precision_of(out_dtype) is None:
        raise TypeError(f"dtype must be a floating dtype of at most 64 bits, found {out_dtype}")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, found {kind!r}")
    if p is not None:
        p = check_p(p)
        if kind != "gaussian":
            raise ValueError(f"kind must be left alone where p is given, found {kind!r}")
    threads = check_options(Options(num_threads=num_threads))
    found = directions(kind, int(seed), int(first_row), of_row, out_dtype, threads, p)
    return found.reshape(sizes)


def _sizes(shape: Any) -> tuple[int, ...]:
    """Return a shape of at least one axis as a tuple."""
    try:
        given = shape if isinstance(shape, Iterable) else (shape,)
        sizes = tuple(operator.index(size) for size in given)
    except TypeError:
        raise TypeError(f"shape must be an int or a sequence of ints, found {shape!r}") from None
    if not sizes or min(sizes) < 0:
        raise ValueError(f"shape must have axes of length >= 0, at least one, found {shape!r}")
    return sizes


def check_seed(name: str, value: Any) -> None:
    """Raise unless this is an integer of 64 bits without a sign."""
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_integer or not 0 <= value < 2**64:
        raise ValueError(f"{name} must be an integer from 0 to 2**64 - 1, found {value!r}")


def _generators(seed: int, rows: range, stream: int = 0) -> Iterator[np.random.Generator]:
    """Yield the generator of each row, for directions (stream 0) or norms (stream 1).

    It is one generator put into the state of each row: a new one takes seven times as long, for it also
    reads entropy from the system.
    """
    key = np.array([seed, 0], np.uint64)
    bits = np.random.Philox(key=key, counter=[0, 0, 0, stream])
    generator, state = np.random.Generator(bits), bits.state
    for row in rows:
        state["state"]["key"][1] = row
        bits.state = state
        yield generator


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


Draw = Callable[[np.random.Generator, Array], None]
KINDS: dict[str, Draw] = {
    "gaussian": _gaussian,
    "uniform": _uniform,
    "laplace": _laplace,
    "sign": _sign,
}
# The densities proportional to exp(-|t|**p) that are kinds, up to scale.
_KIND_OF_P = {1.0: "laplace", 2.0: "gaussian", math.inf: "uniform"}


def _on_sphere(p: float) -> Draw:
    """Return a function that fills a row with a uniform direction, of norm 1; see the notes of `noise`."""
    kind = _KIND_OF_P.get(p)

    def draw_terms(rng: np.random.Generator, out: Array) -> None:
        if kind:
            KINDS[kind](rng, out)
            return
        _uniform(rng, out)
        powers = np.log(rng.standard_gamma(1 + 1 / p, out.shape)) / p
        out *= np.exp(powers - powers.max())

    def draw(rng: np.random.Generator, out: Array) -> None:
        if not out.size:
            return
        terms, largest = np.empty(out.shape, out.dtype), 0.0
        while not largest > 0:  # all are 0 with a probability of 2**-24 for one element
            draw_terms(rng, terms)
            largest = float(np.abs(terms).max())
        scaled = terms.astype(np.float64) / largest  # so that no power of all elements underflows
        norm = float(np.linalg.norm(scaled.reshape(-1), ord=p))
        if not norm * float(np.finfo(out.dtype).tiny) < 1:
            raise ValueError(
                f"p must be larger for rows of {out.size} elements: those of a unit vector are too "
                f"small for {out.dtype}, found {p!r}"
            )
        np.divide(scaled, norm, out=out, casting="same_kind")

    return draw


def directions(
    kind: str,
    seed: int,
    start: int,
    shape: tuple[int, ...],
    dtype: DType,
    num_threads: int | None = None,
    p: float | None = None,
) -> Array:
    """Return noise for a block of rows that begins at row start; with p, of unit norm and any kind."""
    out = np.empty(shape, np.float64 if dtype == np.float64 else np.float32)
    draw = KINDS[kind] if p is None else _on_sphere(p)
    size = max(1, _ELEMENTS // max(1, math.prod(shape[1:])))

    def task(index: int) -> None:
        rows = range(index * size, min((index + 1) * size, len(out)))
        numbers = range(start + rows.start, start + rows.stop)
        for row, rng in zip(rows, _generators(seed, numbers), strict=True):
            draw(rng, out[row])

    run(task, -(-len(out) // size), num_threads or default_threads())
    return out.astype(dtype, copy=False)


def uniform_norms(low: float, high: float, seed: int, start: int, stop: int) -> Array:
    """Return one number from [low, high) for each of rows start to stop."""
    rows = range(start, stop)
    drawn = (rng.uniform(low, high) for rng in _generators(seed, rows, _NORMS))
    return np.fromiter(drawn, np.float64, len(rows))
