"""Projections, best ascent, results inside, norms and sweeps on CUDA, as `cuda_cases` has the functions that rescale."""

import itertools

import ml_dtypes
import mpmath
import numpy as np
import pytest

import numba_car as car
from tests.cuda_cases import as_brain, cuda, from_brain, small_chunks, to_host  # noqa: F401 - a fixture
from tests.support.strategies import family_arrays


def step_rows(dtype, n=24):
    """Centers, points beyond the bounds, gradients with ties and zeros, and eps that is reached, or not."""
    rng = np.random.default_rng(21)
    x = rng.random((3, n)).astype(dtype)
    z = (x + rng.standard_normal((3, n))).astype(dtype)
    g = (rng.integers(-3, 4, (3, n)) / 4).astype(dtype)
    return x, z, g, np.array([0.3, 1.2, 60.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_projections(dtype, p):
    x, z, _, eps = step_rows(dtype)
    expected, given = car.project(x, z, eps, p=p), [*map(cuda.to_device, (x, z, eps))]
    found = to_host(car.project(*given, p=p))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(found[2], np.clip(z[2], 0, 1))  # nothing is rounded there
    assert car.project(*given, p=p, out=given[1]) is given[1]
    np.testing.assert_array_equal(to_host(given[1]), found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [1, 1.05, 2, 3.3, np.inf])
def test_best_ascent(dtype, p):
    x, _, g, eps = step_rows(dtype)
    g[2, 5] = 1e-30  # whose power is too small for the dtype, and which moves all the same
    bounds = (x - 0.1 - g * g, 1.25)
    given = [*map(cuda.to_device, (x, g, eps, bounds[0]))]
    found = to_host(car.maximize(*given[:3], p=p, bounds=(given[3], 1.25)))
    expected = car.maximize(x, g, eps, p=p, bounds=bounds)
    close = float(np.finfo(dtype).eps)  # some y are small differences of x and a step
    np.testing.assert_allclose(found, expected, rtol=8 * close, atol=max(close, 1e-15))
    ends = np.where(g[2] > 0, 1.25, np.where(g[2] < 0, bounds[0][2], x[2]))
    # The last to arrive is x + eta*g, which a GPU rounds once.
    np.testing.assert_allclose(found[2], ends.astype(dtype), rtol=close)


@pytest.mark.parametrize(("scale", "eps"), [(1e300, 1e299), (1e308, 3e307), (1e-300, 1e-301)])
def test_projections_of_huge_and_tiny_rows(scale, eps):
    x, z = np.array([[0.5, 0.25, -0.5]]) * scale, np.array([[-0.9, 1.7, -0.5]]) * scale
    bounds, given = (-scale, scale), [*map(cuda.to_device, (x, z))]
    for p in (1, 2, np.inf):
        found = to_host(car.project(*given, eps, p=p, bounds=bounds))
        np.testing.assert_allclose(found, car.project(x, z, eps, p=p, bounds=bounds), rtol=1e-15)
    found = to_host(car.maximize(*given, eps, p=1, bounds=bounds))
    np.testing.assert_array_equal(found, car.maximize(x, z, eps, p=1, bounds=bounds))


def test_a_threshold_beside_which_float64_loses_eps():
    x, z = np.zeros((1, 3)), np.array([[1.0, 1.0 + 2.0**-50, 0.5]])
    for eps in (1e-20, 2.0**-51, 0.0):
        found = to_host(car.project(*map(cuda.to_device, (x, z)), eps, p=1, bounds=(None, None)))
        expected = car.project(x, z, eps, p=1, bounds=(None, None))
        np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_rows_built_to_be_slow_for_thresholds():
    """Each step of Newton's method frees one more coordinate: the bracket is halved in the end."""
    tops = 1.0 - 2.0 ** -np.arange(0, 40.0)
    x, z = np.zeros((1, 40)), tops[None]
    bounds, eps = (0.0, cuda.to_device(2.0 ** -np.arange(1, 41.0))), 1e-9
    found = to_host(car.project(*map(cuda.to_device, (x, z)), eps, p=1, bounds=bounds))
    assert found.sum() == pytest.approx(eps, rel=1e-15)


@pytest.mark.parametrize("n", [40, 70])
def test_steps_of_rows_with_nan_and_errors(n):
    x, z = np.full((3, n), 0.5), np.full((3, n), 0.75)
    x[1, 3], z[2, 7] = np.nan, np.inf
    for function, p in itertools.product((car.project, car.maximize), (1, 2, np.inf)):
        given = [*map(cuda.to_device, (x, z))]
        found = to_host(function(*given, 0.5, p=p, side="inside"))
        assert list(np.isnan(found).any(axis=1)) == list(np.isnan(found).all(axis=1))
        assert list(np.isnan(found[:, 0])) == [False, True, True]
        with pytest.raises(ValueError, match="x must lie within its bounds"):
            function(*given, 0.5, p=p, bounds=(0.6, 1.0))
        with pytest.raises(ValueError, match="eps must be finite and not negative"):
            function(*given, cuda.to_device(np.array([1.0, -1.0, 1.0])), p=p)


def exact_norm_is_at_most(x, v, eps, p):
    with mpmath.workprec(400):
        moves = [
            abs(mpmath.mpf(float(b)) - mpmath.mpf(float(a))) for a, b in zip(x, v, strict=True)
        ]
        if p == np.inf:
            return max(moves) <= eps
        return sum(move**p for move in moves) <= mpmath.mpf(eps) ** p


@pytest.mark.parametrize("p", [1, 2, 3.3, np.inf])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_results_inside(dtype, p):
    rng = np.random.default_rng(22)
    x, delta = rng.random((4, 37)), rng.standard_normal((4, 37))
    eps = np.array([0.01, 0.3, 0.71, 1.3])
    if dtype == "bfloat16":
        given, back = (as_brain(x), as_brain(delta)), from_brain
    else:
        given, back = tuple(cuda.to_device(a.astype(dtype)) for a in (x, delta)), to_host
    options = {"p": p, "side": "inside"}
    found = back(car.rescale(*given, cuda.to_device(eps), **options))
    for row, target, bound in zip(back(given[0]), found, eps, strict=True):
        assert exact_norm_is_at_most(row, target, bound, p)
    nearest = back(car.rescale(*given, cuda.to_device(eps), p=p))
    places = 16 if (dtype, p) == ("float64", 3.3) else 1  # a sum of powers has no more digits
    rounding = places * float(ml_dtypes.finfo(dtype).eps)
    # A step is one last place of v or of its distance from x.
    distances = abs(nearest.astype(float) - back(given[0]))
    allowed = rounding * np.maximum(abs(nearest), distances) + 1e-30
    assert (abs(found.astype(float) - nearest) <= allowed).all()
    result = car.rescale(*given, cuda.to_device(eps), **options, out=given[0])
    np.testing.assert_array_equal(back(result), found)


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_norms_at_scales_and_sweeps(p):
    x, z, _, _ = step_rows(np.float64)
    eta = np.array([[0.0, 0.3, np.inf], [0.1, np.nan, 2.0]])
    given = [*map(cuda.to_device, (x, z, eta))]
    np.testing.assert_allclose(to_host(car.norm(*given, p=p)), car.norm(x, z, eta, p=p), rtol=1e-14)
    eps = np.array([[[0.1]], [[0.5]]])
    found = to_host(car.rescale(*given[:2], cuda.to_device(eps), p=p))
    assert found.shape == (2, 3, 24)
    np.testing.assert_allclose(found, car.rescale(x, z, eps, p=p), rtol=1e-14)
    with pytest.raises(ValueError, match="eta must not be negative"):
        car.norm(*given[:2], cuda.to_device(-eta), p=p)


def test_a_warning_counts_the_rows_out_of_reach():
    from numba_car import cuda as on_gpu

    x, delta = family_arrays("uniform", (3, 9), np.float64)
    eps, counted = np.array([0.1, 99.0, 98.0]), r"in 2 of 3 rows, .* \(1,\): eps 99.0 > max_norm"
    arrays = *map(cuda.to_device, (x, delta)), cuda.to_device(eps)
    for function, given in ((car.eta, arrays), (on_gpu.eta, (x, delta, eps))):
        with pytest.warns(RuntimeWarning, match=counted) as found:
            function(*given, infeasible="warn")
        assert len(found) == 1
        assert found[0].filename == __file__


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_steps_of_host_arrays_in_chunks(p, small_chunks):  # noqa: F811
    from numba_car import cuda as on_gpu

    x, z, g, eps = step_rows(np.float32)
    for side in ("nearest", "inside"):
        for name, along in (("project", z), ("maximize", g)):
            found = getattr(on_gpu, name)(x, along, eps, p=p, side=side)
            expected = getattr(car, name)(x, along, eps, p=p, side=side)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(on_gpu.norm(x, z, eps), car.norm(x, z, eps), rtol=1e-6)
    full = on_gpu.rescale(x, g, eps, full_output=True)
    np.testing.assert_allclose(full.eta, car.rescale(x, g, eps, full_output=True).eta, rtol=1e-6)
    with pytest.raises(ValueError, match="p must be 1, 2 or inf"):
        on_gpu.project(x, z, eps, p=3)
