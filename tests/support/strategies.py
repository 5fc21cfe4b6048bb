"""Hard rows: ties, zeros, subnormals, heavy tails, bounds of every kind, eps around every corner.

Most rows come from a seeded NumPy generator, so that long ones are cheap to draw; short ones are
also drawn element by element, so that a failure shrinks to a readable row.
"""

import math
from dataclasses import replace

import mpmath
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.support import oracle
from tests.support.oracle import Row

POWERS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.7, math.inf)


def _mostly(usual, unusual, times):
    """`usual` that many times more often than `unusual` (`one_of` would drop its repeats)."""
    return st.integers(0, times).flatmap(lambda k: unusual if k == times else usual)


DTYPES = st.sampled_from([np.float32, np.float64, np.float16])
SIZES = _mostly(st.integers(1, 4) | st.integers(1, 64), st.just(0), 20)
ANY_POWERS = _mostly(st.sampled_from(POWERS), st.floats(0.05, 100.0), 7)


def _sign(rng, n):
    return rng.choice([-1.0, 1.0], n)


def _uniform(rng, n, info):
    return rng.random(n), rng.normal(size=n)


def _pixels(rng, n, info):
    return rng.integers(0, 256, n) / 255, rng.integers(-255, 256, n) / 255


def _sign_steps(rng, n, info):
    return rng.integers(0, 256, n) / 255, rng.choice([-1.0, 0.0, 1.0], n) * 8 / 255


def _constant(rng, n, info):
    return np.full(n, rng.random()), np.full(n, rng.normal())


def _on_a_bound(rng, n, info):
    return rng.choice([0.0, 0.5, 1.0], n), rng.normal(size=n)


def _sparse(rng, n, info):
    return rng.random(n), rng.normal(size=n) * (rng.random(n) < 0.1)


def _cauchy(rng, n, info):
    return rng.random(n), rng.standard_cauchy(n)


def _lognormal(rng, n, info):
    return rng.random(n), _sign(rng, n) * rng.lognormal(0, 4, n)


def _geometric(rng, n, info):
    """Breakpoints a constant factor apart, the worst case of Newton's method."""
    return np.full(n, 0.25), _sign(rng, n) * rng.uniform(1.2, 4.0) ** -rng.permutation(n)


def _wide(rng, n, info):
    """Every magnitude that the dtype has."""
    least, most = math.log10(info.smallest_normal), math.log10(info.max)
    x = 10 ** rng.uniform(least, 0, n)
    return x, _sign(rng, n) * 10 ** rng.uniform(0.95 * least, 0.95 * most, n)


def _subnormal(rng, n, info):
    least = float(info.smallest_subnormal)
    return least * rng.integers(0, 9, n), least * rng.integers(-9, 10, n)


FAMILIES = {
    family.__name__.strip("_"): family
    for family in (
        _uniform,
        _pixels,
        _sign_steps,
        _constant,
        _on_a_bound,
        _sparse,
        _cauchy,
        _lognormal,
        _geometric,
        _wide,
        _subnormal,
    )
}


def _round(values, dtype):
    """Nearest of the dtype's finite values."""
    most = float(np.finfo(dtype).max)
    with np.errstate(under="ignore"):
        return np.clip(values, -most, most).astype(dtype)


def _float(value, dtype):
    """An mpmath number as the nearest finite value of the dtype, as a Python float."""
    most = float(np.finfo(dtype).max)
    return float(_round(float(min(value, most)), dtype))


def family_arrays(family, shape, dtype, seed=0):
    """x in [0, 1] and delta, both of the given shape, from one of FAMILIES."""
    rng = np.random.default_rng(seed)
    x, delta = FAMILIES[family](rng, math.prod(shape), np.finfo(dtype))
    return _round(x, dtype).reshape(shape), _round(delta, dtype).reshape(shape)


def slow_row(p, copies, groups=45, ratio=2.2):
    """Groups whose weights fall by `ratio`, each clipped by a pass of its own.

    An element that hardly moves has so much room that the sums of rooms tell nothing.
    """
    weights = ratio ** -np.arange(groups, dtype=float)
    caps, free, remaining = np.empty(groups), weights.sum(), 1.0
    for k in range(groups):
        caps[k] = weights[k] * remaining / free * 0.95
        free, remaining = free - weights[k], remaining - caps[k]
    delta, room = (np.repeat(values / copies, copies) ** (1 / p) for values in (weights, caps))
    room, delta = np.append(room, 1000.0), np.append(delta, 1e-20 ** (1 / p))
    return Row(1 - room, delta, float((1 - remaining / 2) ** (1 / p)), p, -1000.0)


def _drawn_elements(dtype):
    width = 8 * np.dtype(dtype).itemsize
    finite = st.floats(allow_nan=False, allow_infinity=False, width=width)
    simple = st.sampled_from([0.0, 0.25, 0.5, 1.0, -1.0, -0.5])
    x = st.floats(0, 1, width=width) | simple.map(abs) | finite
    return st.integers(0, 8).flatmap(
        lambda n: st.tuples(
            hnp.arrays(dtype, n, elements=x),
            hnp.arrays(dtype, n, elements=simple | finite),
            st.just(1.0),
        )
    )


def _scaled(values, exponent, dtype):
    with np.errstate(over="ignore", under="ignore"):
        return _round(np.ldexp(values.astype(float), exponent), dtype)


@st.composite
def _generated_elements(draw, dtype, sizes):
    """x in [0, scale] and delta of one family, and that scale; scales are powers of two."""
    x, delta = family_arrays(
        draw(st.sampled_from(sorted(FAMILIES))),
        (draw(sizes),),
        dtype,
        draw(st.integers(0, 2**32 - 1)),
    )
    reach = int(0.9 * np.finfo(dtype).maxexp)
    exponents = st.just(0) | st.integers(-reach, reach)
    scale = draw(exponents)
    return _scaled(x, scale, dtype), _scaled(delta, draw(exponents), dtype), 2.0**scale


@st.composite
def _bounds(draw, x, scale, dtype):
    """Bounds of one kind, and x moved inside them."""
    least, most = (float(x.min()), float(x.max())) if x.size else (0.0, scale)
    kind = draw(st.sampled_from(["unit", "unit", "none", "inf", "upper", "lower", "hull", "array"]))
    if kind == "unit":
        return np.clip(x, 0, scale).astype(dtype), 0.0, scale
    if kind == "array":
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        widest = draw(st.sampled_from([1.0, 100.0, np.inf]))
        gaps = rng.choice([0.0, 0.25, 1.0, widest], (2, x.size), p=[0.1, 0.4, 0.45, 0.05])
        with np.errstate(over="ignore", under="ignore"):
            lower, upper = x - scale * gaps[0], x + scale * gaps[1]
            return x, lower.astype(dtype), upper.astype(dtype)
    lower = least if kind in ("lower", "hull") else None
    upper = most if kind in ("upper", "hull") else None
    return x, *((-math.inf, math.inf) if kind == "inf" else (lower, upper))


@st.composite
def _eps(draw, row, dtype):
    """A target norm, a float that the dtype can hold."""
    info = np.finfo(dtype)
    highest = oracle.max_norm(row)
    ends = [end for end in row.breakpoints if end is not None]
    kinds = ["any", "any", "zero", "least", "tiny", "most"]
    if mpmath.isfinite(highest) and highest > 0:
        kinds = ["part"] * 8 + ["all", "under", "over", "double", *kinds[1:]]
    if ends and max(ends) > 0:
        kinds = ["kink"] * 4 + kinds
    kind = draw(st.sampled_from(kinds))
    if kind == "part":
        return _float(draw(st.floats(1e-6, 0.9999)) * highest, dtype)
    if kind == "kink":
        end = draw(st.sampled_from(sorted(end for end in ends if end > 0)))
        beside = draw(st.sampled_from([-1, 0, 1])) * 2.0 ** -draw(st.integers(5, info.nmant))
        with mpmath.workprec(oracle.BITS):
            return _float(oracle.norm_at(end, row) * (1 + mpmath.mpf(beside)), dtype)
    if kind == "any":
        return draw(st.floats(0, float(info.max), width=info.bits))
    if kind in ("all", "under", "over", "double"):
        nearest = dtype(_float(highest, dtype))
        with np.errstate(over="ignore", under="ignore"):
            shifted = {
                "all": nearest,
                "under": np.nextafter(nearest, dtype(0)),
                "over": np.nextafter(nearest, dtype(np.inf)),
                "double": 2 * nearest,
            }[kind]
        return float(min(shifted, info.max))
    fixed = {"zero": 0, "least": info.smallest_subnormal, "tiny": info.tiny, "most": info.max}
    return float(fixed[kind])


@st.composite
def rows(draw, sizes=SIZES, powers=ANY_POWERS):
    """One hard row as an `oracle.Row`, with arrays and eps of the same float dtype."""
    dtype = draw(DTYPES)
    x, delta, scale = draw(_mostly(_generated_elements(dtype, sizes), _drawn_elements(dtype), 4))
    x, lower, upper = draw(_bounds(x, scale, dtype))
    row = Row(x, delta, 0.0, draw(powers), lower, upper)
    return replace(row, eps=draw(_eps(row, dtype)))


def long_rows():
    """Rows of up to 1000 elements, for the powers whose oracle is quick."""
    return rows(st.integers(65, 1000), st.sampled_from([1.0, 2.0, 3.0, math.inf]))
