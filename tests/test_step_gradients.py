"""The derivatives of `project` and `maximize`: against central differences of exact results, and at kinks."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

import numba_car as car
from tests.support import oracle, oracle_steps
from tests.support.differences import derivative
from tests.support.steps import batch, calls, second

LEVELS = (0.05, 0.5, 0.9, 1.7)  # of the largest distance; the last is out of reach


@dataclass(eq=False)
class Row:
    """One row of a call; `other` is z or g."""

    name: str
    p: float
    x: np.ndarray
    other: np.ndarray
    eps: float
    lower: np.ndarray
    upper: np.ndarray

    @property
    def best(self):
        """The exact result, as float64."""
        given = self.x, self.other, self.eps, self.p, self.lower, self.upper
        return np.array([float(value) for value in getattr(oracle_steps, self.name)(*given)])

    @property
    def arguments(self):
        return (self.x, self.other, self.eps), {"p": self.p, "bounds": (self.lower, self.upper)}


def problem(name, p, level, n=8):
    """A row without kinks near by."""
    rng = np.random.default_rng(5)
    x, direction = 0.1 + 0.8 * rng.random(n), rng.choice([-1, 1], n) * (0.1 + rng.random(n))
    lower, upper = -0.1 * rng.random(n), 1 + 0.1 * rng.random(n)
    row = Row(name, p, x, second(name, x, direction), 1e9, lower, upper)
    steps = [oracle.exact(b) - oracle.exact(a) for a, b in zip(x, row.best, strict=True)]
    wide = oracle.Row(x, np.array(steps, object), 0.0, p, -math.inf, math.inf)
    return replace(row, eps=level * float(oracle.norm_at(1, wide)))


@calls
@pytest.mark.parametrize("level", LEVELS)
def test_vjp(name, p, level):
    row = problem(name, p, level)
    g = np.random.default_rng(2).standard_normal(row.x.size)
    given, options = row.arguments
    found = getattr(car, f"{name}_vjp")(*given, g, **options)
    for field in ("x", "other", "lower", "upper"):
        expected = [derivative(lambda row: g @ row.best, row, field, i) for i in range(g.size)]
        part = found[1] if field == "other" else getattr(found, field)
        np.testing.assert_allclose(part, expected, rtol=1e-6, atol=1e-6, err_msg=field)
    expected = derivative(lambda row: g @ row.best, row, "eps")
    assert found.eps == pytest.approx(expected, rel=1e-6, abs=1e-6)


@calls
def test_jvp_is_the_adjoint_of_vjp(name, p):
    rng = np.random.default_rng(0)
    x, direction = batch((6, 30), seed=7)
    x, direction = (v + 1e-3 * rng.random(v.shape) for v in (0.9 * x, direction))
    direction[:, ::7] = 0
    eps = np.array([0.0, 0.01, 0.3, 1.0, 3.0, 1e9])
    given = x, second(name, x, direction), eps
    g, *tangents = rng.standard_normal((3, *x.shape))
    of_eps = rng.standard_normal(6)
    pulled = getattr(car, f"{name}_vjp")(*given, g, p=p)
    pushed = getattr(car, f"{name}_jvp")(*given, *tangents, of_eps, p=p)
    by_row = pulled.x * tangents[0] + pulled[1] * tangents[1]
    total = by_row.sum(axis=1) + pulled.eps * of_eps
    np.testing.assert_allclose((g * pushed).sum(axis=1), total, rtol=1e-10, atol=1e-10)
    only = getattr(car, f"{name}_jvp")(*given, tangent_eps=of_eps, p=p)
    np.testing.assert_allclose((g * only).sum(axis=1), pulled.eps * of_eps, rtol=1e-10, atol=1e-12)


@calls
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_kinks_are_finite(name, p, dtype):
    """Ties, zeros, elements at their bounds, no room, no eps, and eps met exactly."""
    x = np.array([[0, 1, 0.5, 0.5, 0.5, 0.25, 1, 0]] * 5, dtype)
    direction = np.array([[-1, 1, 0.5, -0.5, 0.5, 0, -1, 1]] * 5, dtype)
    direction[4] = 0
    other, eps = second(name, x, direction), [0.0, 0.5, 1.5, 3.5, 1.0]
    pulled = getattr(car, f"{name}_vjp")(x, other, eps, np.ones_like(x), p=p)
    pushed = getattr(car, f"{name}_jvp")(x, other, eps, x, other, 1.0, p=p)
    for part in (*pulled, pushed):
        assert np.isfinite(part).all()
        assert np.asarray(part).dtype == dtype
    assert pulled._fields == ("x", "z" if name == "project" else "g", "eps", "lower", "upper")


@calls
def test_bad_rows_and_empty_ones(name, p):
    x, direction = batch()
    direction[2, 3] = np.nan
    other = second(name, x, direction)
    pulled = getattr(car, f"{name}_vjp")(x, other, np.full(5, 0.7), np.ones_like(x), p=p)
    pushed = getattr(car, f"{name}_jvp")(x, other, 0.7, x, x, 1.0, p=p)
    for part in (pulled.x, pulled[1], pulled.eps, pushed):
        assert np.isnan(part[2]).all()
        assert np.isfinite(np.delete(part, 2, 0)).all()
    for shape in ((0, 4), (3, 0)):
        none = np.zeros(shape)
        pulled = getattr(car, f"{name}_vjp")(none, none, 0.5, none, p=p)
        assert pulled.x.shape == pulled[1].shape == shape
        assert pulled.eps == 0
        assert getattr(car, f"{name}_jvp")(none, none, 0.5, none, none, 1.0, p=p).shape == shape


@calls
def test_layouts_and_broadcasting(name, p):
    x, direction = batch((4, 30))
    other, g = second(name, x, direction), np.random.default_rng(1).standard_normal((4, 30))
    expected = getattr(car, f"{name}_vjp")(x, other, np.full(4, 0.7), g, p=p)
    turned = getattr(car, f"{name}_vjp")(x.T, other.T, np.full(4, 0.7), g.T, p=p, axis=0)
    for one, two in zip(expected[:2], turned[:2], strict=True):
        np.testing.assert_array_equal(one, two.T)
    np.testing.assert_array_equal(expected.eps, turned.eps)
    shared = getattr(car, f"{name}_vjp")(x, other[0], 0.7, g, p=p)
    whole = np.broadcast_to(other[:1], x.shape).copy()
    apart = getattr(car, f"{name}_vjp")(x, whole, np.full(4, 0.7), g, p=p)
    np.testing.assert_allclose(shared[1], apart[1].sum(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(shared.eps, apart.eps.sum(), rtol=1e-12)
    np.testing.assert_array_equal(shared.x, apart.x)
