"""Batches of derivatives of projections and of best ascent: the rows of z or of g take the place of delta's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numba_car._cpu import greedy_results
from numba_car._cpu.derivatives import gradients, jvp, upstream_of, vjp, vjp_of_block
from numba_car._cpu.directions import Ascent, Difference
from numba_car._cpu.jvp import jvp_rows
from numba_car._cpu.l1_derivatives import l1_jvp_rows, l1_vjp_rows
from numba_car._cpu.on_sums import PivotBatch, ThresholdBatch
from numba_car._cpu.pipeline import Batch, Block
from numba_car._cpu.project import (
    clip_jvp_rows,
    clip_to_ball_vjp_rows,
    project_vjp_rows,
)
from numba_car._cpu.solve import solve_blocks
from numba_car._layout import Array, Rows, table_of
from numba_car._problem import Problem

Gradients = tuple[Any, Any, Any, Any, Any]
_Work = Callable[[Block], None]


def project_vjp(problem: Problem, g: Rows) -> Gradients:
    """Return the gradients of x, z, eps (flat, by row), lower and upper; g is upstream of the projection."""
    if problem.p == math.inf:
        return _clip_to_ball_vjp(problem, g)
    if problem.p == 1:
        return _project_on_sum_vjp(problem, g)
    z, none = problem.delta, np.zeros(problem.count)
    batch = Batch(problem.along(Difference(z, problem.x)))

    def differentiate(block: Block, targets: tuple[Any, ...], sums: Array) -> None:
        vjp_of_block(batch, block, g, none, targets, sums)
        x, _, *others = block.rows
        given = upstream_of(g, block), block.eta, problem.largest
        project_vjp_rows(x, z.block(block.start, block.stop), *others, *given, targets, sums)

    return gradients(problem, lambda work: solve_blocks(batch, work), differentiate)


def _clip_to_ball_vjp(problem: Problem, g: Rows) -> Gradients:
    eps, batch = problem.take_eps(), Batch(problem)

    def differentiate(block: Block, targets: tuple[Any, ...], sums: Array) -> None:
        reach = np.ascontiguousarray(eps[block.start : block.stop])
        given = upstream_of(g, block), reach, block.eta, problem.largest
        clip_to_ball_vjp_rows(*block.rows, *given, targets, sums)

    return gradients(problem, lambda work: solve_blocks(batch, work), differentiate)


def _project_on_sum_vjp(problem: Problem, g: Rows) -> Gradients:
    batch = ThresholdBatch(problem)

    def differentiate(block: Block, targets: tuple[Any, ...], sums: Array) -> None:
        answer = block.eps, block.verdict, block.eta, batch.low[block.start : block.stop]
        given = upstream_of(g, block), *answer, problem.largest
        l1_vjp_rows(*block.rows, *given, targets, sums)

    return gradients(problem, lambda work: solve_blocks(batch, work), differentiate)


def _maximize_on_sum_vjp(problem: Problem, upstream: Rows) -> Gradients:
    batch = PivotBatch(problem)

    def differentiate(block: Block, targets: tuple[Any, ...], sums: Array) -> None:
        answer = batch.pivot[block.start : block.stop], block.eta
        given = upstream_of(upstream, block), *answer, problem.largest
        greedy_results.vjp_rows(*block.rows, *given, targets, sums)

    return gradients(problem, lambda work: solve_blocks(batch, work), differentiate)


def maximize_vjp(problem: Problem, upstream: Rows) -> Gradients:
    """Return the gradients of x, g, eps (flat, by row), lower and upper."""
    if problem.p == 1:
        return _maximize_on_sum_vjp(problem, upstream)
    none = np.zeros(problem.count)
    if problem.p == 2:
        return vjp(problem, upstream, none)
    ascent = Ascent(problem.delta, problem.p)
    batch = Batch(problem.along(ascent))

    def differentiate(block: Block, targets: tuple[Any, ...], sums: Array) -> None:
        vjp_of_block(batch, block, upstream, none, targets, sums)
        ascent.chain(block.start, block.stop, block.rows[1], targets[1], targets[1])

    return gradients(problem, lambda work: solve_blocks(batch, work), differentiate)


Tangents = tuple[Rows | float, Rows | float, Array]
_Push = Callable[[Block, tuple[Any, Any, Array], tuple[Array, int]], None]


def _push(batch: Batch, tangents: Tangents, out: Rows, differentiate: _Push) -> None:
    """Store tangents in `out`; `differentiate(block, tangents, target)` stores those of a block."""
    *by_element, of_eps = tangents
    # Where there are none, one row of zeros for all: kernels compile for rows alone.
    zeros = np.zeros(batch.problem.n, batch.problem.x.dtype), 0

    def work(block: Block) -> None:
        start, stop = block.start, block.stop
        target = out.scratch(start, stop)
        of_x, of_delta = (
            t.block(start, stop) if isinstance(t, Rows) else zeros for t in by_element
        )
        given = of_x, of_delta, of_eps[start:stop].copy()
        differentiate(block, given, target)
        out.store(start, stop, target[0])

    solve_blocks(batch, work)


def project_jvp(problem: Problem, tangents: Tangents, out: Rows) -> None:
    """Store the tangents of the projection, given those of x, z and eps."""
    if problem.p == math.inf:
        _clip_to_ball_jvp(problem, tangents, out)
        return
    if problem.p == 1:
        _project_on_sum_jvp(problem, tangents, out)
        return
    z = problem.delta
    batch = Batch(problem.along(Difference(z, problem.x)))

    def differentiate(
        block: Block, given: tuple[Any, Any, Array], target: tuple[Array, int]
    ) -> None:
        of_x, of_z, of_eps = given
        of_delta = _difference(of_z, of_x, block, problem.n)
        how = batch.norm, block.eps, block.eta
        jvp_rows(*block.rows, (of_x, of_delta, of_eps), *how, target, np.empty(block.eta.size))
        x, _, *others = block.rows
        no_reach = np.full(block.eta.size, math.inf)
        clipped = z.block(block.start, block.stop), *others, given, no_reach, block.eta >= 1.0
        clip_jvp_rows(x, *clipped, target)

    _push(batch, tangents, out, differentiate)


def _difference(
    of_z: tuple[Array, int], of_x: tuple[Array, int], block: Block, n: int
) -> tuple[Array, int]:
    """Return rows less rows."""
    size = block.stop - block.start, n
    return (table_of(of_z, *size) - table_of(of_x, *size)).reshape(-1), n


def _clip_to_ball_jvp(problem: Problem, tangents: Tangents, out: Rows) -> None:
    eps = problem.take_eps()

    def differentiate(
        block: Block, given: tuple[Any, Any, Array], target: tuple[Array, int]
    ) -> None:
        reach = np.ascontiguousarray(eps[block.start : block.stop])
        clip_jvp_rows(*block.rows, given, reach, np.ones(reach.size, bool), target)
        bad = np.isnan(block.eta)
        if bad.any():
            target[0].reshape(-1, target[1])[bad, : problem.n] = math.nan

    _push(Batch(problem), tangents, out, differentiate)


def _project_on_sum_jvp(problem: Problem, tangents: Tangents, out: Rows) -> None:
    batch = ThresholdBatch(problem)

    def differentiate(
        block: Block, given: tuple[Any, Any, Array], target: tuple[Array, int]
    ) -> None:
        answer = block.eps, block.verdict, block.eta, batch.low[block.start : block.stop]
        l1_jvp_rows(*block.rows, given, *answer, target, np.empty(block.eta.size))

    _push(batch, tangents, out, differentiate)


def _maximize_on_sum_jvp(problem: Problem, tangents: Tangents, out: Rows) -> None:
    batch = PivotBatch(problem)

    def differentiate(
        block: Block, given: tuple[Any, Any, Array], target: tuple[Array, int]
    ) -> None:
        of_x, _, of_eps = given
        answer = batch.pivot[block.start : block.stop], block.eta
        greedy_results.jvp_rows(*block.rows, (of_x, of_eps), *answer, target)

    _push(batch, tangents, out, differentiate)


def maximize_jvp(problem: Problem, tangents: Tangents, out: Rows) -> None:
    """Store the tangents of the best ascent, given those of x, g and eps."""
    if problem.p == 1:
        _maximize_on_sum_jvp(problem, tangents, out)
        return
    if problem.p == 2:
        jvp(problem, tangents, out)
        return
    ascent = Ascent(problem.delta, problem.p)
    batch = Batch(problem.along(ascent))

    def differentiate(
        block: Block, given: tuple[Any, Any, Array], target: tuple[Array, int]
    ) -> None:
        of_x, of_g, of_eps = given
        of_delta = np.empty((block.stop - block.start) * problem.n), problem.n
        ascent.chain(block.start, block.stop, block.rows[1], of_g, of_delta)
        how = batch.norm, block.eps, block.eta
        jvp_rows(*block.rows, (of_x, of_delta, of_eps), *how, target, np.empty(block.eta.size))

    _push(batch, tangents, out, differentiate)
