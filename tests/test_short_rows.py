"""Short rows are solved many at a time: no row may show in another's result, and no layout in any."""

import numpy as np
import pytest

import numba_car as car
from numba_car._core import transpose
from numba_car._core.norms import norm_of
from numba_car._cpu.short_vjp import vjp_short_rows
from numba_car._cpu.tuning import SHORT
from numba_car._cpu.vjp import vjp_rows
from tests.support.strategies import FAMILIES, family_arrays

LENGTHS = (1, 3, 4, 13, 32)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
norms = pytest.mark.parametrize("p", [1, 2])


def batch(n, dtype):
    """More rows than two tiles hold, of all kinds: ordinary, tiny, huge, tied, saturated, NaN, infinite."""
    parts = [family_arrays(family, (9, n), dtype, seed=n) for family in sorted(FAMILIES)]
    x, delta = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    x, eps = np.clip(x, 0, 1), np.resize([0.0, 0.01, 0.1 * n**0.5, 0.3, 1e3], len(x))
    x[11, 0], delta[12, n - 1], delta[13] = np.nan, np.inf, 0
    return x, delta, eps


def results(x, delta, eps, **options):
    """Return everything that rows get, as one array a result."""
    solution = car.solve(x, delta, eps, **options)
    gradients = car.rescale_vjp(x, delta, eps, np.ones_like(x), **options)
    return [
        car.eta(x, delta, eps, **options),
        car.rescale(x, delta, eps, **options),
        car.max_norm(x, delta, **options),
        *solution,
        gradients.delta,
    ]


@dtypes
@norms
def test_a_row_in_a_batch_gets_what_it_gets_alone(dtype, p):
    for n in LENGTHS:
        x, delta, eps = batch(n, dtype)
        together = results(x, delta, eps, p=p)
        for row in (0, 5, 11, 12, 13, 31, 32, len(x) - 1):
            alone = results(x[[row]], delta[[row]], eps[[row]], p=p)
            for ours, same in zip(together, alone, strict=True):
                np.testing.assert_array_equal(ours[[row]], same)


@dtypes
@norms
def test_layouts_give_the_same_bits(dtype, p):
    for n in LENGTHS:
        x, delta, eps = batch(n, dtype)
        expected = results(x, delta, eps, p=p)
        wide, out = np.zeros((len(x), 2 * n), dtype), np.zeros((len(x), 2 * n), dtype)
        wide[:, ::2] = x
        for a, b in (
            (np.asfortranarray(x), np.asfortranarray(delta)),
            (wide[:, ::2], delta[::-1][::-1]),
        ):
            for ours, same in zip(results(a, b, eps, p=p), expected, strict=True):
                np.testing.assert_array_equal(ours, same)
        car.rescale(x, delta, eps, p=p, out=out[:, 1::2])
        np.testing.assert_array_equal(out[:, 1::2], expected[1])
        np.testing.assert_array_equal(out[:, ::2], 0)


@dtypes
@norms
def test_the_same_as_by_sorting(dtype, p):
    for n in LENGTHS:
        x, delta, eps = batch(n, dtype)
        assert n * x.itemsize <= SHORT or dtype == np.float64
        for ours, same in zip(
            car.solve(x, delta, eps, p=p), car.solve(x, delta, eps, p=p, method="sort"), strict=True
        ):
            np.testing.assert_allclose(ours, same, rtol=16 * np.finfo(dtype).eps, atol=0)


@dtypes
@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (9, 17), (24, 7), (31, 40)])
def test_transposed_copies(dtype, shape):
    count, n = shape
    memory = np.random.default_rng(0).random(count * n).astype(dtype)
    for rows_at, places in (
        (np.arange(count), np.arange(n) * count),  # rows are columns
        (np.arange(count) * n, np.arange(n)),
        (np.random.default_rng(1).permutation(count), np.arange(n)[::-1] * count),
    ):
        block = np.full((count, n + 3), -1, dtype)
        transpose.gather(memory, rows_at, places, block.reshape(-1), n + 3)
        np.testing.assert_array_equal(block[:, :n], memory[np.add.outer(rows_at, places)])
        np.testing.assert_array_equal(block[:, n:], -1)
        back = np.full_like(memory, -1)
        transpose.scatter(block.reshape(-1), n + 3, back, rows_at, places)
        np.testing.assert_array_equal(back, memory)


def with_both(x, delta, eps, eta, g, h, p, bounds):
    """Return the gradients by row and by element of `vjp_short_rows`, and of `vjp_rows`, and which rows are left."""
    count, n = x.shape
    is_array = isinstance(bounds[0], np.ndarray)
    found = []
    for kernel in (vjp_short_rows, vjp_rows):
        by_element = np.zeros((4, count, n), x.dtype)
        outputs = tuple((of.reshape(-1), n) for of in by_element[: 4 if is_array else 2])
        outputs += () if is_array else (0.0, 0.0)
        by_row, left = np.zeros((3, count)), np.ones(count, bool)
        batches = [
            (of.reshape(-1), n) if isinstance(of, np.ndarray) else of
            for of in (x, delta, *bounds, g)
        ]
        upstream = batches.pop(), np.full(count, h)
        numbers = norm_of(p), eps, eta, float(np.finfo(x.dtype).max)
        kernel(*batches, n, *upstream, *numbers, outputs, by_row, left)
        found.append((by_element, by_row[: 1 if is_array else 3], left))
    return *found[0], *found[1][:2]


# Each number of upstream with each dtype and each norm, not with all four pairs of them: it compiles for each.
@pytest.mark.parametrize(
    ("dtype", "p", "is_array", "h"),
    [
        *((dtype, p, False, 0.0) for dtype in (np.float32, np.float64) for p in (1, 2)),
        (np.float32, 2, True, 0.7),
        (np.float64, 1, True, 0.7),
        (np.float32, 1, False, 0.7),
        (np.float64, 2, False, 0.7),
    ],
)
def test_gradients_are_those_of_a_row_by_itself(dtype, p, is_array, h):
    rng = np.random.default_rng(1)
    for n in LENGTHS:
        if n * np.dtype(dtype).itemsize > SHORT:
            continue
        x, delta = rng.random((200, n)).astype(dtype), rng.standard_normal((200, n)).astype(dtype)
        delta[::7, 0], x[::5, -1] = 0, 1
        eps = np.resize([0.1, 0.5, 2.0 * n], 200) * n ** (1 / p)
        eta = car.eta(x.astype(float), delta.astype(float), eps, p=p)
        # Without cancellation in its product with delta.
        g = np.sign(delta) * rng.random((200, n)).astype(dtype) if h == 0 else 0.0
        bounds = (np.zeros_like(x), np.ones_like(x)) if is_array else (0.0, 1.0)
        by_element, by_row, left, elements, rows = with_both(x, delta, eps, eta, g, h, p, bounds)
        moves = (delta != 0) & (x < 1)
        assert not left[moves.all(axis=1)].any()
        assert left[~(delta != 0).any(axis=1)].all()
        scale = np.abs(elements).max(axis=(0, 2)) + eta + 1
        rtol = 32 * np.finfo(dtype).eps
        errors = np.abs(by_element - elements) / scale[:, None]
        assert errors[:, ~left].max() <= rtol
        np.testing.assert_allclose(by_row[:, ~left], rows[:, ~left], rtol=rtol, atol=rtol * 10)
        assert not by_element[:, left].any()
