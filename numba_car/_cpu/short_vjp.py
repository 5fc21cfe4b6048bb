"""Gradients of short rows for p = 1 and 2, a tile of rows at a time: see `tile`, and `vjp` for what is computed.

Rows that are not ordinary (without an eta, with an eps of 0, out of the range of the dtype) are left to `vjp`.
No sum goes across lanes, and arithmetic is strict: a row gets the same bits in whatever tile it is.
"""

import numpy as np

from numba_car._core.coordinate import breakpoint_of
from numba_car._core.derivative import (
    by_decider,
    clamp,
    inverse_unit,
    is_free,
    move_of,
    pull_back,
    rate_of_pull,
    rates,
)
from numba_car._core.norms import is_float32, term
from numba_car._cpu.active_set import arrived_at
from numba_car._cpu.row import at, element, size_of, store
from numba_car._cpu.tile import (
    GROUP,
    LANES,
    load_padded,
    load_tiles,
    place,
    save,
    save_row,
    tile_of,
    tiles_of,
)
from numba_car._cpu.vjp import increase
from numba_car._jit import kernel, rows

# What is known of each row of a tile. In float64: eta, eps, the sums over the free elements, what flows into eta, and
# by eps; how many elements move at eta, and how many have an upstream gradient, both only where a sum is 0; whether
# the row is ordinary, and whether it is saturated.
_ETA, _EPS, _SHARE, _PULL, _BY_EPS, _MOVING, _UPSTREAM, _FOUND, _SATURATED, _STATES = range(10)
# In the dtype of the rows: the numbers that `pull_back` takes, and the sums of the gradients of the bounds.
_HERE, _ARRIVED, _INVERSE, _RATE, _TO_LOWER, _TO_UPPER, _PARTS = range(7)


@rows
def _start(part, state):
    """Store the numbers that the sums over the free elements take."""
    dtype = type(part[0])
    for r in range(LANES):
        here = dtype(state[place(_ETA, r)])
        part[place(_HERE, r)] = here
        part[place(_ARRIVED, r)] = arrived_at(here)
        part[place(_INVERSE, r)] = dtype(inverse_unit(state[place(_EPS, r)], 1.0))
        part[place(_TO_LOWER, r)] = part[place(_TO_UPPER, r)] = 0
        state[place(_SHARE, r)] = state[place(_PULL, r)] = 0.0


@rows
def _terms(tiles, g, index, norm, part, r):
    """Return the terms of share and pull of one element of a row."""
    eta = part[place(_HERE, r)]
    x, delta, lower, upper = element(tiles, index, type(eta))
    free, nothing = is_free(x, delta, lower, upper, part[place(_ARRIVED, r)]), type(eta)(0)
    share = term(move_of(delta, eta, part[place(_INVERSE, r)]), norm)
    pull = type(eta)(at(g, index)) * delta
    return share if free else nothing, pull if free else nothing


@rows
def _sum_group(tiles, g, i, norm, part, state):
    """Add the terms of four elements of all rows."""
    for r in range(LANES):
        s0, p0 = _terms(tiles, g, place(i, r), norm, part, r)
        s1, p1 = _terms(tiles, g, place(i + 1, r), norm, part, r)
        s2, p2 = _terms(tiles, g, place(i + 2, r), norm, part, r)
        s3, p3 = _terms(tiles, g, place(i + 3, r), norm, part, r)
        state[place(_SHARE, r)] += np.float64((s0 + s1) + (s2 + s3))
        state[place(_PULL, r)] += np.float64((p0 + p1) + (p2 + p3))


@rows
def _count(tiles, g, n, state):
    """Count the elements that move at eta, and those of g that are not 0: a sum of 0 may have underflowed."""
    for r in range(LANES):
        state[place(_MOVING, r)] = state[place(_UPSTREAM, r)] = 0.0
    for i in range(n):
        for r in range(LANES):
            x, delta, lower, upper = element(tiles, place(i, r), np.float64)
            moves = is_free(x, delta, lower, upper, state[place(_ETA, r)]) & (delta != 0)
            state[place(_MOVING, r)] += 1.0 if moves else 0.0
            state[place(_UPSTREAM, r)] += 1.0 if at(g, place(i, r)) != 0 else 0.0


@rows
def _sum_tile(tiles, g, n, count, norm, part, state):
    """Store the sums over the free elements."""
    _start(part, state)
    for i in range(0, n, GROUP):
        _sum_group(tiles, g, i, norm, part, state)
    is_unsure = False
    for r in range(count):
        is_unsure |= (state[place(_SHARE, r)] == 0) | (state[place(_PULL, r)] == 0)
    if is_unsure:
        _count(tiles, g, n, state)


@rows
def _within(value, most):
    """Return whether a value and its inverse are less than `most`."""
    return (1 / most < abs(value)) & (abs(value) < most)  # vectorises


@rows
def _scale_tile(h, norm, most, part, state):
    """Store the numbers that the gradients take, and which rows are ordinary: their numbers are less than `most`."""
    dtype = type(part[0])
    for r in range(LANES):
        eta, eps, share = state[place(_ETA, r)], state[place(_EPS, r)], state[place(_SHARE, r)]
        sure = (state[place(_PULL, r)] != 0) | (state[place(_UPSTREAM, r)] == 0)
        saturated = (share == 0) & (state[place(_MOVING, r)] == 0) & (state[place(_PULL, r)] == 0)
        pull = state[place(_PULL, r)] + h[r]
        rate, by_eps = rates(share, norm, eps, np.float64(part[place(_HERE, r)]))
        rate, inverse = rate_of_pull(pull, rate, eps)
        usual = (pull == 0) | (_within(rate, most) & _within(rate * eta, most))
        usual &= sure & _within(share, most)
        found = (saturated | usual) & ((pull == 0) | _within(pull, most))
        found &= _within(eta, most) & _within(eps, most)
        state[place(_PULL, r)] = pull
        state[place(_BY_EPS, r)] = 0.0 if saturated else by_eps
        state[place(_FOUND, r)] = 1.0 if found else 0.0
        state[place(_SATURATED, r)] = 1.0 if saturated else 0.0
        part[place(_INVERSE, r)] = dtype(0.0 if saturated else inverse)
        part[place(_RATE, r)] = dtype(0.0 if saturated else rate)


@rows
def _write_element(tiles, g, i, norm, part, largest, outputs):
    """Store the gradients of element i of all rows in tiles; add those of bounds that are numbers."""
    out_x, out_delta, out_lower, out_upper = outputs
    for r in range(LANES):
        eta, index = part[place(_HERE, r)], place(i, r)
        x, delta, lower, upper = element(tiles, index, type(eta))
        upstream, arrived = type(eta)(at(g, index)), part[place(_ARRIVED, r)]
        inverse, rate = part[place(_INVERSE, r)], part[place(_RATE, r)]
        to_x, to_delta, to_lower, to_upper = pull_back(
            x, delta, lower, upper, norm, inverse, upstream, eta, arrived, rate
        )
        store(out_x, index, clamp(to_x, largest))
        store(out_delta, index, clamp(to_delta, largest))
        store(out_lower, index, clamp(to_lower, largest))
        store(out_upper, index, clamp(to_upper, largest))
        if size_of(out_lower, 0) == 0:
            part[place(_TO_LOWER, r)] += to_lower
            part[place(_TO_UPPER, r)] += to_upper


@rows
def _add_decider(tiles, n, lane, state, largest, outputs):
    """Add the gradients of the last element to clip to those of a saturated row; return those of its bounds."""
    decider, last = -1, -1.0
    for i in range(n):
        x, delta, lower, upper = element(tiles, place(i, lane), np.float64)
        found = breakpoint_of(x, delta, lower, upper)
        if found > last:
            decider, last = i, found
    if decider < 0:
        return 0.0, 0.0
    index = place(decider, lane)
    pull, eta = state[place(_PULL, lane)], state[place(_ETA, lane)]
    more = by_decider(np.float64(tiles[1][index]), pull, eta, True)
    increase(outputs[0], index, more[0], largest)
    increase(outputs[1], index, more[1], largest)
    increase(outputs[2], index, more[2], largest)
    increase(outputs[3], index, more[3], largest)
    return more[2], more[3]


@rows
def _conclude(tiles, n, first, count, largest, part, state, outputs, sums, left):
    """Store the gradients by row, and which rows are left; return how many are not."""
    done = 0
    for r in range(count):
        if state[place(_FOUND, r)] == 0:
            continue
        done += 1
        lower, upper = np.float64(part[place(_TO_LOWER, r)]), np.float64(part[place(_TO_UPPER, r)])
        pull = state[place(_PULL, r)]
        if state[place(_SATURATED, r)] != 0 and pull != 0:
            more = _add_decider(tiles, n, r, state, largest, outputs)
            lower, upper = lower + more[0], upper + more[1]
        left[first + r] = False
        sums[0, first + r] = clamp(pull * state[place(_BY_EPS, r)], largest)
        sums[1, first + r] = clamp(lower, largest)
        sums[2, first + r] = clamp(upper, largest)
    return done


@rows
def _save_tiles(tiles, outputs, first, count, n, done, left):
    """Store tiles of gradients as rows, without those that are left."""
    if done == count:
        save(tiles[0], outputs[0], first, count, n)
        save(tiles[1], outputs[1], first, count, n)
        save(tiles[2], outputs[2], first, count, n)
        save(tiles[3], outputs[3], first, count, n)
        return
    for r in range(count):
        if not left[first + r]:
            save_row(tiles[0], outputs[0], first, r, n)
            save_row(tiles[1], outputs[1], first, r, n)
            save_row(tiles[2], outputs[2], first, r, n)
            save_row(tiles[3], outputs[3], first, r, n)


@kernel
def vjp_short_rows(x, delta, lower, upper, n, g, h, norm, eps, eta, largest, outputs, sums, left):
    """Do what `vjp_rows` does, of ordinary rows; mark these as no longer left, and return whether others are.

    The sums of the gradients of bounds that are arrays, which nobody asks for, are 0.
    """
    tiles, upstream = tiles_of(x, delta, lower, upper, n), tile_of(g, n)
    found = tiles_of(outputs[0], outputs[1], outputs[2], outputs[3], n)
    part, state = np.ones(_PARTS * LANES, tiles[0].dtype), np.ones(_STATES * LANES)
    of_eta, dtype, total = np.zeros(LANES), part.dtype.type, 0
    most = 2.0**60 if is_float32(dtype(0)) else 2.0**1000
    for first in range(0, eps.size, LANES):
        count = min(LANES, eps.size - first)
        load_tiles(x, delta, lower, upper, first, count, n, tiles)
        load_padded(g, first, count, n, upstream)
        for r in range(count):
            of_eta[r] = h[first + r]
            state[place(_ETA, r)], state[place(_EPS, r)] = eta[first + r], eps[first + r]
        _sum_tile(tiles, upstream, n, count, norm, part, state)
        _scale_tile(of_eta, norm, most, part, state)
        for i in range(n):
            _write_element(tiles, upstream, i, norm, part, dtype(largest), found)
        done = _conclude(tiles, n, first, count, largest, part, state, found, sums, left)
        _save_tiles(found, outputs, first, count, n, done, left)
        total += done
    return total < eps.size
