"""Rows of different lengths: each gets the bits that it gets alone, in a list or under offsets."""

import itertools

import numpy as np
import pytest

import numba_car as car
from numba_car import ragged

FUNCTIONS = ("eta", "rescale", "solve", "max_norm", "norm", "project", "maximize")
SHAPES = [(n,) for n in (*range(41), 777, 5000, 7, 7, 33, 5000)]


def rows(shapes, dtype=np.float32, seed=0):
    """Rows of x and directions, and an eps for each: some are out of reach."""
    rng = np.random.default_rng(seed)
    x = [rng.random(shape).astype(dtype) for shape in shapes]
    delta = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    return x, delta, rng.uniform(0.1, 1.0, len(shapes)) * [np.sqrt(1 + a.size) for a in x]


def one(name, x, delta, eps, **options):
    """What `numba_car` gives for a row alone."""
    arguments = (x, delta) if name == "max_norm" else (x, delta, eps)
    return getattr(car, name)(*arguments, axis=tuple(range(x.ndim)), **options)


def every(name, x, delta, eps, **options):
    arguments = (x, delta) if name == "max_norm" else (x, delta, eps)
    return getattr(ragged, name)(*arguments, **options)


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("dtype", "p"), [(np.float32, 2), (np.float64, np.inf)])
def test_rows_get_what_they_get_alone(name, dtype, p):
    x, delta, eps = rows(SHAPES, dtype)
    alone = [one(name, *row, p=p) for row in zip(x, delta, eps, strict=True)]
    for threads in (1, 3):
        found = every(name, x, delta, eps, p=p, num_threads=threads)
        if name == "solve":
            same(found, [np.array(field) for field in zip(*alone, strict=True)])
        else:
            same(found, alone)
    offsets = np.cumsum([0, *(a.size for a in x)])
    flat = every(name, np.concatenate(x), np.concatenate(delta), eps, p=p, offsets=offsets)
    if name in ("rescale", "project", "maximize"):
        np.testing.assert_array_equal(flat, np.concatenate(found), strict=True)
    else:
        same(flat, found)


def test_long_rows_and_short_ones():
    x, delta, eps = rows([(1 << 18,), (3,), (2, 5), (1 << 18,), (3,), (2, 5), (2, 3000)])
    for threads in (1, 2):
        found = ragged.rescale(x, delta, eps, num_threads=threads)
        same(found, [one("rescale", *row) for row in zip(x, delta, eps, strict=True)])


def test_point_clouds():
    """Rows of shape (n, 3): a bound for each coordinate, for each row, and for each point."""
    x, delta, _ = rows([(5, 3), (9, 3), (5, 3)])
    upper = np.float32([0.9, 0.8, 1.0])
    x = [np.minimum(cloud, upper) for cloud in x]
    found = ragged.rescale(x, delta, 0.5, bounds=(None, upper))
    same(
        found,
        [one("rescale", a, d, 0.5, bounds=(None, upper)) for a, d in zip(x, delta, strict=True)],
    )
    lower = [0.0, None, np.zeros((5, 3), np.float32)]
    found = ragged.eta(x, delta, 0.5, bounds=(lower, upper))
    each = zip(x, delta, lower, strict=True)
    same(found, [one("eta", a, d, 0.5, bounds=(low, upper)) for a, d, low in each])
    together, offsets = np.concatenate(x), [0, 5, 14, 19]
    points = np.full_like(together, 0.25)
    points[5:] = 0
    together[:5] = np.maximum(together[:5], 0.25)
    found = ragged.eta(together, np.concatenate(delta), 0.5, offsets=offsets, bounds=(points, 1))
    cuts = itertools.pairwise(offsets)
    alone = [(together[a:b], delta[i], points[a:b]) for i, (a, b) in enumerate(cuts)]
    same(found, [one("eta", a, d, 0.5, bounds=(low, 1)) for a, d, low in alone])


def test_bounds_of_numbers_by_row():
    x, delta, eps = rows([(20,)] * 6 + [(200,)] * 3)
    upper = list(np.linspace(1, 2, 9))
    found = ragged.rescale(x, delta, eps, bounds=([0] * 9, upper))
    each = zip(x, delta, eps, upper, strict=True)
    same(found, [one("rescale", a, d, e, bounds=(0, up)) for a, d, e, up in each])


def test_clips_on_a_grid_at_a_ratio():
    rng = np.random.default_rng(0)
    clips = [rng.integers(-9000, 9000, (2, n), dtype=np.int16) for n in (400, 900, 400)]
    eps = [car.eps_for_snr(clip, 20.0, axis=(0, 1)) for clip in clips]
    delta = [car.noise((1, *clip.shape), first_row=i)[0] for i, clip in enumerate(clips)]
    found = ragged.rescale(clips, delta, eps, bounds=(-32768, 32767), step=1)
    for clip, noisy in zip(clips, found, strict=True):
        assert noisy.dtype == np.int16
        energy = ((noisy.astype(int) - clip) ** 2).sum()
        assert 10 * np.log10((clip.astype(int) ** 2).sum() / energy) == pytest.approx(20, abs=0.01)


def test_no_rows_and_empty_rows():
    assert ragged.rescale([], [], 1.0) == []
    assert ragged.eta([], [], 1.0).shape == (0,)
    empty = np.empty((0, 3), np.float32)
    assert ragged.rescale(empty, empty, 1.0, offsets=[0]).shape == (0, 3)
    np.testing.assert_array_equal(ragged.eta(empty, empty, 1.0, offsets=[0, 0, 0]), [0, 0])


def test_objects_and_bad_rows():
    x, delta, _ = rows([(3,), (4,), (3,)])
    x[2][1] = np.nan
    objects = np.array([*x, None], dtype=object)[:3]
    found = ragged.rescale(objects, delta, 0.5)
    assert [bool(np.isnan(v).all()) for v in found] == [False, False, True]


@pytest.mark.parametrize("name", ["eta", "rescale", "solve"])
def test_infeasible(name):
    x, delta, _ = rows([(3,), (4,), (3,), (5,)])
    eps = [0.1, 9.0, 0.1, 9.0]
    quiet = every(name, x, delta, eps)
    words = r"in 2 of 4 rows, the first is row 1: eps 9.0 > max_norm"
    with pytest.warns(RuntimeWarning, match=words) as caught:
        found = every(name, x, delta, eps, infeasible="warn")
    assert caught[0].filename == __file__
    same(found, quiet)
    with pytest.raises(ValueError, match=f"infeasible='raise'.*{words}"):
        every(name, x, delta, eps, infeasible="raise")
    same(every(name, x, delta, 0.1, infeasible="raise"), every(name, x, delta, 0.1))
    eta = ragged.eta(x, delta, eps, infeasible="nan")
    np.testing.assert_array_equal(np.isnan(eta), [False, True, False, True])


X, DELTA, _ = rows([(2, 3), (4,)], np.float64)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": [X[0], X[1] + [0, 0, 0, 9]]}, ValueError, r"^row 1: x must .* at index \(3,\): 9"),
        ({"x": [X[0] + 9, X[1]]}, ValueError, r"^row 0: x must lie within .*index \(0, 0\)"),
        ({"x": X[:1]}, ValueError, "delta must have as many rows as x, 1, found 2"),
        ({"delta": [DELTA[0], DELTA[1][:3]]}, ValueError, r"row 1: delta .*\(4,\), found \(3,\)"),
        ({"x": np.ones((2, 3))}, TypeError, "x must be a list of arrays, or offsets"),
        ({"x": [X[0], 1.0]}, ValueError, "row 1: x must have an axis, found the number 1"),
        ({"x": [X[0], "text"]}, TypeError, "x must hold integers or floats"),
        ({"eps": [1, 2, 3]}, ValueError, r"eps must be a number or one for each of 2 rows"),
        ({"eps": [1, np.nan]}, ValueError, "eps must be finite and not negative"),
        ({"p": 0}, ValueError, r"^p must be in \(0, inf\]"),
        ({"method": "guess"}, ValueError, "^method must be one of"),
        ({"bounds": ([0.0], 1.0)}, ValueError, "one entry for each of 2 rows, found a list of 1"),
        ({"bounds": (0.0, np.ones(2))}, ValueError, r"\(2,\) do not broadcast to a row of shape"),
        ({"bounds": 1.0}, ValueError, "bounds must be a pair"),
        ({"offsets": [0, 2]}, ValueError, "x must be as long as offsets say, 2, found shape"),
        ({"offsets": [1, 2]}, ValueError, "offsets must be a sequence of integers that begins"),
        ({"offsets": [0, 3, 2]}, ValueError, "offsets must not descend"),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_arguments_are_checked(changes, error, message):
    arguments = {"x": X, "delta": DELTA, "eps": 0.5} | changes
    if "offsets" in changes:
        arguments |= {"x": np.ones(4), "delta": np.ones(4)}
    with pytest.raises(error, match=message):
        ragged.rescale(
            arguments.pop("x"), arguments.pop("delta"), arguments.pop("eps"), **arguments
        )


def test_other_functions_name_these():
    with pytest.raises(TypeError, match=r"x must be .* a ragged sequence: numba_car\.ragged has"):
        car.eta(X, DELTA, 0.5)


def test_tensors_are_refused():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensors = [torch.ones(3), torch.ones(4)]
    with pytest.raises(TypeError, match=r"x must be NumPy's arrays, found torch\.Tensor: call"):
        ragged.eta(tensors, tensors, 0.5)
