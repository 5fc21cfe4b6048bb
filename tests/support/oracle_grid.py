"""Results on a grid in exact arithmetic: all values of the staircase, which imports nothing of the package."""

import itertools
import math
from fractions import Fraction


def rounded(value):
    """A fraction rounded to a whole number, halves to an even one."""
    return round(value)


def staircase(ks, lasts, speeds):
    """The steps |k - k of x| of all elements on each piece of the staircase, given k, the last k and delta/step."""
    ends = {Fraction(0)}
    for k, last, speed in zip(ks, lasts, speeds, strict=True):
        if speed:
            most = last - k if speed > 0 else k
            ends |= {(Fraction(m) - Fraction(1, 2)) / abs(speed) for m in range(1, most + 1)}
    ends = sorted(ends)
    between = [(a + b) / 2 for a, b in itertools.pairwise(ends)]
    moved = []
    for eta in sorted([*ends, *between, ends[-1] + 1]):
        results = (
            min(max(rounded(k + eta * speed), 0), last)
            for k, last, speed in zip(ks, lasts, speeds, strict=True)
        )
        steps = [abs(result - k) for result, k in zip(results, ks, strict=True)]
        if not moved or moved[-1] != steps:
            moved.append(steps)
    return moved


def norm(steps, p):
    """The norm of whole steps."""
    if math.isinf(p):
        return float(max(steps, default=0))
    total = sum(step**p for step in steps)
    return math.sqrt(total) if p == 2 else float(total) ** (1 / p)


def best(norms, wanted, inside):
    """The nearest of the norms, the smaller of two; or the largest that is not beyond."""
    if inside:
        return max(value for value in norms if value <= wanted * (1 + 1e-14))
    return min(norms, key=lambda value: (abs(value - wanted), value))
