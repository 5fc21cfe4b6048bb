"""Short rows are solved many at a time: no row may show in another's result, and no layout in any."""

import numpy as np
import pytest

import numba_car as car
from numba_car._core import transpose
from numba_car._cpu.tuning import SHORT
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
