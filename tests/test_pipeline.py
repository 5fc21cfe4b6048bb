"""The stages of the solver: each takes the rows of its verdicts, and leaves them with those that it names."""

import numpy as np
import pytest

import numba_car as car
from numba_car._cpu import pipeline
from numba_car._options import Options
from numba_car._problem import problem


def hostile_rows(dtype, n):
    """Ordinary, saturated, subnormal, huge, slow and NaN rows, and rows outside by rounding."""
    rng = np.random.default_rng(0)
    x, delta = rng.random((9, n)), rng.standard_normal((9, n))
    x[0], delta[1] = 0.5, 1e-44 if dtype == np.float32 else 5e-324
    delta[2] *= 1e30 if dtype == np.float32 else 1e200
    delta[3, 7], x[4, 5] = np.nan, np.inf
    x[5, 3], delta[6] = 1 + np.finfo(dtype).eps, 0
    eps = np.full(9, 0.12 * n**0.5)
    eps[0] = 1e3
    return x.astype(dtype), delta.astype(dtype), eps


@pytest.mark.parametrize("n", [8, 31, 600])
@pytest.mark.parametrize("method", ["newton", "sort"])
@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.5, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stages_keep_their_word(method, p, dtype, n):
    x, delta, eps = hostile_rows(dtype, n)
    batch = pipeline.Batch(problem(x, delta, eps, Options(p=p, method=method)))
    ran = []

    def watched(name, stage):
        def run(batch, block):
            taken = np.isin(block.verdict, stage.takes)
            before = block.verdict.copy()
            found = stage.run(batch, block)
            after = (found if isinstance(found, pipeline.Block) else block).verdict
            assert set(after[taken]) <= set(stage.leaves), name
            np.testing.assert_array_equal(after[~taken], before[~taken])
            ran.append(name)
            return found

        return stage._replace(run=run)

    names = {id(stage): name for name, stage in pipeline.STAGES.items()}
    batch._stages = [watched(names[id(stage)], stage) for stage in batch._stages]
    block = batch.solve(0, len(x))
    assert ran == [name for name in pipeline.STAGES if name in ran]  # in order, each once
    assert not set(block.verdict) & {pipeline.PENDING, pipeline.SATURATED, pipeline.OUTSIDE}
    expected = car.eta(x, delta, eps, p=p, method=method).astype(np.float64)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(block.eta.astype(dtype), expected.astype(dtype))
