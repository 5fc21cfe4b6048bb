"""Projections and best ascents of hard rows without end, judged: ``python -m tests.support.campaign_steps --seconds 600``.

The rows are those of `campaign`. All of a batch must lie inside the bounds and be within eps where side="inside" says so;
some rows of each batch are judged against the exact solution, and alone must have the same bits.
"""

import argparse
import itertools
import math
import sys
import time
import warnings

import numpy as np

import numba_car as car
from tests.support import campaign_rows
from tests.support.checks_steps import check_kind, check_maximize, check_project, is_within
from tests.support.steps import CALLS, second

ORDERS = (1.2, 1.5, 2.5, 4.0)  # of maximize, besides those of CALLS
EXACTLY, LONGEST = 12, 100  # rows of a batch, and elements of a row, that are judged exactly
CHECKS = {"project": check_project, "maximize": check_maximize}


class Call:
    """One call of a function with a batch."""

    def __init__(self, rng):
        self.name, p = CALLS[rng.integers(len(CALLS))]
        if self.name == "maximize" and rng.random() < 0.3:
            p = float(rng.choice(ORDERS))
        self.side = str(rng.choice(["nearest", "inside"]))
        self.batch = campaign_rows.draw(rng, float(p))
        x, delta = self.batch.x, self.batch.delta
        self.second = campaign_rows.rounded(
            second(self.name, x.astype(float), delta.astype(float)), x.dtype
        )
        rows = rng.choice(len(x), min(len(x), EXACTLY), replace=False)
        self.rows = rows if x.shape[1] <= LONGEST else rows[:0]

    def __str__(self):
        batch = self.batch
        shape = f"{batch.x.shape} {batch.dtype} {batch.family}"
        return (
            f"{self.name} {shape}, p = {batch.p}, side = {self.side}, bounds of {type(batch.lower)}"
        )

    def bounds(self, rows):
        """The bounds of these rows, as arrays that broadcast to their x."""
        shape, ends = self.batch.x.shape, (self.batch.lower, self.batch.upper)
        numbers = (
            end if end is not None else sign * math.inf
            for end, sign in zip(ends, (-1, 1), strict=True)
        )
        return tuple(np.broadcast_to(end, shape)[rows] for end in numbers)

    def result(self, rows=slice(None)):
        """What the function returns for these rows; for all of them with the bounds as they were drawn."""
        batch = self.batch
        bounds = (batch.lower, batch.upper) if rows == slice(None) else self.bounds(rows)
        given = batch.x[rows], self.second[rows], batch.eps[rows]
        return getattr(car, self.name)(*given, p=batch.p, bounds=bounds, side=self.side)

    def check(self):
        """Raise AssertionError unless all is right."""
        y, batch = self.result(), self.batch
        check_kind(batch.x, y, *self.bounds(slice(None)))
        for row in self.rows:
            given = batch.x[row], self.second[row], float(batch.eps[row]), batch.p, y[row]
            if self.side == "nearest":
                CHECKS[self.name](*given, *self.bounds(row))
            else:
                assert is_within(batch.x[row], y[row], batch.eps[row], batch.p), row
        row = self.rows[:1]
        if len(row):
            assert self.result(row).tobytes() == y[row].tobytes(), f"row {row} alone differs"


def drawn(seed, number):
    """Return one call of a campaign."""
    with np.errstate(all="ignore"):
        return Call(np.random.default_rng([seed, number]))


def run(seconds, seed):
    """Judge calls for so long; return how many rows there were, how many judged exactly, and how many calls failed."""
    started, rows, exactly, failed = time.monotonic(), 0, 0, 0
    for number in itertools.count():
        if time.monotonic() - started >= seconds:
            break
        call = drawn(seed, number)
        rows, exactly = rows + len(call.batch.x), exactly + len(call.rows)
        try:
            call.check()
        except Exception as error:  # noqa: BLE001 - nothing at all may be raised
            failed += 1
            sys.stdout.write(f"drawn({seed}, {number}), {call}: {error!r}\n")
            sys.stdout.flush()
    return rows, exactly, failed


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    warnings.simplefilter("error")
    rows, exactly, failed = run(options.seconds, options.seed)
    sys.stdout.write(f"{rows:,} rows, {exactly:,} judged exactly, {failed} calls failed\n")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
