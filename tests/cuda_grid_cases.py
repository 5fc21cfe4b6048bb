"""Results on a grid on CUDA, against all values of the staircase; see test_cuda_simulator.py and `cuda_cases`."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

import numba_car as car
from tests.cuda_cases import as_brain, cuda, from_brain, small_chunks, to_host  # noqa: F401 - a fixture
from tests.support import oracle_grid as oracle

LEVELS = 255
OPTIONS = {"bounds": (0, LEVELS), "step": 1}
LEVELS_OF_EPS = 0.4, 2.2, 30.7, 150.0, 3000.0


def images(shape=(5, 7), seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, LEVELS + 1, shape).astype(np.uint8)
    return x, np.round(rng.standard_normal(shape), 2).astype(np.float32)


def errors_of(pixels, moved, eps, p):
    """By how much each row's norm is beyond eps, computed exactly for whole norms."""
    steps = abs(moved.astype(float) - pixels.astype(float)).astype(int).tolist()
    return np.array([oracle.norm(row, p) for row in steps]) - eps


def expected_errors(pixels, delta, eps, p, inside=False):
    """By how much the best norm of each row's staircase is beyond eps."""
    best = []
    for k, d, goal in zip(pixels.tolist(), delta, eps, strict=True):
        moves = oracle.staircase(k, [LEVELS] * len(k), [Fraction(float(v)) for v in d])
        best.append(oracle.best([oracle.norm(steps, p) for steps in moves], goal, inside))
    return np.array(best) - eps


@pytest.mark.parametrize("p", [1, 2, 3.3, math.inf])
@pytest.mark.parametrize("side", ["nearest", "inside"])
def test_the_best_value_of_the_staircase(side, p):
    pixels, delta = images()
    eps = np.array(LEVELS_OF_EPS)
    given = [*map(cuda.to_device, (pixels, delta, eps))]
    found = to_host(car.rescale(*given, p=p, side=side, **OPTIONS))
    assert found.dtype == np.uint8
    errors = errors_of(pixels, found, eps, p)
    expected = expected_errors(pixels, delta, eps, p, side == "inside")
    np.testing.assert_allclose(abs(errors), abs(expected), atol=1e-12 * eps.max())
    if side == "inside":
        assert (errors <= 0).all()
    assert car.rescale(*given, p=p, side=side, out=given[0], **OPTIONS) is given[0]
    np.testing.assert_array_equal(to_host(given[0]), found)


@pytest.mark.parametrize("ties", [False, True])
def test_a_row_on_a_grid_over_several_warps(ties):
    pixels, delta = images((2, 70), seed=3)
    delta, eps = np.sign(delta) if ties else delta, np.array([30.7, 200.2])
    found = to_host(car.rescale(*map(cuda.to_device, (pixels, delta, eps)), **OPTIONS))
    errors = errors_of(pixels, found, eps, 2)
    expected = car.rescale(pixels, delta, eps, **OPTIONS)
    np.testing.assert_allclose(abs(errors), abs(errors_of(pixels, expected, eps, 2)), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["int16", "int64", "float16", "bfloat16", "float32", "float64"])
def test_grids_of_each_dtype_have_the_same_pixels(dtype):
    pixels, delta = images()
    eps = cuda.to_device(np.array(LEVELS_OF_EPS))
    expected = to_host(car.rescale(*map(cuda.to_device, (pixels, delta)), eps, **OPTIONS))
    if dtype == "bfloat16":
        x, back = as_brain(pixels.astype(np.float32)), from_brain
        delta = as_brain(delta)
        expected = car.rescale(
            pixels.astype(ml_dtypes.bfloat16), from_brain(delta), to_host(eps), **OPTIONS
        ).astype(np.float32)
        found = back(car.rescale(x, delta, eps, **OPTIONS)).astype(np.float32)
    else:
        found = to_host(
            car.rescale(*map(cuda.to_device, (pixels.astype(dtype), delta)), eps, **OPTIONS)
        )
        kind = np.dtype(dtype).kind
        assert found.dtype == (dtype if kind == "i" else np.result_type(dtype, delta.dtype))
    np.testing.assert_array_equal(found, expected)


def test_grids_of_floats_and_layouts():
    pixels, delta = images((3, 4, 5))
    x, eps = pixels.astype(np.float32) / 255, np.array([0.1, 0.4, 1.0])
    given = [*map(cuda.to_device, (x, delta, eps))]
    found = to_host(car.rescale(*given, step=1 / 255))
    np.testing.assert_allclose(found, car.rescale(x, delta, eps, step=1 / 255), rtol=1e-7)
    turned = [cuda.to_device(np.ascontiguousarray(a.transpose(1, 2, 0))) for a in (pixels, delta)]
    columns = to_host(car.rescale(*turned, 40.5, axis=(0, 1), **OPTIONS))
    assert columns.dtype == np.uint8
    expected = to_host(car.rescale(*map(cuda.to_device, (pixels, delta)), 40.5, **OPTIONS))
    np.testing.assert_array_equal(columns.transpose(2, 0, 1), expected)


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_facts_of_grids(p, small_chunks):  # noqa: F811
    from numba_car import cuda as on_gpu

    pixels, delta = images()
    eps = np.array(LEVELS_OF_EPS)
    expected = car.rescale(pixels, delta, eps, p=p, full_output=True, **OPTIONS)
    on_device = [*map(cuda.to_device, (pixels, delta, eps))]
    facts = car.rescale(*on_device, p=p, full_output=True, **OPTIONS)
    for found in (
        [*map(to_host, facts)],
        on_gpu.rescale(pixels, delta, eps, p=p, full_output=True, **OPTIONS),
    ):
        np.testing.assert_array_equal(found[0], expected.out)
        np.testing.assert_allclose(found[2], expected.norm, rtol=1e-6)
        np.testing.assert_allclose(found[3], expected.max_norm, rtol=1e-6)
        np.testing.assert_array_equal(found[4], expected.saturated)
        again = np.clip(np.rint(pixels + found[1][:, None].astype(float) * delta), 0, LEVELS)
        assert np.mean(again != found[0]) < 0.1  # halves apart
    np.testing.assert_array_equal(on_gpu.rescale(pixels, delta, eps, p=p, **OPTIONS), expected.out)


def test_bad_rows_on_grids():
    pixels, delta = images()
    eps, delta[2, 3] = cuda.to_device(np.full(5, 30.0)), np.nan
    x = pixels.astype(np.float32)
    found = to_host(car.rescale(*map(cuda.to_device, (x, delta)), eps, **OPTIONS))
    assert np.isnan(found[2]).all()
    assert np.isfinite(np.delete(found, 2, axis=0)).all()
    out = cuda.to_device(pixels)
    with pytest.raises(ValueError, match=r"integers and NaN at row \(2,\)"):
        car.rescale(out, cuda.to_device(delta), eps, out=out, **OPTIONS)
    np.testing.assert_array_equal(to_host(out), pixels)
    none = [cuda.to_device(np.zeros((0, 4), dtype)) for dtype in (np.uint8, np.float32)]
    assert car.rescale(*none, 1.0, **OPTIONS).shape == (0, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bounds": (None, LEVELS)}, "lower of bounds must be finite"),
        ({"bounds": (0, 300)}, "bounds must lie within the range of uint8"),
        ({"step": 0.5}, "step must be whole where x holds integers"),
        ({"step": 7}, r"x must lie on the grid .* found"),
        ({"infeasible": "raise", "eps": 1e6}, "eps must be reachable where .* 5 of 5 rows"),
    ],
)
def test_errors_of_grids(change, message):
    from numba_car import cuda as on_gpu

    pixels, delta = images()
    given = OPTIONS | change
    eps = given.pop("eps", 30.0)
    with pytest.raises(ValueError, match=message):
        car.rescale(*map(cuda.to_device, (pixels, delta)), eps, **given)
    with pytest.raises(ValueError, match=message):
        on_gpu.rescale(pixels, delta, eps, **given)
