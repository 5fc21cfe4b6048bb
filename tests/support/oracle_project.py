"""The exact projection onto {y : ||y - x||_1 <= eps, lower <= y <= upper} of one row; nothing here rounds.

With d = z - x and the room towards d: v = min(max(|d| - lam, 0), room), y = x + sign(d) v, and lam = 0 if
sum min(|d|, room) <= eps, else the root of phi(lam) = sum v = eps. All numbers are whole numbers of 1/unit.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from tests.support import oracle


@dataclass(eq=False)
class Row:
    """One row of the problem; a bound is a number or an array, eps a number or a fraction."""

    x: np.ndarray
    z: np.ndarray
    eps: object
    lower: object = 0.0
    upper: object = 1.0

    @cached_property
    def _rational(self):
        lower, upper = (np.broadcast_to(bound, self.x.shape) for bound in (self.lower, self.upper))
        return [
            [None if _is_infinite(value) else oracle.exact(value) for value in values]
            for values in (self.x, self.z, lower, upper)
        ]

    @cached_property
    def unit(self):
        """The least common denominator, for floats a power of two."""
        numbers = [value for values in self._rational for value in values if value is not None]
        return math.lcm(oracle.exact(self.eps).denominator, *(v.denominator for v in numbers))

    def wholes(self, values):
        """Fractions as whole numbers of 1/unit."""
        return [None if value is None else int(value * self.unit) for value in values]

    @cached_property
    def parts(self):
        """The signs of d, |d| and the rooms, None where a room has no end."""
        signs, distances, rooms = [], [], []
        for x, z, low, high in zip(*map(self.wholes, self._rational), strict=True):
            bound = high if z > x else low
            signs.append((z > x) - (z < x))
            distances.append(abs(z - x))
            rooms.append(None if bound is None else max(0, bound - x if z > x else x - bound))
        return signs, distances, rooms

    def steps(self, lam):
        """v in 1/unit, for a rational lam."""
        _, distances, rooms = self.parts
        lam = lam * self.unit
        free = [max(d - lam, 0) for d in distances]
        return [f if r is None else min(f, r) for f, r in zip(free, rooms, strict=True)]

    def reached(self, lam):
        """phi(lam)."""
        return Fraction(sum(self.steps(lam)), self.unit)

    @cached_property
    def lam(self):
        """The multiplier; the largest one where phi is flat at eps."""
        target = oracle.exact(self.eps) * self.unit
        if self.reached(0) * self.unit <= target:
            return Fraction(0)
        _, distances, rooms = self.parts
        slopes = [(d, 1) for d, r in zip(distances, rooms, strict=True) if r != 0]
        slopes += [(d - r, -1) for d, r in zip(distances, rooms, strict=True) if r]
        total, free = 0, 0
        for value, slope in sorted(slopes, reverse=True):
            if total - free * value >= target:
                break
            total, free = total + slope * value, free + slope
        return Fraction(total - target, free * self.unit) if free else Fraction(value, self.unit)

    @cached_property
    def y(self):
        """The projection, in fractions."""
        signs, _, _ = self.parts
        x = self._rational[0]
        steps = [Fraction(step, self.unit) for step in self.steps(self.lam)]
        return [a + sign * step for a, sign, step in zip(x, signs, steps, strict=True)]


def _is_infinite(value):
    return isinstance(value, (float, np.floating)) and math.isinf(value)
