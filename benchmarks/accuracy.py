"""How exact eta is, and in how many passes Newton's method finds it."""

from decimal import Decimal, localcontext

import numpy as np

import numba_car as car

from .data import batch

DIGITS = 60


def norm_at(eta, x, delta, p):
    """||min(eta |delta|, room)||_p of one row, to 60 digits."""
    eta, steps = Decimal(float(eta)), []
    for start, direction in zip(x.tolist(), delta.tolist(), strict=True):
        room = 1 - Decimal(start) if direction > 0 else Decimal(start)
        steps.append(min(eta * abs(Decimal(direction)), room))
    if p == np.inf:
        return max(steps)
    return sum(step ** Decimal(p) for step in steps) ** (1 / Decimal(p))


def worst_error(made):
    """Return the largest |N(eta) - eps| of a batch that can reach eps, in ulps of its dtype at eps."""
    eps = made.x.dtype.type(made.eps)
    found = car.eta(made.x, made.delta, eps, p=made.p)
    with localcontext(prec=DIGITS):
        wanted, ulp = Decimal(float(eps)), Decimal(float(np.spacing(eps)))
        norms = map(norm_at, found, made.x, made.delta, [made.p] * len(found))
        return float(max(abs(norm - wanted) for norm in norms) / ulp)


def settle(weight, cap, target, t=0.0):
    """Iterate as the library does until the free set repeats; return t = eta**p and the passes."""
    last, passes = None, 0
    while True:
        clipped, passes = cap <= t * weight, passes + 1
        if last is not None and (clipped == last).all():
            return t, passes
        last = clipped
        t = max(0.0, target - cap[clipped].sum()) / weight[~clipped].sum()


def passes(made):
    """Return the mean passes over a row, in a NumPy model of Newton's method.

    The library does not tell its own. Like it, the model solves a sample of a long row beforehand: 16
    blocks of n/256 elements.
    """
    x, delta, eps, p = made
    caps = np.where(delta > 0, 1.0 - x, x).astype(float) ** p
    weights = np.abs(delta.astype(float)) ** p
    n, target, counts = x.shape[1], eps**p, []
    seen = np.arange(n) % (n // 16) < n // 256
    for cap, weight in zip(caps, weights, strict=True):
        start = 0.0
        if n >= 2048:
            start, _ = settle(weight[seen], cap[seen], seen.mean() * target)
        counts.append(settle(weight, cap, target, start)[1])
    return np.mean(counts)


class Accuracy:
    params = (["float32", "float64"], [1, 2, 3.5, np.inf], ["normal", "cauchy", "photographs"])
    param_names = ("dtype", "p", "kind")
    unit = "ulp"
    timeout = 300

    def track_worst_ulp(self, dtype, p, kind):
        return worst_error(batch((16, 1000), dtype, p, kind, share=0.1))


class Passes:
    params = (["normal", "cauchy", "photographs"], [1, 2, 3.5], [784, 3072, 150528])
    param_names = ("kind", "p", "n")
    unit = "passes"

    def track_passes(self, kind, p, n):
        return passes(batch((2**19 // n, n), p=p, kind=kind, share=0.1))
