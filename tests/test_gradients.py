"""The closed-form derivatives, against exact central differences and a second derivation."""

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest

import numba_car as car
from tests.support import oracle
from tests.support.differences import H, check_against_differences
from tests.support.oracle import Row
from tests.support.strategies import POWERS

LEVELS = (0.05, 0.5, 0.9, 1.7)  # of the largest norm; the last is out of reach


def problem(p, level, seed=0, n=9):
    rng = np.random.default_rng(seed)
    x, delta = rng.random(n), rng.standard_normal(n)
    delta[n // 2] = 0
    lower, upper = -0.1 * rng.random(n), 1 + rng.random(n)
    row = Row(x, delta, 1.0, p, lower, upper)
    return replace(row, eps=level * float(oracle.max_norm(row)))


def moved(row, eta):
    return np.clip(row.x + eta * row.delta, row.lower, row.upper)


def arguments(row):
    return (row.x, row.delta, row.eps), {"p": row.p, "bounds": (row.lower, row.upper)}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("p", POWERS)
def test_eta_vjp(p, level):
    row = problem(p, level)
    given, options = arguments(row)
    gradients = car.eta_vjp(*given, 0.7, **options)
    check_against_differences(gradients, lambda row: 0.7 * float(oracle.eta(row)), row)
    assert gradients.delta[row.delta == 0] == 0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("p", POWERS)
def test_rescale_vjp(p, level):
    row = problem(p, level, seed=1)
    g = np.random.default_rng(2).standard_normal(row.x.size)
    given, options = arguments(row)
    gradients = car.rescale_vjp(*given, g, **options)
    check_against_differences(gradients, lambda row: g @ moved(row, float(oracle.eta(row))), row)
    still = row.delta == 0
    np.testing.assert_allclose(gradients.delta[still], car.eta(*given, **options) * g[still])


def implicit(row):
    """d eta by delta, x and eps from F = sum min(eta |delta|, room)^p - eps^p = 0, in mpmath."""
    with mpmath.workprec(300):
        eta, p = oracle.eta(row), mpmath.mpf(row.p)
        by_eta, by_delta, by_x = mpmath.mpf(0), [], []
        for x, delta, low, high in zip(row.x, row.delta, row.lower, row.upper, strict=True):
            speed, sign = abs(mpmath.mpf(float(delta))), mpmath.sign(float(delta))
            room = (
                mpmath.mpf(float(high)) - float(x)
                if sign > 0
                else mpmath.mpf(float(x)) - float(low)
            )
            if sign != 0 and eta * speed < room:
                by_eta += p * speed * (eta * speed) ** (p - 1)
                by_delta.append(p * eta * sign * (eta * speed) ** (p - 1))
                by_x.append(mpmath.mpf(0))
            else:
                by_delta.append(mpmath.mpf(0))
                by_x.append(-sign * p * room ** (p - 1) if sign != 0 else mpmath.mpf(0))
        by_eps = -p * mpmath.mpf(row.eps) ** (p - 1)
        return [[-v / by_eta for v in values] for values in (by_x, by_delta, [by_eps])]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("p", [p for p in POWERS if p < math.inf])
def test_a_second_derivation(p, seed):
    row = problem(p, 0.6, seed, n=40)
    given, options = arguments(row)
    gradients = car.eta_vjp(*given, 1.0, **options)
    found = gradients.x, gradients.delta, [gradients.eps]
    for values, expected in zip(found, implicit(row), strict=True):
        for value, exact in zip(values, expected, strict=True):
            assert oracle.error_in_ulps(float(value), exact, np.dtype(float)) <= 16


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("p", POWERS)
def test_forward_and_backward_are_adjoint(p, level):
    rng = np.random.default_rng(3)
    row = problem(p, level, n=200)
    given, options = arguments(row)
    tangents = rng.standard_normal(200), rng.standard_normal(200), 0.3
    g = rng.standard_normal(200)
    for backward, forward, upstream in (
        (car.eta_vjp, car.eta_jvp, 0.7),
        (car.rescale_vjp, car.rescale_jvp, g),
    ):
        gradients = backward(*given, upstream, **options)
        parts = [np.sum(a * b) for a, b in zip(gradients[:3], tangents, strict=True)]
        pushed = np.sum(upstream * forward(*given, *tangents, **options))
        assert pushed == pytest.approx(sum(parts), rel=1e-12, abs=1e-12 * np.abs(parts).sum())


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("level", LEVELS)
def test_euler(p, level):
    """Eta is homogeneous of degree -1 in delta."""
    row = problem(p, level)
    given, options = arguments(row)
    pulled = car.eta_vjp(*given, 1.0, **options).delta @ row.delta
    assert pulled == pytest.approx(-car.eta(*given, **options), rel=1e-12)


SHAPE = (4, 3, 5, 6)
SHAPES = [(), (1,), (6,), (5, 1), (3, 1, 1), (4, 1, 1, 1), (4, 3, 1, 1), (1, 3, 5, 1), SHAPE]


@pytest.mark.parametrize("axis", [None, (2, 3), 1, (0, 3), ()])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["x", "delta", "lower", "upper"])
def test_gradients_of_broadcast_arguments(name, shape, axis):
    rng = np.random.default_rng(4)
    small = {
        "x": rng.random(SHAPE),
        "delta": rng.standard_normal(SHAPE),
        "lower": -rng.random(SHAPE),
        "upper": 1 + rng.random(SHAPE),
    }
    small[name] = small[name][tuple(slice(0, size) for size in (1,) * (4 - len(shape)) + shape)]
    small[name] = small[name].reshape(shape)
    full = {key: np.broadcast_to(value, SHAPE).copy() for key, value in small.items()}
    g = rng.standard_normal(SHAPE)

    def call(given):
        bounds = given["lower"], given["upper"]
        return car.rescale_vjp(given["x"], given["delta"], 0.4, g, bounds=bounds, axis=axis)

    found, expected = call(small), call(full)
    padded = (1,) * (4 - len(shape)) + shape
    over = tuple(i for i in range(4) if padded[i] != SHAPE[i])
    summed = getattr(expected, name).sum(axis=over, keepdims=True).reshape(shape)
    np.testing.assert_allclose(getattr(found, name), summed, rtol=1e-12, atol=1e-12)
    for other in small.keys() - {name}:
        np.testing.assert_allclose(getattr(found, other), getattr(expected, other), atol=1e-14)


@pytest.mark.parametrize("shape", [(), (3,), (4, 1), (4, 3), (4, 3, 1, 1)])
def test_gradients_of_eps(shape):
    rng = np.random.default_rng(5)
    x, delta, g = rng.random(SHAPE), rng.standard_normal(SHAPE), rng.standard_normal(SHAPE)
    eps = 0.3 + rng.random(shape)
    by_row = np.broadcast_to(eps.reshape(shape[:2]) if len(shape) == 4 else eps, (4, 3))
    full = car.rescale_vjp(x, delta, by_row, g, axis=(2, 3)).eps
    found = car.rescale_vjp(x, delta, eps, g, axis=(2, 3)).eps
    assert np.shape(found) == shape
    padded = (1,) * (2 - len(shape[:2])) + shape[:2]
    over = tuple(i for i in range(2) if padded[i] != (4, 3)[i])
    np.testing.assert_allclose(found, full.sum(axis=over, keepdims=True).reshape(shape))


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (None, 1.0), (0.0, None), (None, None)])
def test_gradients_of_numbers_as_bounds(bounds):
    rng = np.random.default_rng(6)
    x, delta, g = rng.random((5, 30)), rng.standard_normal((5, 30)), rng.standard_normal((5, 30))
    found = car.rescale_vjp(x, delta, 2.0, g, bounds=bounds)
    infinite = [np.full(x.shape, v) for v in (-np.inf, np.inf)]
    arrays = [fill if b is None else np.full(x.shape, b) for b, fill in zip(bounds, infinite)]  # noqa: B905
    full = car.rescale_vjp(x, delta, 2.0, g, bounds=tuple(arrays))
    for bound, value, expected in zip(bounds, found[3:], full[3:], strict=True):
        assert (value is None) == (bound is None)
        if bound is not None:
            assert value == pytest.approx(expected.sum(), rel=1e-12)
    for a, b in zip(found[:3], full[:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("p", [1, 2, 3, np.inf])
def test_narrow_dtypes(p, dtype):
    rng = np.random.default_rng(7)
    x, delta, g = (rng.random((4, 50)).astype(dtype) for _ in range(3))
    found = car.rescale_vjp(x, delta, 0.5, g, p=p)
    wide = car.rescale_vjp(*(v.astype(float) for v in (x, delta)), 0.5, g.astype(float), p=p)
    for value, expected in zip(found, wide, strict=True):
        assert np.asarray(value).dtype == dtype
        np.testing.assert_allclose(
            value,
            expected,
            rtol=2e-3 if dtype == np.float16 else 2e-6,
            atol=2e-3 if dtype == np.float16 else 2e-6,
        )


@pytest.mark.parametrize("level", [0.3, 0.95, 2.0])
@pytest.mark.parametrize("scales", [(1, 1, 1e-30), (1, 1, 1e30), (1, 1e-20, 1), (1e-25, 1e3, 1)])
@pytest.mark.parametrize("p", [1, 1.5, 2, np.inf])
def test_float32_of_any_size(p, scales, level):
    """Numbers whose products float32 does not hold, against float64 and an eta of float32."""
    rng = np.random.default_rng(11)
    of_x, of_delta, of_g = scales
    x, delta = rng.random((3, 700), np.float32), rng.standard_normal((3, 700), np.float32)
    g = rng.standard_normal((3, 700), np.float32) * np.float32(of_g)
    x, delta, bounds = x * np.float32(of_x), delta * np.float32(of_delta), (0.0, float(of_x))
    eps = level * float(car.max_norm(x, delta, p=p, bounds=bounds)[0])
    found = car.rescale_vjp(x, delta, eps, g, p=p, bounds=bounds)
    wide = car.rescale_vjp(*(v.astype(float) for v in (x, delta)), eps, g, p=p, bounds=bounds)
    for value, expected in zip(found[:2], wide[:2], strict=True):
        assert value.dtype == np.float32
        most = np.finfo(np.float32).max
        scale = np.minimum(np.abs(expected).max(axis=1, keepdims=True), most)
        scale[scale == 0] = 1
        shown = np.clip(expected, -most, most)
        np.testing.assert_allclose(value / scale, shown / scale, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("p", POWERS)
def test_kinks_are_finite_and_one_sided(p):
    """A breakpoint exactly at eta: the derivative by eps from one of the two sides."""
    x, delta = np.zeros(2), np.array([1.0, 0.5])
    eps = float(oracle.norm_at(oracle.exact(1.0), Row(x, delta, 1.0, p)))
    left, right = (
        (
            float(oracle.eta(Row(x, delta, eps + s * H, p)))
            - float(oracle.eta(Row(x, delta, eps, p)))
        )
        / (s * H)
        for s in (-1, 1)
    )
    found = car.eta_vjp(x, delta, eps, 1.0, p=p).eps
    assert min(left, right) * (1 - 1e-4) <= found <= max(left, right) * (1 + 1e-4)


@pytest.mark.parametrize("p", POWERS)
def test_many_rows_have_finite_gradients(p):
    rng = np.random.default_rng(10)
    x, delta = rng.integers(0, 5, (2000, 7)) / 4, rng.standard_cauchy((2000, 7))
    delta[::3] = np.sign(delta[::3])
    eps = rng.choice([0.1, 0.5, 1.0, 2.0], 2000)
    found = car.rescale_vjp(x, delta, eps, rng.standard_normal(x.shape), p=p)
    assert all(np.isfinite(value).all() for value in found)


@pytest.mark.parametrize("p", POWERS)
def test_corner_rows_have_finite_gradients(p):
    x = np.array([[0.5, 0.5], [0.0, 1.0], [0.5, 0.5], [0.5, 1.0], [0.5, 0.5]])
    delta = np.array([[1.0, 2.0], [-1.0, 1.0], [0.0, 0.0], [1.0, 1.0], [1e-300, 1e300]])
    eps = np.array([0.0, 0.3, 0.3, 0.1, 0.3])
    with np.errstate(all="raise"):
        eta = car.eta_vjp(x, delta, eps, np.ones(5), p=p)
        moved = car.rescale_vjp(x, delta, eps, np.ones((5, 2)), p=p)
    for gradients in (eta, moved):
        assert all(np.isfinite(value).all() for value in gradients)
    free = np.abs(delta[0]).max() if p == np.inf else np.sum(delta[0] ** p) ** (1 / p)
    assert eta.eps[0] == pytest.approx(1 / free)
    assert (eta.delta[:3] == 0).all()
    assert (eta.eps[1:3] == 0).all()


@pytest.mark.parametrize("eps", [1e-300, 1e-200, 1e-120, 1e120])
@pytest.mark.parametrize("p", POWERS)
def test_the_gradient_of_any_eps(p, eps):
    """Eta is eps / ||delta||, so that eps * d eta / d delta goes as eps, though eta**2 is out of range."""
    x, delta = np.zeros(3), np.array([1e-9, 2e-9, -3e-9])
    one = car.eta_vjp(x, delta, 1.0, 1.0, p=p, bounds=(None, None))
    found = car.eta_vjp(x, delta, eps, 1.0, p=p, bounds=(None, None))
    np.testing.assert_allclose(found.delta / eps, one.delta, rtol=1e-12)
    assert found.eps == pytest.approx(one.eps)


@pytest.mark.parametrize(("delta", "eps"), [(1e-10, 1e308), (1e200, 1e-200)])
@pytest.mark.parametrize("p", POWERS)
def test_gradients_are_finite_where_no_float_holds_eta(p, delta, eps):
    given = np.zeros(2), np.array([delta, -delta]), eps
    options = {"p": p, "bounds": (None, None)}
    for function, upstream in ((car.eta_vjp, 1.0), (car.rescale_vjp, np.array([1.0, 0.5]))):
        found = function(*given, upstream, **options)
        assert all(np.isfinite(value).all() for value in found[:3])


def test_sums_over_rows_that_the_dtype_does_not_hold_are_its_largest_number():
    x, delta = np.full((9, 1), 0.5, np.float32), np.full((9, 1), 2e-39, np.float32)
    found = car.eta_vjp(x, delta, 9.0, 1.0)
    assert found.upper == np.finfo(np.float32).max
    assert found.upper.dtype == np.float32
    assert found.eps == 0


def test_a_saturated_row_of_a_small_power_depends_on_its_last_element_alone():
    rng = np.random.default_rng(10)
    x, delta = 1e-25 * rng.random((100, 1)), -1e17 * (1 + rng.random((100, 1)))
    found = car.eta_vjp(x, delta, 1e14, 1.0, p=0.5, bounds=(0.0, 1e-25))
    np.testing.assert_array_equal(found.eps, 0)
    np.testing.assert_allclose(found.x, -1 / delta, rtol=1e-14)
    np.testing.assert_allclose(found.delta, -x / delta / delta * np.sign(delta), rtol=1e-14)


@pytest.mark.parametrize("function", [car.rescale_vjp, car.rescale_jvp])
def test_rows_without_an_eta_are_nan_alone(function):
    rng = np.random.default_rng(8)
    x, delta, g = rng.random((4, 6)), rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    clean = function(x, delta, 0.3, g)
    x[2, 1] = np.nan
    found = function(x, delta, 0.3, g)
    pairs = (
        [(found, clean)] if function is car.rescale_jvp else zip(found[:2], clean[:2], strict=True)
    )
    for value, expected in pairs:
        assert np.isnan(value[2]).all()
        np.testing.assert_array_equal(value[[0, 1, 3]], expected[[0, 1, 3]])
    options = {"infeasible": "nan"}
    eps = np.array([0.3, 100.0, 0.3, 0.3])
    assert np.isnan(car.eta_vjp(x, delta, eps, 1.0, **options).x[:, 0]).tolist() == [0, 1, 1, 0]


def test_no_bit_depends_on_the_threads():
    rng = np.random.default_rng(9)
    x, delta = rng.random((300, 1000)), rng.standard_normal((300, 1000))
    g, upper = rng.standard_normal(x.shape), 1 + rng.random(1000)
    runs = [
        car.rescale_vjp(x, delta, 3.0, g, bounds=(0.0, upper), num_threads=threads)
        for threads in (1, 2, 5)
    ]
    assert len({tuple(np.asarray(value).tobytes() for value in run) for run in runs}) == 1


def test_wrong_shapes_are_named():
    x = np.full((2, 3), 0.5)
    with pytest.raises(ValueError, match=r"grad_eta.*3"):
        car.eta_vjp(x, x, 0.1, np.ones(3))
    with pytest.raises(ValueError, match=r"grad_out.*4"):
        car.rescale_vjp(x, x, 0.1, np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"tangent_delta.*5"):
        car.eta_jvp(x, x, 0.1, tangent_delta=np.ones(5))
    with pytest.raises(TypeError, match=r"grad_out.*complex"):
        car.rescale_vjp(x, x, 0.1, x * 1j)


def test_a_row_by_itself_whose_x_is_broadcast():
    x, delta, g = np.array([0.4]), np.array([0.1, -0.2, 0.3]), np.array([1.0, 2.0, 3.0])
    found = car.rescale_vjp(x, delta, 0.2, g)
    full = car.rescale_vjp(np.full(3, 0.4), delta, 0.2, g)
    np.testing.assert_allclose(found.x, [full.x.sum()])


def test_the_gradient_of_a_tiny_delta_is_as_large_as_it_is():
    row = problem(2.0, 0.5)
    given, options = arguments(row)
    g = np.random.default_rng(2).standard_normal(row.x.size)
    plain = car.rescale_vjp(*given, g, **options)
    tiny = car.rescale_vjp(row.x, row.delta * 1e-150, row.eps, g, **options)
    np.testing.assert_allclose(tiny.delta * 1e-150, plain.delta, rtol=1e-12)
    np.testing.assert_allclose(tiny.x, plain.x, rtol=1e-12)
