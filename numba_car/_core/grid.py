"""Results on a grid, one element: how many whole steps it moves, and where it arrives; `docs/derivation.md`, eq. (48).

The grid of an element is lower + k*step, for whole k from 0 to the last k not beyond upper, and x is on it.
"""

from numba_car._core.double_double import on_grid
from numba_car._core.norms import is_float32
from numba_car._jit import formula

WHOLE = 1.5 * 2.0**52  # the grid of `on_grid` that rounds to whole numbers, halves to even ones
MOST = 2.0**50  # steps, for an element without a bound


@formula
def slack_of(like):
    """Return how far beyond upper a point of the grid may lie, relative to the bounds, and still count: its rounding."""
    return 2.0**-23 if is_float32(like) else 2.0**-51


@formula
def place(x, delta, lower, upper, step, slack):
    """Return k of x, the most steps towards sign(delta), and 2 if k is odd, else 0."""
    by_step = 1.0 / step
    beyond = min(slack * max(abs(lower), abs(upper)), 0.25 * step)
    last = min((upper - lower + beyond) * by_step, MOST)
    whole = on_grid(last, WHOLE)
    k = on_grid((x - lower) * by_step, WHOLE)
    room = whole - (1.0 if whole > last else 0.0) - k if delta > 0 else k
    return k, (room if room > 0 else 0.0), 4.0 * abs(k * 0.5 - on_grid(k * 0.5, WHOLE))


@formula
def steps(size, most, odd, rate):
    """Return how many steps an element moves, given 2 as `odd` where k of its x is odd, else 0; rate is eta/step."""
    reach = min(size * rate, most)
    whole = on_grid(reach, WHOLE)
    rest = reach - whole
    return whole + (odd * rest if abs(rest) == 0.5 else 0.0)


@formula
def arrive_on_grid(x, delta, lower, upper, step, slack, rate):
    """Return where an element arrives."""
    k, most, odd = place(x, delta, lower, upper, step, slack)
    moved = steps(abs(delta), most, odd, rate)
    return min(lower + (k + (moved if delta > 0 else -moved)) * step, upper)


@formula
def is_off_grid(x, lower, step, slack):
    """Return whether x is off the grid by more than rounding, which NaN is not."""
    near = lower + on_grid((x - lower) / step, WHOLE) * step
    return abs(x - near) > min(slack * max(abs(x), abs(lower)), 0.25 * step)
