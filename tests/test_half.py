"""float16 and bfloat16 to float32 and back, against NumPy and ml_dtypes."""

import ml_dtypes
import numpy as np
import pytest

from numba_car._core import half

DTYPES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]


def widened(array):
    return half.widen(array, np.empty(array.size, np.float32))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_number_is_widened(dtype):
    numbers = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    found, expected = widened(numbers), numbers.astype(np.float32)
    same = found.view(np.uint32) == expected.view(np.uint32)
    assert (same | (np.isnan(found) & np.isnan(expected))).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_float32_is_rounded_to_nearest(dtype):
    rng = np.random.default_rng(0)
    exact = np.arange(1 << 16, dtype=np.uint16).view(dtype).astype(np.float32)
    bits = rng.integers(0, 1 << 32, 1 << 20, dtype=np.uint32)
    edges = np.array([0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519.99, 65520, 65536, 2.0**-25])
    with np.errstate(all="ignore"):
        halfway = exact[:-1] + (exact[1:] - exact[:-1]) / 2
        values = np.concatenate([exact, halfway, bits.view(np.float32), edges.astype(np.float32)])
        values = np.concatenate([values, np.nextafter(values, np.float32(0))])
        expected = values.astype(dtype)
    found = half.narrow(values, dtype)
    same = found.view(np.uint16) == expected.view(np.uint16)
    assert (same | (np.isnan(found) & np.isnan(expected))).all()
    columns = np.zeros((values.size, 2), dtype)[:, 0]
    assert not half.narrow_to(columns, values)
    assert not columns.any()


def test_other_layouts_and_read_only_memory():
    array = np.arange(12, dtype=np.float16).reshape(3, 4)
    array.flags.writeable = False
    np.testing.assert_array_equal(widened(array.T), array.T.ravel())
    row = np.broadcast_to(array[:1], (2, 4))
    np.testing.assert_array_equal(widened(row), row.ravel())
