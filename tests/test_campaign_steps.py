"""The campaigns of projections, best ascents and side="inside" know right from wrong."""

import math

import numpy as np
import pytest

import numba_car as car
from tests.support import campaign_inside, campaign_steps
from tests.support.steps import second
from tests.test_campaign import plain_batch


def calls(count):
    drawn = (campaign_steps.drawn(7, number) for number in range(400))
    found = (call for call in drawn if call.batch.dtype == float and call.batch.p in (1.0, 2.0))
    return [call for call, _ in zip(found, range(count), strict=False)]


def test_a_few_calls():
    for call in calls(4):
        call.check()


@pytest.mark.parametrize("name", ["project", "maximize"])
def test_wrong_results_are_not_passed(name, monkeypatch):
    call = next(call for call in calls(60) if (call.name, call.side) == (name, "nearest"))
    batch = call.batch = plain_batch(np.float64, 2.0)
    call.second, call.rows = second(name, batch.x, batch.delta), np.arange(10)
    call.check()
    right = getattr(car, name)
    wrong = lambda x, *given, **options: x + (right(x, *given, **options) - x) * (1 - 1e-12)
    monkeypatch.setattr(car, name, wrong)
    with pytest.raises(AssertionError):
        call.check()


@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rows_beyond_eps_are_counted(dtype, p):
    x, delta, _ = campaign_inside.draw(np.random.default_rng(0), 60, 5, dtype)
    v = car.rescale(x, delta, 0.1, p=p)
    moved = np.abs(v.astype(np.longdouble) - x)
    reached = (
        moved.max(axis=1) if p == math.inf else (moved**p).sum(axis=1) ** (1 / np.longdouble(p))
    )
    eps = reached.astype(float)  # an ulp around what is reached, or none
    eps = eps + np.spacing(eps) * np.random.default_rng(1).integers(-1, 2, len(eps))
    expected = sum(campaign_inside.is_beyond(*row, p) for row in zip(x, v, eps, strict=True))
    assert 0 < expected < len(x)
    assert campaign_inside.count_beyond(x, v, eps, p)[0] == expected
