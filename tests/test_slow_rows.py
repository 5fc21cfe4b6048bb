"""Rows on which Newton's method gives up and sorts what is left."""

import pytest

import numba_car as car
from numba_car._core.verdicts import PENDING
from numba_car._cpu import pipeline
from numba_car._options import Options
from numba_car._problem import problem
from tests.support import oracle
from tests.support.strategies import slow_row


@pytest.mark.parametrize("copies", [1, 4, 20])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_slow_rows_are_exact(p, copies):
    row = slow_row(p, copies)
    options = Options(p=p, bounds=row.bounds)
    batch = pipeline.Batch(problem(row.x[None], row.delta[None], row.eps, options))
    block = batch.solved(0, 1)
    block.verdict[:] = PENDING
    pipeline.STAGES["newton"].run(batch, block)
    assert block.verdict[0] == PENDING
    assert block.eta[0] > 0  # a lower bound, which sorting starts from
    for method in ("newton", "sort"):
        eta = float(car.eta(row.x, row.delta, row.eps, p=p, bounds=row.bounds, method=method))
        assert oracle.norm_error_in_ulps(eta, row, row.dtype) <= 4
