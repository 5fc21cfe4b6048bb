"""Directions in device memory that are computed from other arrays: z - x, and the direction of best ascent.

They take a temporary of the batch's size, in the dtype that rows are computed in.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numba import cuda

from numba_car._core.constants import LARGEST
from numba_car._core.derivative import clamp
from numba_car._core.norms import STORED, norm_of, term
from numba_car._cuda import copies, device_memory, launch
from numba_car._cuda.jit import kernel
from numba_car._cuda.measure import max_abs
from numba_car._cuda.problem import DeviceProblem
from numba_car._cuda.rescale import moved
from numba_car._cuda.row import at, element, my_element, store
from numba_car._cuda.team import SLOTS

Batch = tuple[Any, ...]


@kernel
def subtract_rows(x, z, lower, upper, count, n, largest, out):  # noqa: ARG001
    """Store z - x; a difference of finite numbers that overflows is cut, what is not finite stays so."""
    r, i = my_element()
    if r < count and i < n:
        z_i = at(z, r, i, np.float64)
        difference = z_i - at(x, r, i, np.float64)
        store(out, r, i, clamp(difference, largest) if abs(z_i) <= LARGEST else difference)


@kernel
def largest_rows(x, g, lower, upper, count, n, largest, lost):
    """Store the largest |g| of all rows, and that none has lost an element."""
    team = (cuda.shared.array(SLOTS, np.float64),)
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
    while r < count:
        found = max_abs((x, g, lower, upper, r, n), team)
        if cuda.threadIdx.x == 0:
            largest[r], lost[r] = found, False
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.y


@kernel
def raise_rows(x, g, lower, upper, count, n, norm, largest, least, out, lost, first):  # noqa: ARG001
    """Store sign(g)*(|g|/largest)**q, 0 where that is below `least`; `lost` and `first` say in which rows."""
    r, i = my_element()
    if r < count and i < n:
        g_i, unit = at(g, r, i, np.float64), largest[r]
        if 0 < unit < math.inf and g_i != 0:
            power = (
                1.0 if len(norm) == STORED and not math.isnan(g_i) else term(abs(g_i) / unit, norm)
            )
            if power < least:
                power, lost[r] = 0.0, True
                cuda.atomic.min(first, 0, r)
            g_i = -power if g_i < 0 else power
        store(out, r, i, g_i)


@kernel
def chain_rows(x, g, lower, upper, count, n, delta, power, given, out):  # noqa: ARG001
    """Store given * d delta/d g, where delta is |g|**power with the sign of g; 0 where g is 0 or power 0."""
    r, i = my_element()
    if r < count and i < n:
        g_i, slope = at(g, r, i, np.float64), 0.0
        if g_i != 0:
            slope = at(delta, r, i, np.float64) / g_i
        store(out, r, i, power * slope * at(given, r, i, np.float64))


@kernel
def rest_of_rows(eps, reached, saturated, lost, p, left, first):
    """Store what is left of eps for the elements that are lost, where the others do not reach it, else 0."""
    r = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    while r < reached.size:
        goal, rest = at(eps, r, 0, np.float64), 0.0
        if lost[r] and saturated[r]:
            share = (reached[r] / goal) ** p if reached[r] > 0 else 0.0
            rest = goal * (1.0 - share) ** (1.0 / p) if share < 1 else 0.0
        if rest > 0:
            cuda.atomic.min(first, 0, r)
        left[r] = rest
        r += np.int64(cuda.gridDim.x) * cuda.blockDim.x


@kernel
def rest_of_elements(x, g, lower, upper, count, n, delta, left, out):  # noqa: ARG001
    """Store g of the elements that are lost, in rows of which some eps is left; 0 for all others."""
    r, i = my_element()
    if r < count and i < n:
        is_rest = left[r] > 0 and at(delta, r, i, np.float64) == 0
        store(out, r, i, at(g, r, i, np.float64) if is_rest else 0.0)


@kernel
def move_rest(x, delta, lower, upper, count, n, eta, largest, out):
    """Store clip(x + eta*delta) of the elements whose delta is not 0; out may be x."""
    r, i = my_element()
    if r < count and i < n:
        x_i, delta_i, low, high = element((x, delta, lower, upper, r, n), i, np.float64)
        if delta_i != 0:
            store(out, r, i, moved(x_i, delta_i, low, high, largest, eta[r]))


def memory_for(task: DeviceProblem) -> Batch:
    """Return new memory for one number an element, as a batch."""
    flat = device_memory.empty(task.count * task.n, task.compute, task.stream)
    return device_memory.batch_of(flat, task.compute, task.n)


def by_element(kernel: Any, task: DeviceProblem, *arguments: Any) -> None:
    """Launch a kernel with a thread an element of a batch that is not empty."""
    if task.count * task.n:
        blocks, threads = launch.elements_grid(task.count, task.n)
        launch.call(kernel, (blocks, threads, task.stream), *task.rows, *arguments)


def difference(task: DeviceProblem) -> Batch:
    """Return the rows z - x, z being in the place of delta."""
    out = memory_for(task)
    by_element(subtract_rows, task, float(np.finfo(task.compute).max), out)
    return out


def ascent(task: DeviceProblem, p: float, first: Any) -> tuple[Batch, Any]:
    """Return the rows sign(g)*(|g|/max|g|)**(1/(p - 1)), and in which of them some power is too small for the dtype.

    g is in the place of delta; `first` takes the least index of such a row.
    """
    out, lost = memory_for(task), device_memory.empty(task.count, np.bool_, task.stream)
    if task.count * task.n:
        largest = device_memory.empty(task.count, np.float64, task.stream)
        shape = launch.row_teams(task.count, task.n)
        launch.run(largest_rows, shape, task.stream, *task.rows, largest, lost)
        norm = () if p == math.inf else norm_of(1 / (p - 1))
        least = float(np.finfo(task.compute).tiny)
        by_element(raise_rows, task, norm, largest, least, out, lost, first)
    return out, lost


def rest(
    task: DeviceProblem, delta: Batch, lost: Any, reach: tuple[Any, Any], first: Any
) -> DeviceProblem:
    """Return the problem of the elements of g that `delta` has lost, where the others do not reach eps.

    `reach` holds R of the rows, and which of them are saturated; `first` takes the least index of a row with a rest.
    """
    left = device_memory.empty(task.count, np.float64, task.stream)
    p = task.norm[0]
    arguments = task.eps, *reach, lost, p, left, first
    launch.call(
        rest_of_rows, (copies.blocks_for(task.count), copies.THREADS, task.stream), *arguments
    )
    g = memory_for(task)
    by_element(rest_of_elements, task, delta, left, g)
    return replace(task, delta=g, eps=(left, np.int64(1)))
