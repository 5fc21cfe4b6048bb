"""Exact projections and best ascents of one row for the p that eta of a row decides, beside those for p = 1.

Projection: p = 2 gives x + min(1, eta*)(z - x), clipped; p = inf gives z clipped to both boxes.
Best ascent, 1 < p: along w = sign(g) |g|^(1/(p - 1)), which is exact for p = 2, 3/2 and inf and has 300 bits else.
"""

import math
from fractions import Fraction

import mpmath
import numpy as np

from tests.support import oracle, oracle_maximize, oracle_project
from tests.support.oracle import BITS, exact


def fraction(value):
    """The rational number that an mpmath number is."""
    return Fraction(*map(int, mpmath.libmp.to_rational(value._mpf_)))


def _bounds(x, lower, upper):
    return (np.broadcast_to(bound, x.shape) for bound in (lower, upper))


def _clip(value, low, high):
    """`value` inside float bounds, of which some may be infinite."""
    value = value if math.isinf(high) else min(value, exact(high))
    return value if math.isinf(low) else max(value, exact(low))


def along(x, speeds, eps, p, lower, upper):
    """eta* of exact speeds, and the exact x + eta* speeds, clipped; the largest steps where eps is out of reach."""
    row = oracle.Row(x, speeds, eps, p, lower, upper)
    eta = None if oracle.is_infeasible(row) else fraction(oracle.eta(row))
    found = []
    for value, speed, low, high in zip(x, speeds, *_bounds(x, lower, upper), strict=True):
        if speed == 0:
            found.append(exact(value))
        elif eta is None:
            found.append(exact(high if speed > 0 else low))
        else:
            found.append(_clip(exact(value) + eta * speed, low, high))
    return eta, found


def project(x, z, eps, p, lower=0.0, upper=1.0):
    """The exact projection of z, in fractions."""
    if p == 1:
        return oracle_project.Row(x, z, eps, lower, upper).y
    bounds = list(zip(*_bounds(x, lower, upper), strict=True))
    clipped = [_clip(exact(value), *ends) for value, ends in zip(z, bounds, strict=True)]
    if p == math.inf:
        near = zip(map(exact, x), map(exact, z), bounds, strict=True)
        return [_clip(min(max(b, a - exact(eps)), a + exact(eps)), *ends) for a, b, ends in near]
    d = [exact(b) - exact(a) for a, b in zip(x, z, strict=True)]
    eta, found = along(x, d, eps, p, lower, upper)
    return clipped if eta is None or eta >= 1 else found


def maximize(x, g, eps, p, lower=0.0, upper=1.0):
    """The exact best ascent along g, in fractions, those of a power to 300 bits."""
    if p == 1:
        moves = oracle_maximize.greedy(x, g, lower, upper, eps)[0]
        moved = zip(x, g, moves, strict=True)
        return [exact(value) + (move if slope > 0 else -move) for value, slope, move in moved]
    sizes = [abs(exact(slope)) for slope in g]
    if p == math.inf:
        powers = [Fraction(size != 0) for size in sizes]
    elif 1 / (Fraction(p) - 1) == int(1 / (Fraction(p) - 1)):
        powers = [size ** int(1 / (Fraction(p) - 1)) for size in sizes]
    else:
        with mpmath.workprec(BITS):
            q = 1 / (mpmath.mpf(p) - 1)
            roots = [mpmath.mpf(s.numerator) / s.denominator for s in sizes]
            powers = [fraction(root**q) if root else Fraction(0) for root in roots]
    speeds = [power if slope > 0 else -power for slope, power in zip(g, powers, strict=True)]
    return along(x, speeds, eps, p, lower, upper)[1]


def gain(x, g, y):
    """The exact <g, y - x>."""
    terms = zip(x, g, y, strict=True)
    return sum((exact(slope) * (exact(b) - exact(a)) for a, slope, b in terms), Fraction(0))
