"""Best ascent for p = 1 in exact arithmetic: the greedy choice, which imports nothing of the package."""

import math
from fractions import Fraction

import numpy as np


def exact(value):
    """The rational number that a float is."""
    return Fraction(float(value))


def rooms(x, g, lower, upper):
    """The exact rooms towards sign(g): None where there is no end, 0 where g = 0."""
    lower, upper = np.broadcast_to(lower, x.shape), np.broadcast_to(upper, x.shape)
    found = []
    for value, slope, low, high in zip(x, g, lower, upper, strict=True):
        bound, sign = (high, 1) if slope > 0 else (low, -1)
        if slope == 0:
            found.append(Fraction(0))
        elif math.isinf(bound):
            found.append(None)
        else:
            found.append(max(Fraction(0), sign * (exact(bound) - exact(value))))
    return found


def greedy(x, g, lower, upper, eps):
    """The exact |y - x| of each element, the pivot (-1 if none), and the objective <g, y - x>."""
    left, moves, pivot = exact(eps), [Fraction(0)] * len(x), -1
    limits = rooms(x, g, lower, upper)
    for i in sorted(range(len(x)), key=lambda i: (-abs(exact(g[i])), i)):
        if g[i] == 0:
            break
        if limits[i] is None or limits[i] > left:
            moves[i], pivot = left, i
            break
        moves[i] = limits[i]
        left -= limits[i]
    return moves, pivot, objective(g, moves)


def objective(g, moves):
    """The exact <g, y - x>, given |y - x|."""
    return sum(
        (abs(exact(slope)) * move for slope, move in zip(g, moves, strict=True)), Fraction(0)
    )


def ulp(value, dtype):
    """The spacing of the dtype at a positive fraction."""
    info = np.finfo(dtype)
    exponent = info.minexp
    if value > 0:
        exponent = value.numerator.bit_length() - value.denominator.bit_length()  # or one more
        exponent -= Fraction(2) ** exponent > value
    return Fraction(2) ** (max(exponent, info.minexp) - info.nmant)
