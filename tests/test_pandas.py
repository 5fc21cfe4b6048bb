"""DataFrames: what NumPy arrays would give, under the labels of the table."""

import subprocess
import sys

import numpy as np
import pytest

import numba_car as car

pd = pytest.importorskip("pandas", reason="pandas is not installed")

RNG = np.random.default_rng(0)
VALUES, STEPS = RNG.random((4, 3)), RNG.standard_normal((4, 3))
INDEX, COLUMNS = pd.Index(list("abcd"), name="id"), ["age", "height", "weight"]
X = pd.DataFrame(VALUES, INDEX, COLUMNS)
DELTA = pd.DataFrame(STEPS, INDEX, COLUMNS)
EPS = np.array([0.1, 0.2, 0.3, 5.0])


def frame(values, dtype=None):
    return pd.DataFrame(values, INDEX, COLUMNS, dtype=dtype)


def series(values, name=None):
    return pd.Series(values, INDEX, name=name)


def equal(found, expected):
    check = pd.testing.assert_frame_equal
    if isinstance(expected, pd.Series):
        check = pd.testing.assert_series_equal
    check(found, expected, check_exact=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_labels(dtype):
    values, steps = VALUES.astype(dtype), STEPS.astype(dtype)
    x, delta, eps = frame(values), frame(steps), series(EPS)
    equal(car.rescale(x, delta, eps), frame(car.rescale(values, steps, EPS)))
    equal(car.eta(x, delta, eps), series(car.eta(values, steps, EPS), "eta"))
    equal(car.max_norm(x, delta), series(car.max_norm(values, steps), "max_norm"))
    equal(car.norm(x, delta, eps), series(car.norm(values, steps, EPS), "norm"))
    equal(car.project(x, delta, eps), frame(car.project(values, steps, EPS)))
    equal(car.maximize(x, delta, eps), frame(car.maximize(values, steps, EPS)))
    expected = car.solve(values, steps, EPS)
    for name, found in car.solve(x, delta, eps)._asdict().items():
        equal(found, series(getattr(expected, name), name))
    full = car.rescale(x, delta, eps, full_output=True)
    equal(full.out, frame(car.rescale(values, steps, EPS)))
    equal(full.saturated, series(expected.saturated, "saturated"))


def test_arrays_beside_a_table():
    expected = frame(car.rescale(VALUES, STEPS, EPS))
    for arguments in ((X, STEPS, EPS), (VALUES, DELTA, EPS), (X, STEPS, series(EPS))):
        equal(car.rescale(*arguments), expected)
    equal(
        car.rescale(X, car.noise(X.shape), 0.1), frame(car.rescale(VALUES, car.noise((4, 3)), 0.1))
    )
    by_position = car.rescale(VALUES, STEPS, pd.Series(EPS, [7, 7, 7, 7]))
    np.testing.assert_array_equal(by_position, expected, strict=True)


def test_series_by_column():
    step, upper = pd.Series(STEPS[0], COLUMNS), pd.Series([1.0, 2.0, 3.0], COLUMNS)
    found = car.rescale(X, step, 0.2, bounds=(None, upper))
    equal(found, frame(car.rescale(VALUES, STEPS[0], 0.2, bounds=(None, upper.to_numpy()))))
    lower = frame(VALUES - 0.1)
    found = car.eta(X, DELTA, 0.1, bounds=(lower, 9))
    equal(found, series(car.eta(VALUES, STEPS, 0.1, bounds=(VALUES - 0.1, 9)), "eta"))
    row = car.rescale(X.loc["b"], DELTA.loc["b"], 0.2)
    pd.testing.assert_series_equal(row, car.rescale(X, DELTA, 0.2).loc["b"], check_names=False)
    assert car.eta(X.loc["b"], DELTA.loc["b"], 0.2) == car.eta(X, DELTA, 0.2)["b"]


def test_axes():
    columns = car.eta(X, DELTA, pd.Series([0.1, 0.2, 0.3], COLUMNS), axis=0)
    expected = car.eta(VALUES, STEPS, [0.1, 0.2, 0.3], axis=0)
    equal(columns, pd.Series(expected, COLUMNS, name="eta"))
    assert car.eta(X, DELTA, 0.2, axis=(0, 1)) == car.eta(VALUES, STEPS, 0.2, axis=(0, 1))
    equal(car.eta(X, DELTA, 0.2, axis=()), frame(car.eta(VALUES, STEPS, 0.2, axis=())))


def test_nullable_and_mixed_columns():
    x = pd.DataFrame(
        {
            "a": pd.array([1, 2, None], "Int64"),
            "b": np.float32([0.5, 1.5, 2.5]),
            "c": pd.array([0.5, 0.25, 0.125], "Float32"),
        }
    )
    found = car.rescale(x, np.ones((3, 3)), 0.5, bounds=(0, 9))
    expected = car.rescale(
        [[1, 0.5, 0.5], [2, 1.5, 0.25], [np.nan, 2.5, 0.125]], np.ones((3, 3)), 0.5, bounds=(0, 9)
    )
    equal(found, pd.DataFrame(expected, x.index, x.columns))
    assert np.isnan(found.loc[2]).all()
    assert (
        car.eta(x[["b", "c"]], np.ones((3, 2), np.float32), 0.1, bounds=(0, 9)).dtype == "float32"
    )
    whole = car.rescale(x.loc[:1, ["a"]], np.ones((2, 1)), 3, bounds=(0, 9), step=1)
    assert whole["a"].tolist() == [4, 5]
    assert whole["a"].dtype == np.int64


def test_relative_eps():
    eps = car.eps_for_snr(X, 20.0)
    pd.testing.assert_series_equal(eps, series(0.1 * np.linalg.norm(VALUES, axis=1), "norm"))
    assert car.rescale(X, DELTA, eps).index.equals(INDEX)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: car.rescale(X, DELTA.iloc[::-1], 1),
            ValueError,
            r"delta .* of x.*\.loc\[x\.index",
        ),
        (lambda: car.rescale(X, DELTA[COLUMNS[::-1]], 1), ValueError, "delta must have the labels"),
        (lambda: car.rescale(X, DELTA, series(EPS).iloc[::-1]), ValueError, r"eps.*\[x\.index\]"),
        (lambda: car.project(X, DELTA.iloc[1:], 1), ValueError, "^z must have the labels of x"),
        (lambda: car.eta(X, series(EPS), 1), ValueError, r"delta .*\.loc\[x\.columns\]"),
        (lambda: car.eta(X, DELTA, 1, bounds=(0, series(EPS))), ValueError, "upper of bounds must"),
        (
            lambda: car.eta(X, DELTA, DELTA),
            TypeError,
            "eps must be a number or a Series.*DataFrame",
        ),
        (lambda: car.eta(X, DELTA, series(EPS), axis=(0, 1)), TypeError, "Series for 0 axes"),
        (
            lambda: car.eta(X, DELTA, EPS[:3, None, None]),
            ValueError,
            r"eps .*to_numpy\(\) takes a s",
        ),
        (lambda: car.eta(X, np.ones((2, 4, 3)), 1), ValueError, "must broadcast to the shape of x"),
        (lambda: car.eta(X, DELTA, 1, keepdims=True), ValueError, "keepdims must be False"),
        (lambda: car.eta(X.assign(age="old"), DELTA, 1), TypeError, r"x must .*'age': \.astype"),
        (lambda: car.eta(X.astype(object), DELTA, 1), TypeError, "found dtype object in 'age'"),
        (
            lambda: car.rescale(X, DELTA, 1, out=VALUES.copy()),
            TypeError,
            "out must be None for Data",
        ),
        (lambda: car.eta_vjp(X, DELTA, 1, 1), TypeError, "found pandas's"),
        (lambda: car.rescale(X + 9, DELTA, 1), ValueError, "x must lie within its bounds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_name_the_cure(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    if message == "x must lie within its bounds":
        assert ".iloc" in caught.value.__notes__[0]


def test_other_libraries_are_refused():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(TypeError, match="arrays must be of one library"):
        car.rescale(X, torch.ones(4, 3), 1.0)


def test_pandas_is_imported_by_none_but_its_users():
    code = "import numpy as np, sys, numba_car as car; car.eta(np.ones(3), np.ones(3), 0.1); "
    code += "assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
