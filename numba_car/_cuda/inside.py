"""Results that are never farther from x than eps, as they are stored: ``side="inside"``, by the rule of `_cpu/inside.py`.

A team measures a row; where it is beyond eps, one thread moves elements towards x in the order of the row. All
arithmetic is in float64; numbers of a narrower dtype are float64 that end in zeros.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numba import cuda

from numba_car._core.bfloat16 import narrow as narrow_bfloat16
from numba_car._core.bfloat16 import widen as widen_bfloat16
from numba_car._core.constants import SMALL_ROUNDS
from numba_car._core.double_double import two_sum
from numba_car._core.float16 import narrow as narrow_float16
from numba_car._core.float16 import widen as widen_float16
from numba_car._core.norms import MAXIMUM, ONE, TWO, term
from numba_car._cuda import copies, device_memory, launch
from numba_car._cuda.exact import bits_of, less_square, size_of_bits, team_pair, two_product
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.problem import DeviceProblem
from numba_car._cuda.row import ROWS, STORED_NUMBER, at, store
from numba_car._cuda.team import SLOTS, place_in, size_of

# By the name of a dtype: how many digits fewer than float64 it has, its least normal number, and the distance between
# those below.
_FORMS = {
    "float16": (42, 2.0**-14, 2.0**-24),
    "bfloat16": (45, 2.0**-126, 2.0**-133),
    "float32": (29, 2.0**-126, 2.0**-149),
    "float64": (0, 2.0**-1022, 2.0**-1074),
}
_FLOAT32, _FLOAT16, _BFLOAT16 = 29, 42, 45
# More than the relative errors of sums of pairs by element, and of the powers of a GPU, which err by 2 ulp.
_EXACT, _FINE = 2.0**-90, 2.0**-49
_MORE = 1 + 2.0**-30


@device
def as_stored(v, form):
    """Return v in the dtype in which it is stored."""
    if form[0] == _FLOAT16:
        return np.float64(widen_float16(narrow_float16(v)))
    if form[0] == _BFLOAT16:
        return np.float64(widen_bfloat16(narrow_bfloat16(v)))
    return np.float64(np.float32(v)) if form[0] == _FLOAT32 else v


@device
def toward(v, x, form):
    """Return the number next to v on the side of x, in the dtype in which v is stored."""
    shift, least, step = form
    shrinks, size = (v > x) == (v > 0), abs(v)
    if size < least or (size == least and shrinks):
        return v - step if v > x else v + step
    one = np.int64(1) << shift
    size = size_of_bits(bits_of(size) + (-one if shrinks else one))
    return size if v > 0 else -size


@device
def closer(v, x, places, form):
    """Return a number on the side of x: the next to v, or that so many last places of |v - x| away, if that is farther."""
    after, size = toward(v, x, form), abs(v - x)
    unit = size_of_bits(bits_of(size) + (np.int64(1) << min(form[0], _FLOAT32))) - size
    unit *= places
    if unit >= size:
        return x
    moved = as_stored(v + unit if x > v else v - unit, form)
    return moved if abs(moved - x) < abs(after - x) else after


@device
def distance_of(v, x):
    """Return |v - x| as a pair."""
    high, low = two_sum(v, -x)
    return (-high, -low) if high < 0 else (high, low)


@device
def power_of(v, x, norm, scale):
    """Return (|v - x|*scale)**p as a pair."""
    distance, rest = distance_of(v, x)
    power, rest = distance * scale, rest * scale
    if len(norm) == ONE or power == 0:
        return power, rest
    if len(norm) == TWO:
        square, lost = two_product(power, power)
        return square, lost + 2.0 * power * rest
    raised = term(power, norm)
    return raised, norm[0] * (raised / power) * rest


@device
def excess(x, out, r, n, norm, eps, scale, team):
    """Return by how much the p-th power of ||v - x||*scale is beyond that of eps*scale; at most 0 if it is not."""
    total, lost, i = 0.0, 0.0, place_in(team)
    while i < n:
        v_i, x_i = at(out, r, i, np.float64), at(x, r, i, np.float64)
        power, rest = power_of(v_i, x_i, norm, scale)
        total, error = two_sum(total, power)
        lost += error + rest
        i += size_of(team)
    size = eps * scale
    target = term(size, norm)
    high, low = team_pair(total, lost, 2.0 * target, team)
    if not high < math.inf:  # powers overflow, far beyond
        return math.inf
    if len(norm) > TWO:
        return high * (1 + _FINE) - target
    beyond = (less_square(high, size) if len(norm) == TWO else high - target) + low
    # Where nothing is lost, as in a row of one element, the sums are exact.
    return beyond if low == 0 else beyond + _EXACT * high


@device
def least_fall(before, after, norm):
    """Return no more than before**p - after**p, without the cancellation of digits."""
    if len(norm) == ONE or after == 0:
        return term(before, norm) - term(after, norm)
    flatter = after if norm[0] >= 1 else before
    return norm[0] * (term(flatter, norm) / flatter) * (before - after)


@device
def go_back(x, out, r, n, norm, scale, beyond, places, form):
    """Move elements towards x by a step each until their powers have fallen by more than the excess."""
    fallen, i = 0.0, np.int64(0)
    while i < n and fallen <= beyond:
        v, x_i = at(out, r, i, np.float64), at(x, r, i, np.float64)
        if v != x_i:
            before = distance_of(v, x_i)[0] * scale
            v = closer(v, x_i, places, form)
            store(out, r, i, v)
            fallen += least_fall(before, distance_of(v, x_i)[0] * scale, norm)
        i += 1


@device
def keep_largest_inside(x, out, r, n, eps, form, team):
    """Move elements towards x that are farther than eps."""
    i = place_in(team)
    while i < n:
        v, x_i = at(out, r, i, np.float64), at(x, r, i, np.float64)
        high, low = distance_of(v, x_i)
        if high > eps or (high == eps and low > 0):
            while high > eps or (high == eps and low > 0):
                v = closer(v, x_i, 1.0, form)
                high, low = distance_of(v, x_i)
            store(out, r, i, v)
        i += size_of(team)


@device
def keep_row_inside(x, out, r, n, norm, eps, form, team):
    """Move elements of a row towards x until it is not farther than eps; the team is a block."""
    i = place_in(team)
    while i < n and form[0] >= _FLOAT16:
        store(out, r, i, as_stored(at(out, r, i, np.float64), form))
        i += size_of(team)
    cuda.syncthreads()
    if len(norm) == MAXIMUM:
        keep_largest_inside(x, out, r, n, eps, form, team)
    elif eps > 0:
        # A power of two loses nothing, and keeps powers in range.
        scale = math.ldexp(1.0, -max(math.frexp(eps)[1], -1000))
        beyond = excess(x, out, r, n, norm, eps, scale, team)
        places, rounds = 1.0, 0
        while beyond > 0:
            # The rounding of other powers may hide what is left: go a little further.
            more = _FINE * term(eps * scale, norm) if len(norm) > TWO else 0.0
            cuda.syncthreads()  # all have read the row before it is written to
            if cuda.threadIdx.x == 0:
                go_back(x, out, r, n, norm, scale, beyond * _MORE + more, places, form)
            cuda.syncthreads()
            beyond = excess(x, out, r, n, norm, eps, scale, team)
            rounds += 1
            places *= 1.0 if rounds <= SMALL_ROUNDS else 2.0


@kernel
def keep_rows_inside(x, count, n, norm, eps, eta, form, out):
    """Move results towards x until no row is farther than eps, a block a row; rows whose eta is NaN stay."""
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x)
    while r < count:
        if not math.isnan(eta[r]):
            keep_row_inside(x, out, r, n, norm, at(eps, r, 0, np.float64), form, team)
        r += np.int64(cuda.gridDim.x)


def _share_memory(x: tuple[Any, ...], out: tuple[Any, ...]) -> bool:
    """Return whether two batches of rows have memory in common."""
    if len(x) < ROWS or len(x) == STORED_NUMBER:
        return False
    (start, stop), (begin, end) = (
        (pointer, pointer + memory.size * memory.dtype.itemsize)
        for memory, pointer in ((m[0], device_memory.pointer_of(m[0])) for m in (x, out))
    )
    return bool(start < end and begin < stop)


def prepared(task: DeviceProblem, out: tuple[Any, ...]) -> DeviceProblem:
    """Return the problem with x in memory that writing to `out` does not change, where x is read afterwards."""
    if task.options.side == "nearest" or not task.count * task.n or not _share_memory(task.x, out):
        return task
    memory, *strides = task.x
    view = device_memory.view_of(memory)
    return replace(task, x=(copies.packed(view, view.dtype, task.stream), *strides))


def keep(task: DeviceProblem, eta: Any, out: tuple[Any, ...]) -> None:
    """Apply the rule of `side` to results in `out`; rows whose eta is NaN are NaN."""
    if task.options.side == "nearest" or not task.count * task.n:
        return
    shift, least, step = _FORMS[task.stored]
    teams = launch.row_teams(task.count, task.n)
    shape = launch.Shape(min(task.count, teams.blocks * teams.threads[1]), (teams.threads[0], 1))
    given = np.int64(task.count), np.int64(task.n), task.norm, task.eps, eta
    launch.run(
        keep_rows_inside, shape, task.stream, task.x, *given, (np.int64(shift), least, step), out
    )
