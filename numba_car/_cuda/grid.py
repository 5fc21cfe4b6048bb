"""Results on a grid, a team a row: the eta whose rounded result has the norm nearest to eps; `_cpu/grid.py` says which.

The bracket of eta is halved as bit patterns, a pass over the row each, until one element alone takes another step between
its ends: the rest of the way is that element's.
"""

import math

import numpy as np
from numba import cuda

from numba_car._core.double_double import on_grid, two_sum
from numba_car._core.grid import WHOLE, arrive_on_grid, is_off_grid, place, steps
from numba_car._core.norms import MAXIMUM, TWO, root, term
from numba_car._cuda.exact import bits_of, less_square, size_of_bits
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.row import at, element, loaded, my_element, store
from numba_car._cuda.team import SLOTS, place_in, size_of, team_first, team_max, team_sum

_FARTHER, _NEAREST = 1.5, 2.0**-10  # as on the CPU, for the first step of a bracket
_LARGEST, _SMALLEST = 2.0**1023, 2.0**-1000
_ROUNDS = 4  # halvings between two looks for an element that is left alone


@device
def steps_at(row, i, grid, rate):
    """Return how many steps element i moves; grid is (step, slack), and rate is eta/step."""
    x, delta, lower, upper = element(row, i, np.float64)
    _, most, odd = place(x, delta, lower, upper, grid[0], grid[1])
    return steps(abs(delta), most, odd, rate)


@device
def staircase(row, grid, norm, rate, team):
    """Return F: the sum of powers of whole steps, for p = inf the largest."""
    total, lost, i = 0.0, 0.0, place_in(team)
    while i < row[5]:
        number = steps_at(row, i, grid, rate)
        if len(norm) == MAXIMUM:
            total = max(total, number)
        else:
            total, error = two_sum(total, term(number, norm))
            lost += error
        i += size_of(team)
    if len(norm) == MAXIMUM:
        return team_max(total, team)
    return team_sum(total, team) + team_sum(lost, team)


@device
def norm_of(reached, norm):
    """Return the norm in steps, given F."""
    return reached if len(norm) == MAXIMUM else root(reached, norm)


@device
def is_beyond(reached, wanted, norm):
    """Return whether F is beyond that of a norm in steps; for p = 1, 2 and inf of whole steps exactly."""
    if len(norm) == TWO and wanted < 2.0**400:
        return less_square(reached, wanted) > 0
    return reached > (wanted if len(norm) == MAXIMUM else term(wanted, norm))


@device
def neighbour(value, by):
    """Return the float64 so many places after a value that is not negative, at least 0."""
    return size_of_bits(max(bits_of(value) + by, 0))


@device
def bracket(row, grid, norm, wanted, start, at_start, team):
    """Return rates low < high with F(low) not beyond and F(high) beyond, given F at the start; high < 0 if F never is."""
    beyond, near = is_beyond(at_start, wanted, norm), norm_of(at_start, norm)
    low, high = (0.0, start) if beyond else (start, -1.0)
    share = _FARTHER * abs(near - wanted) / max(near, wanted, _SMALLEST) + _NEAREST
    while start > 0 and share < 0.5 and not (low > 0 and high > 0):
        other = start * (1.0 - share if beyond else 1.0 + share)
        if is_beyond(staircase(row, grid, norm, other, team), wanted, norm):
            high = other
        else:
            low = other
        share *= 4.0
    if high < 0 and is_beyond(staircase(row, grid, norm, _LARGEST, team), wanted, norm):
        high = _LARGEST
    return low, high


@device
def element_left(row, grid, low, high, team):
    """Return the element that takes one step more at rate `high` than at `low`, if no other takes any; else -1."""
    count, found, i = 0.0, np.int64(-1), place_in(team)
    while i < row[5]:
        more = steps_at(row, i, grid, high) - steps_at(row, i, grid, low)
        if more > 0:
            count, found = count + more, i
        i += size_of(team)
    return team_first(found if team_sum(count, team) == 1 else np.int64(-1), team)


@device
def first_beyond(row, grid, norm, wanted, low, high, team):
    """Return the least rate of float64 with F beyond that of the norm wanted, given a bracket."""
    left, rounds = np.int64(-1), 0
    while bits_of(high) - bits_of(low) > 1:
        if left < 0 and rounds % _ROUNDS == 0:
            left = element_left(row, grid, low, high, team)
        middle = neighbour(low, (bits_of(high) - bits_of(low)) >> 1)
        if left >= 0:
            beyond = steps_at(row, left, grid, middle) > steps_at(row, left, grid, low)
        else:
            beyond = is_beyond(staircase(row, grid, norm, middle, team), wanted, norm)
        low, high = (low, middle) if beyond else (middle, high)
        rounds += 1
    return high


@device
def saturation(row, grid, team):
    """Return a rate from which on no element moves."""
    rate, i = 0.0, place_in(team)
    while i < row[5]:
        x, delta, lower, upper = element(row, i, np.float64)
        _, most, _ = place(x, delta, lower, upper, grid[0], grid[1])
        if delta != 0:
            rate = max(rate, min(most / abs(delta), _LARGEST))
        i += size_of(team)
    return min(team_max(rate, team) * (1 + 2.0**-50), _LARGEST)


@device
def solve_row(row, grid, norm, eps, eta, inside, team):
    """Return eta/step of the result on the grid, given the eta of the continuous problem, which may be any number."""
    wanted, start = eps / grid[0], min(eta / grid[0], _LARGEST)
    at_start = staircase(row, grid, norm, start, team)
    low, high = bracket(row, grid, norm, wanted, start, at_start, team)
    if high < 0:
        return saturation(row, grid, team)
    high = first_beyond(row, grid, norm, wanted, low, high, team)
    low = neighbour(high, -1)
    reached = staircase(row, grid, norm, low, team)
    beyond = staircase(row, grid, norm, high, team)
    short, excess = wanted - norm_of(reached, norm), norm_of(beyond, norm) - wanted
    is_below = inside or short <= excess
    if at_start == (reached if is_below else beyond):
        return start
    return low if is_below else high


@device
def is_wrong(x, lower, upper, grid, slack, limits):
    """Return whether x is off the grid, or results between the bounds do not fit their dtype.

    Limits are the least and the largest of an integer dtype; of floats, they are infinite.
    """
    if not abs(lower) < math.inf or is_off_grid(x, lower, grid[0], slack):
        return True
    is_integer = limits[1] < math.inf
    fits = limits[0] <= lower and upper <= limits[1] and on_grid(lower, WHOLE) == lower
    return is_integer and not fits


@kernel
def solve_grid_rows(
    x, delta, lower, upper, count, n, grid, norm, eps, inside, eta, slack, limits, there, rate, first
):  # fmt: skip
    """Store eta and eta/step of all results on the grid, NaN where the given eta is NaN.

    `first` takes the least index of a row that is an error.
    """
    lower, upper = loaded(lower), loaded(upper)
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        row, found, i = (x, delta, lower, upper, r, n), eta[r], place_in(team)
        # Integers hold no NaN.
        wrong = math.isnan(found) and limits[1] < math.inf
        while i < n and not math.isnan(found):
            x_i, _, low, high = element(row, i, np.float64)
            wrong = wrong or is_wrong(x_i, low, high, grid, slack, limits)
            i += size_of(team)
        if wrong:
            cuda.atomic.min(first, 0, r)
        if not math.isnan(found):
            found = solve_row(row, grid, norm, at(eps, r, 0, np.float64), found, inside, team)
        if cuda.threadIdx.x == 0:
            there[r], rate[r] = found * grid[0], found
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y


@device
def arrived(row, i, grid, rate):
    """Return x and the result of element i."""
    x, delta, lower, upper = element(row, i, np.float64)
    return x, arrive_on_grid(x, delta, lower, upper, grid[0], grid[1], rate)


@kernel
def measure_grid_rows(x, delta, lower, upper, count, n, grid, norm, rate, reached):
    """Store the norms of the results on the grid, NaN where the rate is."""
    lower, upper = loaded(lower), loaded(upper)
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        row, unit, i = (x, delta, lower, upper, r, n), 0.0, place_in(team)
        while i < n:
            start, end = arrived(row, i, grid, rate[r])
            unit = max(unit, abs(end - start))
            i += size_of(team)
        unit = team_max(unit, team)
        total, lost, i = 0.0, 0.0, place_in(team)
        while i < n and unit > 0 and len(norm) != MAXIMUM:
            start, end = arrived(row, i, grid, rate[r])
            total, error = two_sum(total, term(abs(end - start) / unit, norm))
            lost += error
            i += size_of(team)
        found = unit if len(norm) == MAXIMUM else unit * root(team_sum(total + lost, team), norm)
        if cuda.threadIdx.x == 0:
            reached[r] = math.nan if math.isnan(rate[r]) else found
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y


@kernel
def write_grid_rows(x, delta, lower, upper, count, n, grid, rate, out):
    """Store the results on the grid, a thread an element, NaN where the rate is; out may be x or delta."""
    r, i = my_element()
    if r < count and i < n:
        _, end = arrived((x, delta, lower, upper, r, n), i, grid, rate[r])
        store(out, r, i, math.nan if math.isnan(rate[r]) else end)
