"""The terms of a row, min(w*t, c) for each element, as the passes of Newton's method read them.

The weight w is (|delta|/max_abs_delta)**p and the cap c is (room/unit)**p. As with norms, the length of
the tuple `terms` is its kind, and numba compiles the branch of that kind alone.

==============  ===================================================  ==================================
kind            terms                                                where weights and caps are
==============  ===================================================  ==================================
`NOT_KEPT`      ``()``                                               nowhere: there is no memory for them
`KEPT`          ``(caps, weights, start)``                           stored, the row's from `start` on
`RECOMPUTED`    ``(row, norm, by_unit, by_max_abs_delta)``           nowhere: raised anew in each pass
`SET_ASIDE`     ``(caps, weights, counts, slot, layers, columns)``   stored by `sampled_bracket.narrow`
==============  ===================================================  ==================================

In terms that are `SET_ASIDE`, each warp has a part of the columns, of which the first `counts` of its
elements are in use, and each row a slot of `layers` times `columns` elements.
"""

import numpy as np

from numba_car._core.coordinate import is_clipped, room
from numba_car._core.double_double import two_sum
from numba_car._core.norms import divisor, is_float32, relative, term
from numba_car._cuda.jit import device
from numba_car._cuda.row import element
from numba_car._cuda.team import WARP, place_in, size_of, team_sum

NOT_KEPT, KEPT, RECOMPUTED, SET_ASIDE = 0, 3, 4, 6
NO_TERMS = ()  # those of the kind NOT_KEPT


@device
def keep(terms, i, values):
    """Store room and |delta| of element i where the terms are kept; `raise_powers` makes terms of them."""
    if len(terms) == KEPT:
        x, delta, lower, upper = values
        place = np.uint64(terms[2] + i)
        terms[0][place] = room(x, delta, lower, upper)
        terms[1][place] = abs(delta)


@device
def raise_powers(n, norm, unit, max_abs_delta, like, terms, team):
    """Replace kept rooms and |delta| by caps and weights; return about the sum of the weights."""
    caps, weights, start = terms
    by_unit = divisor(type(like)(unit), norm)
    by_max_abs_delta = divisor(type(like)(max_abs_delta), norm)
    total, i = type(like)(0), place_in(team)
    while i < n:
        place = np.uint64(start + i)
        caps[place] = term(relative(caps[place], by_unit, norm), norm)
        weight = term(relative(weights[place], by_max_abs_delta, norm), norm)
        weights[place] = weight
        total += weight
        i += size_of(team)
    return team_sum(total, team)


@device
def weight_and_cap_at(terms, i, like):
    """Return the weight and the cap of element i; both are 0 at a place set aside that is not in use."""
    kind = len(terms)
    if kind == KEPT:
        place = np.uint64(terms[2] + i)
        return terms[1][place], terms[0][place]
    if kind == SET_ASIDE:
        caps, weights, counts, slot, layers, columns = terms
        layer = np.uint32(i) // np.uint32(columns)
        column = np.uint32(i) - layer * np.uint32(columns)
        count = counts[np.uint64((slot * columns + column) // WARP)]
        place = np.uint64(slot * layers * columns + i)
        weight, cap = weights[place], caps[place]  # before it is known whether they are in use
        is_used = np.int64(layer) * WARP + np.int64(column) % WARP < count
        return (weight, cap) if is_used else (type(like)(0), type(like)(0))
    row, norm, by_unit, by_max_abs_delta = terms
    x, delta, lower, upper = element(row, i, type(like))
    weight = term(relative(abs(delta), by_max_abs_delta, norm), norm)
    return weight, term(relative(room(x, delta, lower, upper), by_unit, norm), norm)


@device
def add_term(sums, weight_and_cap, t):
    """Return (sum of caps, sum of weights) with an element's cap added if t clips it, else its weight."""
    weight, cap = weight_and_cap
    nothing, clipped = type(t)(0), is_clipped(weight, cap, t)
    return sums[0] + (cap if clipped else nothing), sums[1] + (nothing if clipped else weight)


@device
def chain_of(like):
    """Return how many terms a thread adds up in the row's precision before compensation sets in."""
    return 16 if is_float32(like) else 4  # p < 1 magnifies what a float64 result loses


@device
def sum_terms(n, t, terms, team):
    """Return the sum of the caps of the elements that t clips, and that of the weights of the free ones."""
    clipped, clipped_lost, free, free_lost = 0.0, 0.0, 0.0, 0.0
    i, step, chain = place_in(team), size_of(team), chain_of(t)
    while i < n:
        stop, sums = min(n, i + chain * step), (type(t)(0), type(t)(0))
        while i + 3 * step < stop:  # four at a time, so that the loads wait for memory together
            first = weight_and_cap_at(terms, i, t)
            second = weight_and_cap_at(terms, i + step, t)
            third = weight_and_cap_at(terms, i + 2 * step, t)
            fourth = weight_and_cap_at(terms, i + 3 * step, t)
            sums = add_term(add_term(sums, first, t), second, t)
            sums = add_term(add_term(sums, third, t), fourth, t)
            i += 4 * step
        while i < stop:
            sums = add_term(sums, weight_and_cap_at(terms, i, t), t)
            i += step
        clipped, error = two_sum(clipped, np.float64(sums[0]))
        clipped_lost += error
        free, error = two_sum(free, np.float64(sums[1]))
        free_lost += error
    return team_sum(clipped + clipped_lost, team), team_sum(free + free_lost, team)
