"""Count rows of ``side="inside"`` that are beyond eps in exact arithmetic: ``python -m tests.support.campaign_inside``.

Sums are taken in long doubles, whose rounding is bounded; rows that are as near to eps as that are summed as fractions.
For p = inf nothing is summed: a difference, rounded to nearest, is on the side of eps that the exact one is on, or
equals eps, and then its rounding error decides.
"""

import argparse
import sys
from fractions import Fraction

import ml_dtypes
import numpy as np

import numba_car as car

DTYPES = ("float16", ml_dtypes.bfloat16, "float32", "float64")
POWERS = (1, 2, np.inf)
FUNCTIONS = ("rescale", "project", "maximize")


def is_beyond(x, v, eps, p):
    """Return whether ||v - x||_p > eps of one row, in exact arithmetic."""
    distances = [abs(Fraction(float(a)) - Fraction(float(b))) for a, b in zip(v, x, strict=True)]
    eps = Fraction(float(eps))
    if p == 1:
        return sum(distances) > eps
    if p == 2:
        return sum(d * d for d in distances) > eps * eps
    return max(distances) > eps


def difference(a, b):
    """Return a - b rounded to nearest, and its rounding error, which floats hold (Knuth's two-sum)."""
    rounded = a - b
    negated = a - rounded  # of b, as far as it was taken in
    return rounded, (a - (rounded + negated)) + (negated - b)


def count_beyond(x, v, eps, p):
    """Return how many rows are beyond eps, and how many were decided by fractions."""
    signed, error = difference(v.astype(np.longdouble), x.astype(np.longdouble))
    distances, error = np.abs(signed), error * np.sign(signed)
    if p == np.inf:
        edge = eps[:, None]
        beyond = (distances > edge) | ((distances == edge) & (error > 0))
        return int(beyond.any(axis=1).sum()), 0
    reached = (distances**p).sum(axis=1) ** (np.longdouble(1) / p)
    rounding = (x.shape[1] + 8) * np.finfo(
        np.longdouble
    ).eps  # of differences, powers, sum and root
    unsure = np.flatnonzero(np.abs(reached - eps) <= rounding * eps)
    sure = (reached > eps).sum() - (reached[unsure] > eps[unsure]).sum()
    exactly = sum(is_beyond(x[row], v[row], eps[row], p) for row in unsure)
    return int(sure + exactly), len(unsure)


def draw(rng, count, n, dtype):
    """Return x, a direction and eps of rows of several kinds."""
    x = rng.random((count, n)) ** rng.choice([0.25, 1, 8], (count, 1))
    along = rng.standard_normal((count, n)) * 10.0 ** rng.integers(-3, 3, (count, 1))
    x, along = x.astype(dtype), along.astype(dtype)
    eps = rng.random(count) * rng.choice([1e-3, 0.1, 1], count) * n
    return x, along, eps


def report(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=280_000, help="of each dtype, p and function")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    rng, total, wrong = np.random.default_rng(given.seed), 0, 0
    for dtype in DTYPES:
        for p in POWERS:
            for name in FUNCTIONS:
                n = int(rng.integers(1, 17))
                beyond = decided = 0
                for start in range(0, given.rows, 50_000):
                    x, along, eps = draw(rng, min(50_000, given.rows - start), n, dtype)
                    second = x + along if name == "project" else along
                    v = getattr(car, name)(x, second, eps, p=p, side="inside")
                    found = count_beyond(x, v, eps, p)
                    beyond, decided = beyond + found[0], decided + found[1]
                total, wrong = total + given.rows, wrong + beyond
                report(
                    f"{np.dtype(dtype).name}, p = {p}, n = {n}, {name}: {beyond} beyond eps, {decided} by fractions"
                )
    report(f"{total:,} rows, {wrong} beyond eps")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
