"""Errors that name the cure, and the cure at work."""

import re

import numpy as np
import pytest

import numba_car as car

RNG = np.random.default_rng(0)
X, DELTA = RNG.random((4, 3, 5, 5)), RNG.standard_normal((4, 3, 5, 5))
LOW, HIGH = np.zeros(3), np.array([1.0, 2.0, 3.0])


def refusal(error, *arguments, function=car.eta, **options):
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    return str(caught.value)


def libraries():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    return np.asarray, torch.tensor


def test_infinity_as_a_word():
    assert "'inf': write np.inf" in refusal(TypeError, X, DELTA, 1, p="inf")
    assert "np.inf" not in refusal(TypeError, X, DELTA, 1, p="two")


@pytest.mark.parametrize("place", [0, 1])
def test_bounds_by_channel(place):
    for make in libraries():
        low, high = make(LOW), make(HIGH)
        x, delta = make(X), make(DELTA)
        found = refusal(ValueError, x, delta, 1, bounds=(low, high))
        index = re.search(r"index them with (\[.*\])", found)[1]
        assert index == "[:, None, None]"
        pair = [low, high]
        pair[place] = pair[place][:, None, None]
        expected = [np.asarray(bound).reshape(3, 1, 1) for bound in (low, high)]
        pair[1 - place] = make(expected[1 - place])
        found, same = car.eta(x, delta, 1, bounds=pair), car.eta(X, DELTA, 1, bounds=expected)
        np.testing.assert_allclose(found, same, rtol=1e-12)


def test_bounds_that_no_index_makes_fit():
    assert "index" not in refusal(ValueError, X, DELTA, 1, bounds=(0.0, np.ones(7)))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", [list, tuple, np.asarray])
def test_bounds_by_feature(n, kind):
    """(lower, upper) for each feature; with two of them, they could as well be lower and upper."""
    x, delta = X[:, :n, 0, 0], DELTA[:, :n, 0, 0]
    pairs = kind([kind([0, i + 1]) for i in range(n)])
    if n != 2 or kind is not np.asarray:  # an array of two rows is lower and upper
        assert "np.transpose(bounds)" in refusal(ValueError, x, delta, 0.1, bounds=pairs)
    found = car.eta(x, delta, 0.1, bounds=np.transpose(pairs))
    upper = 1.0 + np.arange(n)
    np.testing.assert_array_equal(found, car.eta(x, delta, 0.1, bounds=(np.zeros(n), upper)))


def test_bounds_of_none():
    assert refusal(ValueError, X, DELTA, 1, bounds=None).endswith("None: (None, None) for none")


def test_lower_and_upper_of_two_features():
    x, delta, low, high = X[:, :2, 0, 0], DELTA[:, :2, 0, 0], [0, -1], [1, 2]
    expected = car.eta(x, delta, 0.1, bounds=(np.array(low), np.array(high)))
    refused = (low, high), [tuple(low), tuple(high)]
    for bounds in refused:
        assert "np.array(bounds) if the first is lower" in refusal(
            ValueError, x, delta, 0.1, bounds=bounds
        )
        np.testing.assert_array_equal(car.eta(x, delta, 0.1, bounds=np.array(bounds)), expected)
    np.testing.assert_array_equal(car.eta(x, delta, 0.1, bounds=(low, np.array(high))), expected)


def test_three_features_as_lists():
    found = car.eta(X[:, :, 0, 0], DELTA[:, :, 0, 0], 0.1, bounds=([0, 0, 0], [1, 2, 3]))
    expected = car.eta(X[:, :, 0, 0], DELTA[:, :, 0, 0], 0.1, bounds=(LOW, HIGH))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (car.rescale, ("x", "delta", "eps", "lower", "upper")),
        (car.norm, ("x", "delta", "eta", "lower", "upper")),
        (car.project, ("x", "z", "eps", "lower", "upper")),
        (car.maximize, ("x", "g", "eps", "lower", "upper")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_two_libraries(function, names):
    as_array, tensor = libraries()
    for i, name in enumerate(names):
        for own, other, kind in ((as_array, tensor, "torch"), (tensor, as_array, "numpy")):
            given = [own(X), own(DELTA), own(np.ones(4)), own(X * 0 - 1), own(X * 0 + 2)]
            given[i] = other(given[i])
            *arrays, lower, upper = given
            found = refusal(TypeError, *arrays, function=function, bounds=(lower, upper))
            assert re.search(rf"{kind}'s in {name}\b", found), found
            converted = name if kind == "numpy" else "x" if i else names[1]
            assert f"torch.as_tensor({converted}) converts" in found


def test_two_libraries_in_other_places():
    _, tensor = libraries()
    assert "torch's in delta" in refusal(TypeError, X, tensor(DELTA), function=car.max_norm)
    found = refusal(TypeError, X, DELTA, 1.0, tensor(X), function=car.rescale_vjp)
    assert "torch's in grad_out" in found
    found = refusal(TypeError, X, DELTA, 1.0, None, tensor(X), function=car.project_jvp)
    assert "torch's in tangent_z" in found
    found = refusal(TypeError, X, DELTA, 1.0, function=car.rescale, out=tensor(X))
    assert "torch's in out" in found


def test_derivatives_of_tables():
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    x = pd.DataFrame(X[:, :, 0, 0])
    found = refusal(TypeError, x, DELTA[:, :, 0, 0], 0.1, 1.0, function=car.eta_vjp)
    assert found.endswith("found pandas's; .to_numpy() converts them")


def test_objects():
    assert ".to_numpy(float)" in refusal(TypeError, X.astype(object), DELTA, 1)
    assert ".to_numpy" not in refusal(TypeError, X.astype(complex), DELTA, 1)


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("uint8", 200, r"pass bounds=\(0, 255\) or x / 255$"),
        ("uint16", 300, r"pass bounds=\(0, 65535\) or x / 65535$"),
        ("int16", -300, r"pass bounds=\(-32768, 32767\), or x / 32768 and bounds=\(-1, 1\)$"),
        ("int16", -1, r"pass bounds=\(-32768, 32767\), or x / 32768 and bounds=\(-1, 1\)$"),
        ("int64", 200, r"bounds=\(0, 255\) or x / 255 where x holds bytes, .* else np\.clip\(x"),
        ("float32", 200, r"bounds=\(0, 255\) .* bounds=\(None, None\) where x has none, else np"),
        ("float32", -0.5, r"such as bounds=\(-1, 1\), or bounds=\(None, None\) for none; np\.clip"),
        ("float32", -2.5, r"; np\.clip\(x, lower, upper\) brings x inside$"),
        ("float32", 1.25, r"; np\.clip\(x, lower, upper\) brings x inside$"),
    ],
)
def test_another_scale(dtype, value, words):
    x, delta = np.full((2, 3), value, dtype), np.ones((2, 3), np.float32)
    assert re.search(words, refusal(ValueError, x, delta, 0.1))


def test_bounds_of_bytes_are_clipped():
    found = refusal(ValueError, np.full((2, 3), 200, np.uint8), np.ones((2, 3)), 1, bounds=(0, 100))
    assert found.endswith("np.clip(x, lower, upper) brings x inside")


def test_two_libraries_inside_eagerpy():
    eagerpy = pytest.importorskip("eagerpy", reason="eagerpy is not installed")
    _, tensor = libraries()
    x, low = eagerpy.astensor(X), eagerpy.astensor(tensor(X * 0))
    found = refusal(TypeError, x, x, function=car.max_norm, bounds=(low, 1.0))
    assert "numpy's in x, delta and torch's in lower" in found
