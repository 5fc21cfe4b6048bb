"""`rescale(step=...)`: results on a grid, whose norm is the nearest to eps that the grid reaches along delta."""

import math
from fractions import Fraction

import numpy as np
import pytest

import numba_car as car
from tests.support import oracle_grid as oracle

LEVELS = 255
powers = pytest.mark.parametrize("p", [1, 2, math.inf])


def images(shape=(6, 9), dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, LEVELS + 1, shape).astype(dtype)
    return x, np.round(rng.standard_normal(shape), 2).astype(np.float32)


def best_of_row(ks, delta, eps, p, inside):
    """The norm that the staircase of a row comes nearest to eps with, all counted in steps."""
    moves = oracle.staircase(ks.tolist(), [LEVELS] * len(ks), [Fraction(float(d)) for d in delta])
    return oracle.best([oracle.norm(steps, p) for steps in moves], eps, inside)


@powers
@pytest.mark.parametrize("side", ["nearest", "inside"])
def test_the_best_value_of_the_staircase(side, p):
    pixels, delta = images()
    for eps in (0.4, 2.2, 30.7, 150.0, 3000.0):
        v = car.rescale(pixels, delta, eps, p=p, bounds=(0, LEVELS), step=1, side=side)
        assert v.dtype == np.uint8
        for k, d, y in zip(pixels.astype(int), delta, v.astype(int), strict=True):
            found = oracle.norm(abs(y - k).tolist(), p)
            expected = best_of_row(k, d, eps, p, side == "inside")
            assert abs(found - eps) == pytest.approx(abs(expected - eps), abs=1e-12 * eps)
            assert side == "nearest" or found <= eps


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.int64, np.float16, np.float32, np.float64]
)
def test_each_dtype_has_the_same_pixels(dtype):
    pixels, delta = images()
    expected = car.rescale(pixels, delta, 30.7, bounds=(0, LEVELS), step=1)
    v = car.rescale(pixels.astype(dtype), delta, 30.7, bounds=(0, LEVELS), step=1)
    kind = np.dtype(dtype).kind
    assert v.dtype == (dtype if kind in "iu" else np.result_type(dtype, delta.dtype))
    assert np.array_equal(v, expected)


def test_floats_of_images():
    """float32 of k/255, as image libraries read files, are on the grid, and so are the results."""
    pixels, delta = images((4, 3, 8, 8))
    x = pixels.astype(np.float32) / 255
    v = car.rescale(x, delta, 1.5, step=1 / 255)
    levels = v * np.float32(255)
    assert np.abs(levels - np.rint(levels)).max() < 1e-4
    expected = car.rescale(pixels, delta, 1.5 * 255, bounds=(0, LEVELS), step=1)
    assert np.array_equal(np.rint(levels), expected)


def test_large_rows_are_one_flip_from_eps():
    pixels, _ = images((8, 3000))
    delta = np.random.default_rng(1).standard_normal(pixels.shape, np.float32)  # without ties
    v, eta, norm, max_norm, saturated = car.rescale(
        pixels, delta, 2000.3, bounds=(0, LEVELS), step=1, full_output=True
    )
    moved = (v.astype(int) - pixels.astype(int)).astype(float)
    np.testing.assert_allclose(norm, np.linalg.norm(moved, axis=1), rtol=np.finfo(np.float32).eps)
    one_flip = (2 * abs(moved).max(axis=1) + 1) / (2 * norm)
    assert np.all(abs(norm - 2000.3) <= one_flip)
    assert not saturated.any()
    assert np.all(max_norm > norm)
    again = np.clip(np.rint(pixels + eta[:, None] * delta.astype(float)), 0, LEVELS)
    assert np.mean(again != v) < 1e-3  # halves apart


def test_options():
    pixels, delta = images((5, 4, 6))
    options = {"bounds": (0, LEVELS), "step": 1}
    expected = car.rescale(pixels, delta, 40, **options)
    out = np.empty_like(pixels)
    assert car.rescale(pixels, delta, 40, out=out, **options) is out
    assert np.array_equal(out, expected)
    assert np.array_equal(car.rescale(pixels, delta, 40, num_threads=2, **options), expected)
    columns = car.rescale(
        pixels.transpose(1, 2, 0), delta.transpose(1, 2, 0), 40, axis=(0, 1), **options
    )
    assert np.array_equal(columns.transpose(2, 0, 1), expected)
    sweep = car.rescale(pixels, delta, np.array([[40], [80]]), **options)
    assert np.array_equal(sweep[0], expected)
    in_place = pixels.copy()
    car.rescale(in_place, delta, 40, out=in_place, **options)
    assert np.array_equal(in_place, expected)


def test_a_row_of_nan_spoils_itself_alone():
    pixels, delta = images(dtype=np.float32)
    expected = car.rescale(pixels, delta, 30, bounds=(0, LEVELS), step=1)
    delta[2, 3] = np.nan
    v = car.rescale(pixels, delta, 30, bounds=(0, LEVELS), step=1)
    assert np.isnan(v[2]).all()
    assert np.array_equal(np.delete(v, 2, axis=0), np.delete(expected, 2, axis=0))
    with pytest.raises(ValueError, match=r"integers and NaN at row \(2,\)"):
        car.rescale(pixels.astype(np.uint8), delta, 30, bounds=(0, LEVELS), step=1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"step": 0}, ValueError, "step must be finite and above 0, found 0"),
        ({"step": -1.0}, ValueError, "step must be finite and above 0, found -1.0"),
        ({"step": math.nan}, ValueError, "step must be finite and above 0, found nan"),
        ({"step": "1"}, TypeError, "step must be a number or None, found '1'"),
        ({"bounds": (None, LEVELS)}, ValueError, "lower of bounds must be finite"),
        ({"x": 0.5}, ValueError, r"x must lie on the grid .* found 0.5 at index \(1, 2\)"),
    ],
)
def test_errors(change, error, message):
    x, delta = images(dtype=np.float32)
    options = {"bounds": (0, LEVELS), "step": 1}
    if "x" in change:
        x[1, 2] = change.pop("x")
    with pytest.raises(error, match=message):
        car.rescale(x, delta, 30, **options | change)


CONVERT = {
    "torch": "from_numpy",
    "jax.numpy": "asarray",
    "tensorflow": "constant",
    "dask.array": "from_array",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the frameworks' own
@pytest.mark.parametrize("library", sorted(CONVERT))
def test_frameworks(library):
    convert = getattr(pytest.importorskip(library), CONVERT[library])
    pixels, delta = images()
    expected = car.rescale(pixels, delta, 30.7, bounds=(0, LEVELS), step=1)
    v = car.rescale(convert(pixels), convert(delta), 30.7, bounds=(0, LEVELS), step=1)
    assert isinstance(v, type(convert(pixels)))
    assert np.asarray(v).dtype == np.uint8
    assert np.array_equal(np.asarray(v), expected)
