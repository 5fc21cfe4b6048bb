"""The paper's method, a block a row: sort the breakpoints, scan the sums, pick the piece.

The sort is bitonic. Terms, breakpoints and their order lie in `scratch`, in global memory, since rows may
be longer than shared memory.
"""

import math

import numpy as np
from numba import cuda

from numba_car._core.newton import conclude, in_range, units_of
from numba_car._core.verdicts import PENDING, SATURATED
from numba_car._cuda.jit import device, kernel
from numba_car._cuda.measure import bisect
from numba_car._cuda.newton import NO_REST, finish, iterate, report
from numba_car._cuda.row import at, loaded
from numba_car._cuda.team import LARGEST_TEAM, SLOTS, team_first
from numba_car._cuda.terms import raise_powers
from numba_car._cuda.validate import read_and_validate

SCRATCH_ROWS = (
    3  # caps, weights and breakpoints, of a power of two elements each; the order is apart
)


@device
def bitonic_sort(keys, order, size):
    """Sort keys, of which there are a power of two, and reorder `order` as the keys."""
    width = 2
    while width <= size:
        distance = width // 2
        while distance > 0:
            cuda.syncthreads()
            pair = np.int64(cuda.threadIdx.x)
            while pair < size // 2:
                i = 2 * pair - (pair & (distance - 1))
                j = i + distance
                # Equal keys go by their order: so the padding, of infinite keys, comes last.
                is_later = keys[i] > keys[j] or (keys[i] == keys[j] and order[i] > order[j])
                if is_later == ((i & width) == 0):
                    keys[i], keys[j] = keys[j], keys[i]
                    order[i], order[j] = order[j], order[i]
                pair += cuda.blockDim.x
            distance //= 2
        width *= 2
    cuda.syncthreads()


@device
def scan(sums, before):
    """Return the sum of the values in `sums` of the threads before this one, or of those after it."""
    me, distance = np.int64(cuda.threadIdx.x), 1
    threads = np.int64(cuda.blockDim.x)
    cuda.syncthreads()
    while distance < threads:
        other = me - distance if before else me + distance
        more = sums[other] if 0 <= other < threads else 0.0
        cuda.syncthreads()
        sums[me] += more
        cuda.syncthreads()
        distance *= 2
    neighbour = me - 1 if before else me + 1
    total = sums[neighbour] if 0 <= neighbour < threads else 0.0
    cuda.syncthreads()
    return total


@device
def pick(n, target, caps, weights, keys, order, sums, team):
    """Return the t at which G reaches the target, on the first piece that does, and whether one does."""
    me, threads = np.int64(cuda.threadIdx.x), np.int64(cuda.blockDim.x)
    # There is memory to sort in for fewer elements than 2**32, and a division of 64 bits takes long.
    share = np.int64(np.uint32(n + threads - 1) // np.uint32(threads))
    start, stop = min(n, me * share), min(n, (me + 1) * share)
    capped, weight, k = 0.0, 0.0, start
    while k < stop:
        capped, weight, k = capped + caps[order[k]], weight + weights[order[k]], k + 1
    sums[me] = capped
    clipped = scan(sums, True)
    sums[me] = weight
    free = scan(sums, False) + weight
    found, t, k = np.int64(-1), 0.0, start
    while k < stop and found < 0:
        t = (target - clipped) / free
        if free > 0 and t <= keys[k]:
            found = k
        clipped, free = clipped + caps[order[k]], free - weights[order[k]]
        k += 1
    first = team_first(found, team)
    if found == first and first >= 0:
        sums[0] = max(t, keys[first - 1] if first > 0 else 0.0)
    cuda.syncthreads()
    t = sums[0]
    cuda.syncthreads()
    return t, first >= 0


@device
def sort_row(row, size, norm, eps, max_abs_delta, scratch, order, sums, team):
    """Return eta of a row that is finite and can move, for finite p and eps > 0."""
    unit, max_abs_delta, target = units_of(eps, max_abs_delta, norm, False)
    if not in_range(target):
        return bisect(row, norm, eps, team)
    n = row[5]
    caps, weights, keys = scratch[:size], scratch[size : 2 * size], scratch[2 * size :]
    terms = (caps, weights, np.int64(0))
    like, i = np.float64(0), np.int64(cuda.threadIdx.x)
    raise_powers(n, norm, unit, max_abs_delta, like, terms, team)
    while i < size:
        moves = i < n and weights[i] > 0
        keys[i], order[i] = caps[i] / weights[i] if moves else math.inf, i
        i += cuda.blockDim.x
    bitonic_sort(keys, order, size)
    t, is_found = pick(n, target, caps, weights, keys, order, sums, team)
    verdict = SATURATED
    if is_found:
        # The scan's sums are long chains of additions; Newton's method sums the piece with less rounding.
        _, t, verdict = iterate(n, target, t, True, NO_REST, 0.0, like, terms, team)
    eta, verdict = conclude(unit / max_abs_delta, t, 0.0, norm, verdict)
    return finish(row, norm, eps, eta, verdict, team)


@kernel
def sort_rows(
    x, delta, lower, upper, count, n, size, eps, norm, slack, scratch, order, eta, verdict, first
):
    """Solve all rows, each block in its part of scratch and order."""
    lower, upper = loaded(lower), loaded(upper)
    team = (cuda.shared.array(SLOTS, np.float64),)
    sums = cuda.shared.array(LARGEST_TEAM, np.float64)
    block = np.int64(cuda.blockIdx.x)
    scratch = scratch[block * SCRATCH_ROWS * size : (block + 1) * SCRATCH_ROWS * size]
    order = order[block * size : (block + 1) * size]
    r = block
    while r < count:
        row = (x, delta, lower, upper, r, n)
        terms = (scratch[:size], scratch[size : 2 * size], np.int64(0))
        max_abs_delta, validity = read_and_validate(row, slack, np.float64(0), terms, team)
        goal, found = at(eps, r, 0, np.float64), 0.0
        if validity == PENDING and goal > 0 and max_abs_delta > 0:
            found = sort_row(row, size, norm, goal, max_abs_delta, scratch, order, sums, team)
        report(r, validity, goal, found, eta, verdict, first)
        r += cuda.gridDim.x
