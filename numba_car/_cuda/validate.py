"""The first look at a row: is it finite and inside its bounds? It keeps what Newton's method goes on with."""

import numpy as np

from numba_car._core.coordinate import is_outside, room
from numba_car._core.verdicts import NOT_FINITE, OUTSIDE, PENDING
from numba_car._cuda.jit import device
from numba_car._cuda.row import element, four
from numba_car._cuda.team import place_in, size_of, team_max


@device
def is_suspect(values):
    """Whether an element is not finite, or not between its bounds, or only by rounding."""
    x, delta, lower, upper = values
    # The GPU's largest drops NaN: what is not finite must be seen by itself.
    return not ((lower <= x) & (x <= upper) & (delta - delta == 0) & (x - x == 0))


@device
def worst(bad, values, slack):
    """Return 2 from the first element on that is not finite, else 1 from one outside its bounds on."""
    if not is_suspect(values):
        return bad
    x, delta, lower, upper = values
    if not (delta - delta == 0 and x - x == 0):
        return type(bad)(2)
    wide = np.float64(x), np.float64(lower), np.float64(upper)
    is_wrong = not lower <= upper or is_outside(wide[0], wide[1], wide[2], slack)
    return max(bad, type(bad)(1)) if is_wrong else bad


@device
def verdict_of(bad):
    """Return the verdict on a row from what is worst in it."""
    return NOT_FINITE if bad == 2 else OUTSIDE if bad == 1 else PENDING


@device
def judge(row, slack, team):
    """Say what is wrong with a row of which something is suspect, and may be a rounding."""
    bad, i = 0.0, place_in(team)
    while i < row[5]:
        bad = worst(bad, element(row, i, np.float64), slack)
        i += size_of(team)
    return verdict_of(team_max(bad, team))


@device
def look_at(seen, values, i, terms):
    """Store room and |delta| of an element; return the largest |delta| so far, and what is suspect."""
    x, delta, lower, upper = values
    if len(terms) == 3:
        terms[0][np.uint64(terms[2] + i)] = room(x, delta, lower, upper)
        terms[1][np.uint64(terms[2] + i)] = abs(delta)
    return max(seen[0], abs(delta)), seen[1] | is_suspect(values)


@device
def look(row, like, terms, team):
    """Store room and |delta| of a row; return the largest |delta|, and whether to judge the values."""
    n, i, step = row[5], place_in(team), size_of(team)
    seen = type(like)(0), False
    while i + 3 * step < n:
        first, second, third, fourth = four(row, i, step, type(like))
        seen = look_at(seen, first, i, terms)
        seen = look_at(seen, second, i + step, terms)
        seen = look_at(seen, third, i + 2 * step, terms)
        seen = look_at(seen, fourth, i + 3 * step, terms)
        i += 4 * step
    while i < n:
        seen = look_at(seen, element(row, i, type(like)), i, terms)
        i += step
    return team_max(seen[0], team), team_max(1.0 if seen[1] else 0.0, team) > 0


@device
def inspect(row, slack, like, terms, team):
    """Store room and |delta| of a row; return the largest |delta| and a verdict on the values."""
    max_abs_delta, is_to_be_judged = look(row, like, terms, team)
    return max_abs_delta, judge(row, slack, team) if is_to_be_judged else PENDING
