"""Derivatives of projections and best ascents on CUDA: by differences of exact results, and at kinks.

See test_cuda_simulator.py and `cuda_cases`.
"""

import numpy as np
import pytest

import numba_car as car
from tests.cuda_cases import as_brain, cuda, from_brain, to_host
from tests.support.differences import derivative
from tests.support.steps import CALLS, batch, calls, second
from tests.test_step_gradients import LEVELS, problem


def vjp_on_device(name, x, other, eps, g, **options):
    """The gradients of the function of that name, as NumPy arrays."""
    bounds = options.pop("bounds", (0.0, 1.0))
    bounds = tuple(cuda.to_device(b) if isinstance(b, np.ndarray) else b for b in bounds)
    given = (cuda.to_device(a) if isinstance(a, np.ndarray) else a for a in (x, other, eps, g))
    found = getattr(car, f"{name}_vjp")(*given, bounds=bounds, **options)
    return type(found)(*(None if part is None else to_host(part) for part in found))


def jvp_on_device(name, x, other, eps, *tangents, **options):
    """The tangents of the function of that name, as a NumPy array."""
    given = (
        cuda.to_device(a) if isinstance(a, np.ndarray) else a for a in (x, other, eps, *tangents)
    )
    return to_host(getattr(car, f"{name}_jvp")(*given, **options))


@calls
def test_gradients_of_steps_against_differences(name, p):
    rows = [problem(name, p, level, n=5) for level in LEVELS]
    x, other, lower, upper = (
        np.stack([getattr(row, field) for row in rows])
        for field in ("x", "other", "lower", "upper")
    )
    eps, g = np.array([row.eps for row in rows]), np.random.default_rng(2).standard_normal(x.shape)
    found = vjp_on_device(name, x, other, eps, g, p=p, bounds=(lower, upper))
    for r, row in enumerate(rows):
        value = lambda changed, r=r: g[r] @ changed.best
        for place, field in enumerate(("x", "other", None, "lower", "upper")):
            if field:
                expected = [derivative(value, row, field, i) for i in range(5)]
                np.testing.assert_allclose(
                    found[place][r], expected, rtol=1e-6, atol=1e-6, err_msg=field
                )
        expected = derivative(value, row, "eps")
        assert found.eps[r] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@calls
@pytest.mark.parametrize("n", [20, 70])
def test_tangents_of_steps_are_the_adjoint(name, p, n):
    """For rows with ties, zeros and elements at their bounds, eps of 0, and eps out of reach."""
    rng = np.random.default_rng(0)
    eps = np.array([0.0, 0.3, 3.0, 1e9] if n < 32 else [1.0])
    x, direction = batch((eps.size, n), seed=7)
    given = x, second(name, x, direction), eps
    g, *tangents = rng.standard_normal((3, *x.shape))
    of_eps = rng.standard_normal(eps.size)
    pulled = vjp_on_device(name, *given, g, p=p)
    pushed = jvp_on_device(name, *given, *tangents, of_eps, p=p)
    by_row = pulled.x * tangents[0] + pulled[1] * tangents[1]
    total = by_row.sum(axis=1) + pulled.eps * of_eps
    np.testing.assert_allclose((g * pushed).sum(axis=1), total, rtol=1e-10, atol=1e-10)
    assert pulled._fields == ("x", "z" if name == "project" else "g", "eps", "lower", "upper")


@calls
def test_kinks_of_steps_have_the_cpus_derivatives(name, p):
    """Ties, zeros, elements at their bounds, no room, no eps, and eps met exactly."""
    x = np.array([[0, 1, 0.5, 0.5, 0.5, 0.25, 1, 0]] * 5)
    direction = np.array([[-1, 1, 0.5, -0.5, 0.5, 0, -1, 1]] * 5)
    direction[4] = 0
    given = x, second(name, x, direction), np.array([0.0, 0.5, 1.5, 3.5, 1.0])
    g = np.random.default_rng(4).standard_normal(x.shape)
    expected = getattr(car, f"{name}_vjp")(*given, g, p=p)
    found = vjp_on_device(name, *given, g, p=p)
    for field, ours, theirs in zip(found._fields, found, expected, strict=True):
        np.testing.assert_allclose(
            ours.reshape(np.shape(theirs)), theirs, rtol=1e-12, atol=1e-14, err_msg=field
        )
    expected = getattr(car, f"{name}_jvp")(*given, g, x, 0.7, p=p)
    found = jvp_on_device(name, *given, g, x, 0.7, p=p)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "p", "dtype"),
    [
        *((*call, dtype) for call in CALLS for dtype in ("float16", "float32")),
        ("project", 2, "bfloat16"),
        ("maximize", 1, "bfloat16"),
    ],
)
def test_dtypes_of_step_derivatives(name, p, dtype):
    x, direction = batch((3, 9), seed=2)
    other, eps = second(name, x, direction), np.array([0.3, 0.7, 30.0])
    g = np.round(16 * np.random.default_rng(4).standard_normal(x.shape)) / 16
    expected = getattr(car, f"{name}_vjp")(x, other, eps, g, p=p)
    if dtype == "bfloat16":
        given, back = [as_brain(a) for a in (x, other)], from_brain
    else:
        given, back = [cuda.to_device(a.astype(dtype)) for a in (x, other)], to_host
    upstream, close = cuda.to_device(g), {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-6}[dtype]
    found = getattr(car, f"{name}_vjp")(*given, cuda.to_device(eps), upstream, p=p)
    for place in range(3):
        ours, size = back(found[place]), abs(expected[place]).max()
        np.testing.assert_allclose(ours, expected[place], rtol=close, atol=close * size + 1e-12)
    pushed = getattr(car, f"{name}_jvp")(*given, cuda.to_device(eps), upstream, upstream, p=p)
    theirs = getattr(car, f"{name}_jvp")(x, other, eps, g, g, p=p)
    np.testing.assert_allclose(back(pushed), theirs, rtol=close, atol=close * abs(theirs).max())


@calls
def test_bad_rows_of_step_derivatives(name, p):
    x, direction = batch((3, 6))
    direction[1, 3] = np.nan
    other = second(name, x, direction)
    pulled = vjp_on_device(name, x, other, np.full(3, 0.7), np.ones_like(x), p=p)
    pushed = jvp_on_device(name, x, other, 0.7, x, x, 1.0, p=p)
    for part in (pulled.x, pulled[1], pulled.eps, pushed):
        assert np.isnan(part[1]).all()
        assert np.isfinite(np.delete(part, 1, 0)).all()
    for shape in ((0, 4), (3, 0)):
        none = np.zeros(shape)
        pulled = vjp_on_device(name, none, none, 0.5, none, p=p)
        assert pulled.x.shape == pulled[1].shape == shape
        assert pulled.eps == 0
        assert jvp_on_device(name, none, none, 0.5, none, none, 1.0, p=p).shape == shape
    with pytest.raises(ValueError, match="x must lie within its bounds"):
        vjp_on_device(name, x + 1, other, 0.7, x, p=p)


@calls
def test_layouts_of_step_derivatives(name, p):
    x, direction = batch((3, 8))
    other, g = second(name, x, direction), np.random.default_rng(1).standard_normal((3, 8))
    expected = vjp_on_device(name, x, other, np.full(3, 0.7), g, p=p)
    columns = (np.ascontiguousarray(a.T) for a in (x, other, g))
    x_there, other_there, g_there = columns
    turned = vjp_on_device(name, x_there, other_there, np.full(3, 0.7), g_there, p=p, axis=0)
    for one, two in zip(expected[:2], turned[:2], strict=True):
        np.testing.assert_array_equal(one, two.T)
    np.testing.assert_array_equal(expected.eps, turned.eps)
    shared = vjp_on_device(name, x, other[0], 0.7, g, p=p)
    whole = np.broadcast_to(other[:1], x.shape).copy()
    apart = vjp_on_device(name, x, whole, np.full(3, 0.7), g, p=p)
    np.testing.assert_allclose(shared[1], apart[1].sum(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(shared.eps, apart.eps.sum(), rtol=1e-12)
    np.testing.assert_array_equal(shared.x, apart.x)
