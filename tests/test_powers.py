"""Powers in vector lanes, and slopes, against mpmath; and what becomes of zeros, infinities and NaN."""

import math
import re

import mpmath
import numba
import numpy as np
import pytest

from numba_car import _jit
from numba_car._core import powers
from numba_car._core.derivative import slope
from numba_car._core.norms import GENERAL, HALVES, LANES, NORM_1, NORM_2, in_lanes, norm_of, term
from numba_car._cpu.solve_row import rest_of_target
from tests.support.jitted import jitted

power, half_power, jitted_slope = powers.power, jitted(powers.half_power), jitted(slope)
jitted_term = jitted(term)
DTYPES = (np.float32, np.float64)
HALF_P = (0.5, 1.5, 2.5, 3.0, 3.5, 4.0)


@numba.njit(error_model="numpy", fastmath=_jit._LOOP_FLAGS)
def raise_all(values, p, p_low, out):
    for i in range(out.size):
        out[i] = power(values[i], p, p_low)


def raised(values, p, p_low=0.0):
    out = np.empty_like(values)
    raise_all(values, p, p_low, out)
    return out


def ulps(found, values, p):
    """The largest error, in units in the last place, of values**p; results are normal numbers."""
    worst, digits = 0.0, np.finfo(found.dtype).nmant + 1
    with mpmath.workprec(160):
        for value, got in zip(values, found, strict=True):
            exact = mpmath.mpf(float(value)) ** p
            unit = mpmath.ldexp(1, mpmath.frexp(exact)[1] - digits)
            worst = max(worst, float(abs(mpmath.mpf(float(got)) - exact) / unit))
    return worst


def wide(p, dtype, count=300):
    """Numbers whose power p is a normal number: of all sizes, and near 1."""
    rng, info = np.random.default_rng(7), np.finfo(dtype)
    most = min(-info.minexp - 1, (-info.minexp - 1) / abs(p))
    near = 1.0 + rng.uniform(-0.4, 0.6, count) * min(1.0, 20 / abs(p))
    return np.concatenate([2.0 ** rng.uniform(-most, most, count), near]).astype(dtype)


@pytest.mark.parametrize("p", [1e-9, 0.05, 0.6, 1.3, math.pi, 4.0, 17.3, 300.0, -0.4, -0.95])
def test_powers_of_float64_are_good_to_one_ulp(p):
    values = wide(p, np.float64)
    assert ulps(raised(values, p), values, mpmath.mpf(p)) < 1 + p / 100  # log2 is good to 2**-59


@pytest.mark.parametrize("p", [1.0, 1.3, 2.0, math.pi, 3.999, -0.4, 0.3])
def test_powers_of_float32_are_good_to_one_ulp(p):
    """Float32 does not hold p; the powers are those of p all the same."""
    values = wide(p, np.float32)
    assert ulps(raised(values, p), values, mpmath.mpf(p)) < 1


def test_the_low_part_of_p():
    values = wide(-0.7, np.float64)
    exact = mpmath.mpf(0.3) - 1
    high = 0.3 - 1.0
    assert ulps(raised(values, high, float(exact - high)), values, exact) < 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_of_numbers_without_a_logarithm(dtype):
    values = np.array([0.0, math.inf, math.nan], dtype)
    for p in (0.3, 1.5, math.pi, 1e9):
        np.testing.assert_array_equal(raised(values, p), values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_out_of_range(dtype):
    info = np.finfo(dtype)
    small, large = np.array([info.tiny, 1e-30], dtype), np.array([info.max, 1e30], dtype)
    assert not raised(small, 40.0).any()
    assert np.all(raised(large, 40.0) == math.inf)
    assert not raised(np.array([0.5], dtype), 1e300).any()
    assert raised(np.array([2.0], dtype), 1e300) == math.inf
    np.testing.assert_array_equal(raised(np.ones(1, dtype), 1e300), 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_of_subnormal_numbers(dtype):
    values = np.array([1, 3, 1000], dtype) * np.finfo(dtype).smallest_subnormal
    assert ulps(raised(values, 0.3), values, mpmath.mpf(0.3)) < 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_vectorise(dtype):
    values = np.ones(1, dtype)
    signature = tuple(map(numba.typeof, (values, 1.5, 0.0, values)))
    raise_all.compile(signature)
    code = raise_all.inspect_llvm(signature)
    name = "float" if dtype == np.float32 else "double"
    assert re.search(rf"call[^@]*<\d+ x {name}> @llvm.fma", code)
    assert "@pow" not in code


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", HALF_P)
def test_powers_by_square_roots_and_products(p, dtype):
    values = wide(p, dtype)
    found = np.array([half_power(value, int(2 * p)) for value in values], dtype)
    roundings = {0.5: 1, 1.5: 2, 2.5: 3, 3.0: 2, 3.5: 4, 4.0: 3}[
        p
    ]  # a square of a square doubles its own
    assert ulps(found, values, mpmath.mpf(p)) <= roundings
    ends = [half_power(dtype(value), int(2 * p)) for value in (0, math.inf)]
    assert ends == [0, math.inf]


def test_which_norms_have_lanes():
    assert [len(in_lanes(norm_of(p))) for p in HALF_P] == [HALVES] * len(HALF_P)
    assert [len(in_lanes(norm_of(p))) for p in (0.3, math.pi, 4.5, 5.0)] == [LANES] * 4
    assert all(in_lanes(norm) is norm for norm in (NORM_1, NORM_2, norm_of(math.inf)))
    assert in_lanes(norm_of(math.pi))[:GENERAL] == norm_of(math.pi)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.3, 0.5, 1.3, 1.5, 3.0, math.pi])
def test_terms_and_slopes_of_all_kinds_agree(p, dtype):
    general, lanes = norm_of(p), in_lanes(norm_of(p))
    values = (*2.0 ** np.random.default_rng(0).uniform(-8, 8, 50), 0.0)
    few = 8 * np.finfo(dtype).eps
    for value in map(dtype, values):
        np.testing.assert_allclose(jitted_term(value, lanes), value ** dtype(p), rtol=few)
        expected = jitted_slope(np.float64(value), general)
        np.testing.assert_allclose(jitted_slope(value, lanes), expected, rtol=few)
    assert jitted_slope(dtype(0), lanes) == 0


def test_the_rest_of_a_target():
    """What the rounding of a target loses, where the target is a square root or x*sqrt(x)."""
    rest = jitted(rest_of_target)
    with mpmath.workprec(200):
        for p in (0.5, 1.5):
            norm = in_lanes(norm_of(p))
            for ratio in np.random.default_rng(0).uniform(0.5, 1, 20):
                exact = mpmath.mpf(ratio) ** p
                found = mpmath.mpf(jitted_term(ratio, norm)) + mpmath.mpf(rest(ratio, norm))
                assert abs(found - exact) < exact * mpmath.mpf(2) ** -100
    assert rest(0.7, in_lanes(norm_of(3.0))) == rest(0.7, norm_of(0.5)) == 0
