"""Newton's method on short rows for p = 1 and 2, and where they arrive: a tile of rows at a time, each a lane of the vectors.

All rows of a tile take the same passes until the last row has ended. A row that has ended stays where it is, and no
sum goes across lanes: so an answer depends on the row alone, and loops vectorise in strict arithmetic. Whatever is
not ordinary (not finite, outside its bounds, in need of units, slow) stays PENDING.
"""

import math

import numpy as np

from numba_car._core.coordinate import is_clipped, is_inside, weight_and_cap
from numba_car._core.double_double import two_sum
from numba_car._core.newton import conclude, guess, in_range, is_safe, nearness
from numba_car._core.norms import is_float32, largest_number, term
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, PENDING, SATURATED
from numba_car._cpu.newton import largest_sum
from numba_car._cpu.row import element
from numba_car._cpu.short_measures import STATES, rescale_tile, saturate_tile
from numba_car._cpu.tile import GROUP, LANES, load_tiles, place, save_those, tile_of, tiles_of
from numba_car._jit import kernel, rows

_MOST_PASSES = 12  # a row that takes more would keep all rows of its tile waiting
_ROUGH = 1 - 2.0**-16  # less than what sums of weights in float32 may be off by

NOT_WRITTEN, WRITTEN = (
    (),
    2,
)  # `out` of a solver that writes nothing, and the length of one that is a batch

# What is known of each row of a tile. In float64: t, the target, and the sums at t of the clipped caps, less the
# target, and of the free weights, with what rounding lost of them; whether t has moved in the last pass.
_T, _TARGET, _EXCESS, _EXCESS_LOST, _FREE, _FREE_LOST, _MOVED, _STATES = range(8)
# In the dtype of the terms: t, the two sums over the last elements, and the sums of all weights and caps.
_HERE, _CLIPPED, _WEIGHT, _ALL_WEIGHTS, _ALL_CAPS, _PARTS = range(6)


@rows
def _raise_element(tiles, at, norm, largest):
    """Return w and c of one element of a row, 0 unless both may be summed, and w, or then inf."""
    dtype = type(largest)
    x, delta, lower, upper = element(tiles, at, dtype)
    weight, cap = weight_and_cap(x, delta, lower, upper, norm)
    good = is_inside(x, lower, upper, largest) & (weight <= largest)
    nothing = dtype(0)
    return (
        weight if good else nothing,
        cap if good else nothing,
        weight if good else dtype(math.inf),
    )


@rows
def _raise_tile(tiles, n, norm, largest, terms, part):
    """Store c and w of all rows, and the sums of all."""
    caps, weights = terms
    for r in range(LANES):
        part[place(_ALL_WEIGHTS, r)] = part[place(_ALL_CAPS, r)] = 0
    for i in range(n):
        for r in range(LANES):
            weight, cap, checked = _raise_element(tiles, place(i, r), norm, largest)
            caps[place(i, r)], weights[place(i, r)] = cap, weight
            part[place(_ALL_WEIGHTS, r)] += checked
            part[place(_ALL_CAPS, r)] += cap


@rows
def _sum_group(terms, i, stop, part):
    """Store the sums at t of the terms i to stop of all rows: of the caps clipped, and of the free weights."""
    for r in range(LANES):
        part[place(_CLIPPED, r)] = part[place(_WEIGHT, r)] = 0
    for k in range(i, stop):
        for r in range(LANES):
            cap, weight = terms[0][place(k, r)], terms[1][place(k, r)]
            clipped, nothing = is_clipped(weight, cap, part[place(_HERE, r)]), type(cap)(0)
            part[place(_CLIPPED, r)] += cap if clipped else nothing
            part[place(_WEIGHT, r)] += nothing if clipped else weight


@rows
def _add_group(part, state):
    """Add the sums of a group to those of the rows, of which float64 has as many digits as its terms."""
    for r in range(LANES):
        clipped, weight = part[place(_CLIPPED, r)], part[place(_WEIGHT, r)]
        if is_float32(clipped):
            state[place(_EXCESS, r)] += np.float64(clipped)
            state[place(_FREE, r)] += np.float64(weight)
        else:
            total, lost = two_sum(state[place(_EXCESS, r)], clipped)
            state[place(_EXCESS, r)] = total
            state[place(_EXCESS_LOST, r)] += lost
            total, lost = two_sum(state[place(_FREE, r)], weight)
            state[place(_FREE, r)] = total
            state[place(_FREE_LOST, r)] += lost


@rows
def _sum_tile(terms, n, part, state):
    """Store the sums of the caps clipped at t, less the target, and of the weights free at t."""
    dtype = part.dtype.type
    for r in range(LANES):
        part[place(_HERE, r)] = dtype(state[place(_T, r)])
        state[place(_EXCESS, r)] = -state[place(_TARGET, r)]
        state[place(_EXCESS_LOST, r)] = 0.0
        state[place(_FREE, r)] = 0.0
        state[place(_FREE_LOST, r)] = 0.0
    for i in range(0, n, GROUP):
        _sum_group(terms, i, min(i + GROUP, n), part)
        _add_group(part, state)


@rows
def _start(part, state, norm):
    """Store the start."""
    for r in range(LANES):
        weight, cap = (
            np.float64(part[place(_ALL_WEIGHTS, r)]),
            np.float64(part[place(_ALL_CAPS, r)]),
        )
        state[place(_T, r)] = guess(state[place(_TARGET, r)], weight, cap, norm)


@rows
def _sums(state, r):
    """Return what remains of a row's target, and the sum of its free weights."""
    excess = state[place(_EXCESS, r)] + state[place(_EXCESS_LOST, r)]
    return -excess, state[place(_FREE, r)] + state[place(_FREE_LOST, r)]


@rows
def _first_step(part, state):
    """Go from the start to a t at or left of the root, or stay where no term is free."""
    for r in range(LANES):
        remaining, free_sum = _sums(state, r)
        t = state[place(_T, r)]
        least = state[place(_TARGET, r)] / np.float64(part[place(_ALL_WEIGHTS, r)]) * _ROUGH
        following = remaining / free_sum
        following = following if following > least else least  # noqa: FURB136 - vectorises
        stays = (free_sum <= 0) & (remaining >= 0)
        state[place(_T, r)] = t if stays else following


@rows
def _step(state, nearest):
    """Go on from a t left of the root, but not by less than `nearest` - 1 of it; return how many rows do."""
    moved = 0
    for r in range(LANES):
        remaining, free_sum = _sums(state, r)
        t, following = state[place(_T, r)], remaining / free_sum
        # Otherwise the exact iterates have ended, and the rest is rounding.
        moves = (free_sum > 0) & (following > t * nearest)
        state[place(_T, r)] = following if moves else t
        state[place(_MOVED, r)] = 1.0 if moves else 0.0
        moved += 1 if moves else 0
    return moved


@rows
def _conclude(part, state, norm, eps, first, count, eta, verdict):
    """Store eta and the verdicts of a tile."""
    like = part.dtype.type(0)
    most, shift = largest_sum(like), first
    for r in range(count):
        t, target = state[place(_T, r)], state[place(_TARGET, r)]
        weight = np.float64(part[place(_ALL_WEIGHTS, r)])
        remaining, free_sum = _sums(state, r)
        is_usual = (1 / most <= target) & (target <= most) & (weight > 0) & (weight <= most)
        is_usual &= (state[place(_MOVED, r)] == 0) & (in_range(free_sum) | (free_sum == 0))
        if is_float32(like):
            is_usual &= is_safe(t, target - remaining, free_sum)
        found, result = conclude(1.0, t, 0.0, norm, DONE if free_sum > 0 else SATURATED)
        is_usual &= result != NEEDS_MORE_DIGITS
        is_zero = (eps[first + r] == 0) & (weight <= most)
        eta[shift + r] = found if is_usual else 0.0
        verdict[shift + r] = DONE if is_zero else (result if is_usual else PENDING)


@rows
def _iterate(terms, n, part, state, norm, nearest):
    """Iterate until all rows of a tile have ended, or are slow."""
    _start(part, state, norm)
    _sum_tile(terms, n, part, state)
    _first_step(part, state)
    for _ in range(_MOST_PASSES):
        _sum_tile(terms, n, part, state)
        if _step(state, nearest) == 0:
            break


@kernel
def solve_short_rows(x, delta, lower, upper, n, eps, norm, eta, verdict, largest, out):
    """Solve a block of short rows, none of which has been tried yet; return whether all rows are DONE.

    Rescale the rows that are DONE, unless the array of `out` is empty.
    """
    tiles, terms = tiles_of(x, delta, lower, upper, n), (tile_of(x, n), tile_of(x, n))
    dtype, all_done = terms[0].dtype.type, True
    part, measured = np.zeros(_PARTS * LANES, terms[0].dtype), np.zeros(STATES * LANES)
    state, chosen = np.zeros(_STATES * LANES), np.zeros(LANES, np.bool_)
    most = largest_number(dtype(0))
    for first in range(0, eps.size, LANES):
        count = min(LANES, eps.size - first)
        load_tiles(x, delta, lower, upper, first, count, n, tiles)
        state[:] = 0.0
        _raise_tile(tiles, n, norm, most, terms, part)
        is_zero = True
        for r in range(count):
            state[place(_TARGET, r)] = term(eps[first + r], norm)
            is_zero &= eps[first + r] == 0
        if not is_zero:
            _iterate(terms, n, part, state, norm, 1.0 + nearness(most))
        _conclude(part, state, norm, eps, first, count, eta, verdict)
        saturate_tile(tiles, n, norm, first, count, eps, eta, verdict, measured)
        for r in range(count):
            chosen[r] = verdict[first + r] == DONE
            all_done &= chosen[r]
        if out[0].size > 0:
            # The sums of the terms, and the caps, are not read again.
            rescale_tile(tiles, n, first, count, eta, largest, part, terms[0])
            save_those(terms[0], out, first, count, n, chosen)
    return all_done
