"""The campaigns of projections, best ascents and side="inside" know right from wrong."""

import math

import numpy as np
import pytest

import numba_car as car
from tests.support import campaign_inside, campaign_steps


def calls(count):
    drawn = (campaign_steps.drawn(7, number) for number in range(400))
    found = (call for call in drawn if call.batch.dtype == float and call.batch.p in (1.0, 2.0))
    return [call for call, _ in zip(found, range(count), strict=False)]


def test_a_few_calls():
    for call in calls(4):
        call.check()


@pytest.mark.parametrize("name", ["project", "maximize"])
def test_wrong_results_are_not_passed(name, monkeypatch):
    """Half the way is not accepted, but where z is so far away that eps is below rounding."""
    drawn = [call for call in calls(30) if call.name == name and call.side == "nearest"]
    right, noticed = getattr(car, name), 0
    monkeypatch.setattr(
        car, name, lambda x, *given, **options: x + (right(x, *given, **options) - x) / 2
    )
    for call in drawn:
        try:
            call.check()
        except AssertionError:
            noticed += 1
    assert noticed > len(drawn) / 2


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
