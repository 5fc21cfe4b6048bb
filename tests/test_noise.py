"""`car.noise`: the bits of a row are those of its seed and number, and directions are what they are called."""

import numpy as np
import pytest

import numba_car as car
from numba_car._noise import KINDS

P = (0.5, 1, 1.5, 2, 7, np.inf)


def generator(seed, row):
    return np.random.Generator(np.random.Philox(key=np.array([seed, row], np.uint64)))


def drawn_alone(kind, rng, n, dtype):
    """What NumPy draws for one row, by the definition of each kind."""
    if kind == "gaussian":
        return rng.standard_normal(n, dtype)
    if kind == "uniform":
        return 2 * rng.random(n, dtype) - 1
    if kind == "laplace":
        return rng.laplace(size=n).astype(dtype)
    return (2 * rng.integers(0, 2, n, np.int8) - 1).astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_is_that_of_its_own_generator(kind, dtype):
    found = car.noise((4, 3, 7), kind=kind, seed=5, first_row=2**63, dtype=dtype)
    assert found.dtype == dtype
    for row in range(4):
        alone = drawn_alone(kind, generator(5, 2**63 + row), 21, dtype)
        np.testing.assert_array_equal(found[row].ravel(), alone)


@pytest.mark.parametrize("options", [{"kind": kind} for kind in KINDS] + [{"p": p} for p in P])
def test_rows_depend_on_their_number_alone(options):
    shape = (300, 501)  # several tasks of some 65 rows
    every = car.noise(shape, seed=3, num_threads=1, **options)
    np.testing.assert_array_equal(car.noise(shape, seed=3, num_threads=3, **options), every)
    part = car.noise((7, 501), seed=3, first_row=60, **options)
    np.testing.assert_array_equal(part, every[60:67])
    assert not np.array_equal(car.noise(shape, seed=4, **options), every)


def test_the_noise_of_files(tmp_path):
    from numba_car import offline

    x = np.full((5, 40), 0.5, np.float32)
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "v.npy"
    offline.rescale(tmp_path / "x.npy", out=out, noise="laplace", seed=9, eps=0.5)
    expected = car.rescale(x, car.noise(x.shape, kind="laplace", seed=9), 0.5)
    np.testing.assert_array_equal(np.load(out), expected)


def test_noise_is_what_its_name_says():
    for kind, fourth in {"gaussian": 3, "uniform": 1.8, "laplace": 6, "sign": 1}.items():
        values = car.noise((4, 20_000), kind=kind, seed=3, dtype=np.float64)
        values /= values.std()
        assert abs(values.mean()) < 0.02
        assert (values**4).mean() == pytest.approx(fourth, rel=0.1), kind


@pytest.mark.parametrize("p", P)
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_the_sphere_has_radius_1(p, dtype, rtol):
    rows = car.noise((50, 30), p=p, dtype=dtype).astype(np.float64)
    norms = np.abs(rows).max(1) if p == np.inf else (np.abs(rows) ** p).sum(1) ** (1 / p)
    np.testing.assert_allclose(norms, 1, rtol=rtol)


@pytest.mark.parametrize("p", [0.5, 1, 2, 3])
def test_directions_are_uniform_on_the_sphere(p):
    """By the cone measure |y_1|**p has the beta distribution of parameters 1/p and (n-1)/p."""
    n, count = 5, 4000
    shares = np.abs(car.noise((count, n), p=p, dtype=np.float64)[:, 0]) ** p
    a, b = 1 / p, (n - 1) / p
    variance = a * b / ((a + b) ** 2 * (a + b + 1))
    assert (shares.mean() - 1 / n) ** 2 < 16 * variance / count
    assert shares.var() == pytest.approx(variance, rel=0.1)


def test_directions_are_uniform_on_the_faces_of_the_cube():
    rows = car.noise((6000, 3), p=np.inf, dtype=np.float64)
    face = np.abs(rows).argmax(axis=1)
    np.testing.assert_allclose(np.bincount(face), 2000, rtol=0.08)
    others = rows[face == 0, 1:]
    assert abs(others.mean()) < 0.04
    np.testing.assert_allclose(others.var(axis=0), 1 / 3, rtol=0.08)  # uniform in [-1, 1]


def test_rows_of_one_element_and_of_none():
    assert set(np.abs(car.noise((1000, 1), p=3)).ravel()) == {1.0}
    assert car.noise((3, 0), p=2).shape == (3, 0)
    assert car.noise((0, 3)).shape == (0, 3)
    np.testing.assert_array_equal(car.noise(9, seed=2), car.noise((1, 9), seed=2)[0])


def test_half_precision_is_drawn_in_float32():
    found = car.noise((3, 50), dtype=np.float16, seed=1)
    np.testing.assert_array_equal(found, car.noise((3, 50), seed=1).astype(np.float16))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"shape": ()}, ValueError, "shape must have axes"),
        ({"shape": (3, -1)}, ValueError, r"shape .*found \(3, -1\)"),
        ({"shape": (3, 2.5)}, TypeError, "shape must be an int or a sequence of ints"),
        ({"kind": "pink"}, ValueError, "kind must be one of gaussian, .*found 'pink'"),
        ({"kind": "sign", "p": 1}, ValueError, "kind must be left alone where p is given"),
        ({"seed": -1}, ValueError, "seed must be an integer from 0 to 2.*found -1"),
        ({"first_row": 0.5}, ValueError, "first_row must be an integer from 0"),
        ({"first_row": 2**64 - 2}, ValueError, "number of the last row must be an integer"),
        ({"dtype": int}, TypeError, "dtype must be a floating dtype.*found int64"),
        ({"p": 0}, ValueError, r"p must be in \(0, inf\]"),
        ({"p": 0.01}, ValueError, "p must be larger for rows of 400 elements.*float32"),
        ({"num_threads": 0}, ValueError, "num_threads must be at least 1"),
    ],
    ids=str,
)
def test_arguments_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        car.noise(**{"shape": (3, 400)} | options)
