"""Projection and best ascent in the box, on problems: the rows of z or of g take the place of delta's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS
from numba_car._cpu import greedy_results, l1_projection
from numba_car._cpu.directions import Ascent, Difference
from numba_car._cpu.on_sums import PivotBatch, ThresholdBatch
from numba_car._cpu.pipeline import Batch, Block
from numba_car._cpu.project import clip_to_ball_rows, project_rows
from numba_car._cpu.solve import write_blocks
from numba_car._layout import Array, Rows
from numba_car._problem import Problem


def project(problem: Problem, out: Rows, *, at_once: bool) -> Array:
    """Store the points nearest to z, whose rows are the problem's delta.

    Return min(1, eta) for p = 2, for p = 1 the threshold of |z - x|, for p = inf 0.
    """
    if problem.p == 1:
        return _project_on_sum(problem, out, at_once)
    if problem.p == math.inf:
        return _clip_to_ball(problem, out, at_once)
    z = problem.delta
    batch = Batch(problem.along(Difference(z, problem.x)))

    def write(block: Block, out: Rows) -> None:
        eta, verdict = block.eta, block.verdict
        verdict[(verdict == NEEDS_MORE_DIGITS) & (eta >= 1)] = DONE

        def fill(target: tuple[Array, int]) -> None:
            of_z = z.block(block.start, block.stop)
            project_rows(*block.rows, of_z, verdict, eta, problem.largest, target)
            batch.rescale_pairs(block, target)

        batch.store(block, out, fill)

    return np.minimum(write_blocks(batch, out, write, at_once=at_once), 1.0)


def _clip_to_ball(problem: Problem, out: Rows, at_once: bool) -> Array:
    """Store the points of the box that are nearest to z, and no element of which is farther than eps from x."""
    eps, batch = problem.take_eps(), Batch(problem)

    def write(block: Block, out: Rows) -> None:
        block = block._replace(eps=np.ascontiguousarray(eps[block.start : block.stop]))

        def fill(target: tuple[Array, int]) -> None:
            clip_to_ball_rows(*block.rows, block.eps, block.eta, problem.largest, target)

        batch.store(block, out, fill)

    return write_blocks(batch, out, write, at_once=at_once)


def _project_on_sum(problem: Problem, out: Rows, at_once: bool) -> Array:
    batch = ThresholdBatch(problem)

    def write(block: Block, out: Rows) -> None:
        def fill(target: tuple[Array, int]) -> None:
            answer = block.verdict, block.eta, batch.low[block.start : block.stop]
            l1_projection.project_rows(*block.rows, block.eps, *answer, target)

        batch.store(block, out, fill)

    return write_blocks(batch, out, write, at_once=at_once)


def _maximize_on_sum(problem: Problem, out: Rows, at_once: bool) -> Array:
    batch = PivotBatch(problem)

    def write(block: Block, out: Rows) -> None:
        def fill(target: tuple[Array, int]) -> None:
            answer = batch.pivot[block.start : block.stop], block.eta
            greedy_results.write_rows(*block.rows, *answer, problem.largest, target)

        batch.store(block, out, fill)

    return write_blocks(batch, out, write, at_once=at_once)


def maximize(problem: Problem, out: Rows, *, at_once: bool) -> Array:
    """Store the points with the largest <g, y>, g being the rows of the problem's delta.

    Return eta along g for p = 2, along `Ascent` for other p > 1, and for p = 1 what the last element takes of eps.
    """
    if problem.p == 1:
        return _maximize_on_sum(problem, out, at_once)
    if problem.p == 2:
        batch = Batch(problem)
        return write_blocks(batch, out, batch.rescale, at_once=at_once)
    ascent = Ascent(problem.delta, problem.p)
    batch = Batch(problem.along(ascent))

    def write(block: Block, out: Rows) -> None:
        rests = _rests(problem, batch, block, ascent)

        def fill(target: tuple[Array, int]) -> None:
            batch.fill(block, target)
            flat, stride = target
            for row, (chosen, rest) in rests.items():
                flat[row * stride : row * stride + problem.n][chosen] = rest[chosen]

        batch.store(block, out, fill)

    return write_blocks(batch, out, write, at_once=at_once)


def _rests(
    problem: Problem, batch: Batch, block: Block, ascent: Ascent
) -> dict[int, tuple[Array, Array]]:
    """Return what elements whose powers are too small for the dtype take where the others do not reach eps.

    For the rows in which there are some: which elements, and where all would arrive.
    """
    lost = ascent.lost[block.start : block.stop]
    if not lost.any():
        return {}
    max_norm = batch.max_norms(block)
    rows = np.flatnonzero(lost & batch.is_unreachable(block, max_norm)).tolist()
    return {row: _rest(problem, ascent, block.start + row, max_norm[row]) for row in rows}


def _rest(problem: Problem, ascent: Ascent, row: int, reached: float) -> tuple[Array, Array]:
    x, g, lower, upper, n = problem.rows(row, row + 1)
    is_rest = ascent.block(row, row + 1)[0] == 0
    share = (reached / problem.eps[row]) ** problem.p if reached > 0 else 0.0
    left = problem.eps[row] * (1.0 - share) ** (1.0 / problem.p)

    def rows(values: Array) -> Rows:
        return Rows.of_plain(np.ascontiguousarray(values[:n]).reshape(1, n), 1, n)

    rest = replace(
        problem.along(rows(np.where(is_rest, g[0][:n], 0))),
        x=rows(x[0]),
        lower=rows(lower[0]) if isinstance(lower, tuple) else lower,
        upper=rows(upper[0]) if isinstance(upper, tuple) else upper,
        eps=np.array([left]),
        options=problem.options._replace(infeasible="saturate", side="nearest"),
    )
    out = np.empty((1, n), problem.x.dtype)
    maximize(rest, Rows.of_plain(out, 1, n), at_once=True)
    return is_rest, out[0]
