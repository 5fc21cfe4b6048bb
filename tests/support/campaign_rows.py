"""Hard rows by the batch, drawn without end: all dtypes, powers, bounds, sizes and corners of eps."""

import math

import ml_dtypes
import numpy as np

from numba_car._core.constants import MOST_SORTED
from numba_car._cpu.long_rows import LONG
from tests.support.campaign_judge import Batch, spacing
from tests.support.strategies import FAMILIES

DTYPES = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
USUAL_POWERS = (0.5, 1.0, 2.0, 3.5, math.inf)
ELEMENTS, ROWS, FEW = 2**15, 2**11, 16
"""The most of a batch; rows that only exact arithmetic can judge come in small batches."""


def _ties(rng, n, info):
    return rng.integers(0, 5, n) / 4, rng.choice([-4, -2, -1, 0, 1, 2, 4], n) / 4


def _heavy(rng, n, info):
    """One element moves, or has room, far more than all the others."""
    delta = rng.normal(size=n) * 10.0 ** -rng.integers(0, 20)
    delta[rng.integers(n)] = rng.normal()
    return 1 - 10.0 ** -rng.uniform(0, 8, n), delta


KINDS = {**FAMILIES, "ties": _ties, "heavy": _heavy}


def _power(rng):
    if rng.random() < 0.8:
        return float(rng.choice(USUAL_POWERS, p=[0.15, 0.2, 0.25, 0.2, 0.2]))
    low, high = [(-9, -2), (-2, 0), (0, 1), (1, 3)][rng.choice(4, p=[0.1, 0.3, 0.3, 0.3])]
    return float(10 ** rng.uniform(low, high))


def _size(rng):
    small, some = rng.integers(1, 9), rng.integers(9, 65)
    many = 10 ** rng.uniform(1.8, 3.6)
    # Sorted in pieces; and cut into chunks. What is compiled in cannot be had with less.
    long, longer = rng.integers(MOST_SORTED + 1, 2 * MOST_SORTED), LONG + rng.integers(2 * LONG)
    sizes = [small, some, many, long, longer]
    return int(rng.choice(sizes, p=[0.75, 0.22, 0.025, 0.004, 0.001]))


def _way(rng, rows, n):
    """How to solve a batch, in parts of what size, and of how many rows: chunks are slow."""
    way = str(rng.choice(["as it is", "chunks", "blocks"], p=[0.9, 0.05, 0.05]))
    if way == "as it is":
        return way, 0, rows
    whole = n if way == "chunks" else rows
    part = int(rng.integers(-(-whole // 16), whole + 1))
    return way, part, min(rows, FEW) if way == "chunks" else rows


def rounded(values, dtype):
    """Values in a dtype, none of which overflows."""
    most = float(ml_dtypes.finfo(dtype).max)
    return np.clip(values, -most, most).astype(dtype)


def _scales(rng, info, shape=()):
    """Powers of ten from 1e-30 to 1e30, or what the dtype has of those; mostly 1."""
    least = max(-30, 0.8 * math.log10(float(info.smallest_normal)))
    most = min(30, 0.8 * math.log10(float(info.max)))
    return np.where(rng.random(shape) < 0.5, 1.0, 10 ** rng.uniform(least, most, shape))


def _bounds(rng, x, scale, dtype):
    """x inside bounds of some kind, and those."""
    kind = rng.choice(["unit", "none", "infinite", "lower", "upper", "rows", "elements"])
    top = float(rounded(scale, dtype))
    if kind in ("unit", "lower", "upper"):
        x = np.clip(x, 0, top).astype(dtype)
        return x, None if kind == "upper" else 0.0, None if kind == "lower" else top
    if kind in ("none", "infinite"):
        return x, *((None, None) if kind == "none" else (-math.inf, math.inf))
    if kind == "rows":
        return x, x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    widest = rng.choice([1.0, 100.0, np.inf])
    gaps = rng.choice([0.0, 0.25, 1.0, widest], (2, *x.shape), p=[0.1, 0.4, 0.45, 0.05])
    lower, upper = (
        np.where(np.isinf(gap), sign * np.inf, x.astype(float) + sign * scale * gap)
        for gap, sign in zip(gaps, (-1, 1), strict=True)
    )
    return x, lower.astype(dtype), upper.astype(dtype)


def _eps(rng, batch):
    """Target norms: parts of R, around R, 0, tiny, huge, and ulps beside norms at breakpoints."""
    rows, info = len(batch.x), batch.info
    some = rng.integers(batch.x.shape[1], size=rows)
    ends = np.where(batch.speed > 0, batch.room / batch.speed, 0)[np.arange(rows), some]
    kinks = np.where(np.isfinite(ends), batch.norm_at(np.where(np.isfinite(ends), ends, 0)), 0)
    reach = batch.reach
    any_size = _scales(rng, info, rows) * rng.random(rows)
    high = np.where(np.isfinite(reach), reach, any_size)
    eps = np.choose(
        rng.choice(8, rows, p=[0.2, 0.15, 0.3, 0.15, 0.03, 0.03, 0.04, 0.1]),
        [
            high * rng.random(rows),
            high * 10 ** rng.uniform(-6, 0, rows),
            kinks,
            high * (1 - rng.choice([-1, 0, 1], rows) * 2.0 ** -rng.integers(1, 60, rows)),
            np.zeros(rows),
            float(info.smallest_subnormal) * rng.integers(1, 99, rows),
            rng.choice([float(info.max), float(info.smallest_normal)], rows),
            any_size,
        ],
    )
    eps = np.clip(np.nan_to_num(eps), 0, float(info.max)).astype(batch.dtype).astype(float)
    beside = rng.integers(-3, 4, rows) * (rng.random(rows) < 0.5) * (eps > 0)
    eps = np.clip(eps + beside * spacing(eps, info), 0, float(info.max))
    return eps.astype(batch.dtype)


def draw(rng, p=None):
    """One batch, of rows of this power if it is given."""
    dtype = np.dtype(DTYPES[rng.choice(4, p=[0.12, 0.08, 0.4, 0.4])])
    info, p, n = ml_dtypes.finfo(dtype), p or _power(rng), _size(rng)
    rows = max(1, min(ROWS, ELEMENTS // n))
    if p < 0.1 and dtype == float:
        n, rows = min(n, 64), 32
    way, part, rows = _way(rng, rows, n)
    family = str(rng.choice(sorted(KINDS)))
    drawn = [KINDS[family](rng, n, info) for _ in range(rows)]
    scale = float(_scales(rng, info))
    x = rounded(np.stack([x for x, _ in drawn]) * scale, dtype)
    speeds = np.stack([delta for _, delta in drawn]) * _scales(rng, info, (rows, 1))
    x, lower, upper = _bounds(rng, x, scale, dtype)
    delta = rounded(speeds, dtype)
    axis = rng.choice([None, 1])
    batch = Batch(x, delta, np.zeros(rows, dtype), p, lower, upper, family, axis, way, part)
    batch.eps = _eps(rng, batch)
    if axis is None and rng.random() < 0.5:
        batch.eps[:] = rng.choice(batch.eps)
    return batch
