"""Rows on which Newton's method gives up and sorts what is left."""

import numpy as np
import pytest

import numba_car as car
from numba_car._core.verdicts import SLOW
from numba_car._cpu.pipeline import Batch
from numba_car._problem import Options, problem
from tests.support import oracle
from tests.support.strategies import slow_row


@pytest.mark.parametrize("copies", [1, 4, 20])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_slow_rows_are_exact(p, copies):
    row = slow_row(p, copies)
    task = problem(row.x[None], row.delta[None], row.eps, p, row.bounds, None)
    batch = Batch(task, Options(method="newton"))
    verdict = np.zeros(1, np.int64)
    batch._newton(batch.rows(0, 1), np.array([row.eps]), np.zeros(1), verdict)
    assert verdict[0] == SLOW
    for method in ("newton", "sort"):
        eta = float(car.eta(row.x, row.delta, row.eps, p=p, bounds=row.bounds, method=method))
        assert oracle.norm_error_in_ulps(eta, row, row.dtype) <= 4
