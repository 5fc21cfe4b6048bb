"""Exact answers for one row, slow and obvious; every test measures against these.

A float is taken as the rational number it is.  Breakpoints are compared as fractions; powers and
roots are evaluated by mpmath, whose exponent has no limit, so nothing here over- or underflows.

    N(eta) = ||min(eta |delta|, room)||_p          R = N(inf)
    eta*   = min {eta >= 0 : N(eta) >= min(eps, R)}
"""

import bisect
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import mpmath
import numpy as np

BITS = 300
"""Bits of every result: float64 has 53, so 247 to spare."""

_FORMATS = {  # stored fraction bits, exponent of the smallest normal number, of the largest
    "float16": (10, -14, 15),
    "bfloat16": (7, -126, 127),
    "float32": (23, -126, 127),
    "float64": (52, -1022, 1023),
}


@dataclass(eq=False)
class Row:
    """One row of the problem; a bound is a scalar, an array, or None for no bound."""

    x: np.ndarray
    delta: np.ndarray
    eps: float
    p: float = 2.0
    lower: object = 0.0
    upper: object = 1.0

    @property
    def bounds(self):
        return self.lower, self.upper

    @property
    def dtype(self):
        return self.x.dtype

    @cached_property
    def moving(self):
        """The elements with delta != 0 as (speeds, rooms, unit).

        Speeds |delta| and rooms are whole numbers of 1/unit; a room of None has no end.
        """
        speeds, rooms = [], []
        lower = np.broadcast_to(-math.inf if self.lower is None else self.lower, self.x.shape)
        upper = np.broadcast_to(math.inf if self.upper is None else self.upper, self.x.shape)
        for x, delta, low, high in zip(self.x, self.delta, lower, upper, strict=True):
            if delta == 0:
                continue
            bound = float(high if delta > 0 else low)
            speeds.append(abs(exact(delta)))
            if math.isinf(bound):
                rooms.append(None)
            else:
                toward = 1 if delta > 0 else -1
                rooms.append(max(Fraction(0), toward * (exact(bound) - exact(x))))
        finite = [room for room in rooms if room is not None]
        unit = max((value.denominator for value in speeds + finite), default=1)
        whole = [None if room is None else int(room * unit) for room in rooms]
        return [int(speed * unit) for speed in speeds], whole, unit

    @cached_property
    def breakpoints(self):
        """room / |delta| of each moving element, None where the room has no end."""
        speeds, rooms, _ = self.moving
        return [None if r is None else Fraction(r, s) for s, r in zip(speeds, rooms, strict=True)]


def exact(value):
    """The rational number that a float is."""
    return value if isinstance(value, Fraction) else Fraction(float(value))


def _to_mpf(value):
    value = Fraction(value)
    return mpmath.mpf(value.numerator) / value.denominator


def _power(value, p):
    """`value ** p`: exact for small whole p, otherwise in mpmath's working precision."""
    if p in (1, 2, 3, 4):
        return value ** int(p)
    return _to_mpf(value) ** mpmath.mpf(p)


def _root(value, p):
    value = value if isinstance(value, mpmath.mpf) else _to_mpf(value)
    return value ** (1 / mpmath.mpf(p))


def norm(wholes, p, unit=1):
    """||wholes||_p / unit of whole numbers."""
    with mpmath.workprec(BITS):
        if math.isinf(p):
            return _to_mpf(Fraction(max(wholes, default=0), unit))
        return _root(sum(_power(whole, p) for whole in wholes), p) / unit


def max_norm(row):
    """R, the largest norm that the row can reach."""
    _, rooms, unit = row.moving
    return mpmath.inf if None in rooms else norm(rooms, row.p, unit)


def norm_at(eta, row):
    """N(eta), the norm that a given float or fraction eta reaches."""
    if eta == math.inf:
        return max_norm(row)
    speeds, rooms, unit = row.moving
    over, under = exact(eta).as_integer_ratio()
    steps = [
        over * speed if room is None else min(over * speed, room * under)
        for speed, room in zip(speeds, rooms, strict=True)
    ]
    return norm(steps, row.p, unit * under)


def target(row):
    """min(eps, R), the norm that the answer reaches."""
    with mpmath.workprec(BITS):
        return min(_to_mpf(exact(row.eps)), max_norm(row))


def is_infeasible(row):
    """Whether eps > R (for a p other than 1, 2, 3, 4 and inf, up to R's 300 bits)."""
    return mpmath.mpf(float(row.eps)) > max_norm(row)


def largest_breakpoint(row):
    """The largest room / |delta| of a moving element: 0 if none moves, inf if one has no bound."""
    if None in row.breakpoints:
        return mpmath.inf
    with mpmath.workprec(BITS):
        return _to_mpf(max(row.breakpoints, default=0))


def eta(row):
    """The answer, min {eta >= 0 : N(eta) >= min(eps, R)}."""
    if row.eps == 0 or max_norm(row) == 0:
        return mpmath.mpf(0)
    if math.isinf(row.p):
        return _eta_for_maximum_norm(row)
    bits = BITS
    while True:
        with mpmath.workprec(bits):
            value, cancelled = _eta_in_working_precision(row)
        if bits >= BITS + cancelled:
            return value
        bits = BITS + cancelled


def _eta_for_maximum_norm(row):
    speeds, rooms, unit = row.moving
    wanted = exact(row.eps) * unit
    if None not in rooms:
        wanted = min(wanted, Fraction(max(rooms)))
    fastest = max(s for s, r in zip(speeds, rooms, strict=True) if r is None or r >= wanted)
    with mpmath.workprec(BITS):
        return _to_mpf(wanted / fastest)


def _eta_in_working_precision(row):
    """Eta on the piece that holds it, and how many leading bits cancelled on the way."""
    speeds, rooms, unit = row.moving
    weights = [_power(speed, row.p) for speed in speeds]
    caps = [None if room is None else _power(room, row.p) for room in rooms]
    ends = sorted({end for end in row.breakpoints if end is not None})
    wanted = _power(exact(row.eps) * unit, row.p)

    def clipped_and_free(end):
        """Sum of caps of the breakpoints below `end`, sum of weights of the others."""
        below = [b is not None and (end is None or b < end) for b in row.breakpoints]
        clipped = sum(cap for cap, is_below in zip(caps, below, strict=True) if is_below)
        free = sum(weight for weight, is_below in zip(weights, below, strict=True) if not is_below)
        return clipped, free

    def reached(end):
        clipped, free = clipped_and_free(end)
        return clipped + _power(end, row.p) * free

    piece = bisect.bisect_left(ends, wanted, key=reached)
    clipped, free = clipped_and_free(ends[piece] if piece < len(ends) else None)
    if free == 0:
        return _to_mpf(ends[-1]), 0
    value = _root((wanted - clipped) / free, row.p) if wanted > clipped else mpmath.mpf(0)
    if clipped == 0 or not isinstance(wanted - clipped, mpmath.mpf):
        return value, 0
    # No more can cancel than what the free elements have below the least eta of this piece.
    remainder = max(wanted - clipped, _power(ends[piece - 1], row.p) * free)
    return value, max(0, mpmath.mag(wanted) - mpmath.mag(remainder))


def ulp(value, dtype):
    """Spacing of `dtype` at `value`, as if the exponent had no upper limit."""
    fraction_bits, least, _ = _FORMATS[np.dtype(dtype).name]
    exponent = least if value == 0 else max(mpmath.frexp(value)[1] - 1, least)
    return mpmath.ldexp(1, exponent - fraction_bits)


def error_in_ulps(value, reference, dtype):
    """|value - reference| in ulps of `dtype` at `reference`."""
    with mpmath.workprec(BITS):
        return float(abs(mpmath.mpf(value) - reference) / ulp(reference, dtype))


def norm_error_in_ulps(eta, row, dtype):
    """|N(eta) - min(eps, R)| in ulps of `dtype` at min(eps, R)."""
    return error_in_ulps(norm_at(eta, row), target(row), dtype)


def is_normal(value, dtype):
    """Whether `value` is inside the normal range of `dtype`: no overflow, not subnormal, not 0."""
    _, least, most = _FORMATS[np.dtype(dtype).name]
    largest = mpmath.ldexp(1, most + 1) - ulp(mpmath.ldexp(1, most), dtype)
    return mpmath.ldexp(1, least) <= value <= largest
