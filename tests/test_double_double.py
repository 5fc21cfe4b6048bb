"""Sums, products, quotients and powers of pairs, against fractions and mpmath."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numba_car._core import double_double
from numba_car._jit import interpreted
from tests.support.jitted import jitted

# Products of these neither overflow nor lose bits to subnormal numbers.
NUMBERS = st.builds(
    math.ldexp,
    st.floats(-1, 1, allow_subnormal=False),
    st.integers(-300, 300),
).filter(lambda value: value == 0 or abs(value) > 2.0**-400)
FORMS = {"jitted": jitted, "interpreted": lambda function: interpreted(function, {})}


@st.composite
def pairs(draw, numbers=NUMBERS):
    """A float64 and what it lacks of a value of 106 bits: at most half an ulp."""
    high = draw(numbers)
    return high, draw(st.floats(-0.5, 0.5)) * math.ulp(high)


def is_usual(pair):
    """Whether the first of a pair is the nearest float64 of their sum."""
    return pair[0] + pair[1] == pair[0]


def value_of(pair):
    return Fraction(pair[0]) + Fraction(pair[1])


@pytest.fixture(params=FORMS, scope="module")
def function(request):
    """Look a function up by name, as compiled code or as Python."""
    form = FORMS[request.param]
    found = {}

    def named(name):
        return found.setdefault(name, form(getattr(double_double, name)))

    return named


@given(a=NUMBERS, b=NUMBERS)
@example(a=1.0, b=2.0**-60)
@example(a=2.0**-60, b=1.0)
@example(a=1.0, b=-1.0 + 2.0**-53)
def test_two_sum_is_exact(function, a, b):
    total, error = function("two_sum")(a, b)
    assert total == a + b
    assert value_of((total, error)) == Fraction(a) + Fraction(b)


@given(a=NUMBERS, b=NUMBERS)
@example(a=1.0 + 2.0**-52, b=1.0 - 2.0**-53)
def test_two_product_is_exact(function, a, b):
    product, error = function("two_product")(a, b)
    assert product == a * b
    assert value_of((product, error)) == Fraction(a) * Fraction(b)


@given(a=pairs(), b=pairs())
def test_add(function, a, b):
    found = function("add")(a, b)
    size = abs(value_of(a)) + abs(value_of(b))
    assert abs(value_of(found) - value_of(a) - value_of(b)) <= size * Fraction(2) ** -104
    assert is_usual(found)


def test_add_where_the_high_parts_cancel(function):
    found = function("add")((1.0, 2.0**-60), (-1.0, 2.0**-70))
    assert value_of(found) == Fraction(2) ** -60 + Fraction(2) ** -70


@given(a=pairs(), b=pairs())
def test_multiply(function, a, b):
    found, exact = function("multiply")(a, b), value_of(a) * value_of(b)
    assert abs(value_of(found) - exact) <= abs(exact) * Fraction(2) ** -102
    assert is_usual(found)


@given(a=pairs(), b=pairs(NUMBERS.filter(bool)))
@example(a=(1.0, 0.0), b=(3.0, 0.0))
def test_divide(function, a, b):
    found, exact = function("divide")(a, b), value_of(a) / value_of(b)
    assert abs(value_of(found) - exact) <= abs(exact) * Fraction(2) ** -101
    assert is_usual(found)


def power_of(mantissa, exponent, more, p):
    """The same by mpmath, and its logarithm to base 2."""
    base = mpmath.mpf(mantissa) * mpmath.mpf(2) ** exponent * (1 + mpmath.mpf(more))
    log2 = mpmath.log(base, 2) * (mpmath.mpf(p[0]) + mpmath.mpf(p[1]))
    return mpmath.mpf(2) ** log2, log2


@given(
    mantissa=st.floats(0.5, 2, exclude_max=True),
    exponent=st.integers(-1074, 1023),
    more=st.floats(-(2.0**-51), 2.0**-51),
    p=pairs(st.floats(2.0**-20, 2.0**9)),
)
@example(mantissa=1.0, exponent=0, more=0.0, p=(0.5, 0.0))
@example(mantissa=2.0 - 2.0**-52, exponent=-1, more=2.0**-55, p=(0.05, 0.0))
@example(mantissa=0.5, exponent=1, more=-(2.0**-60), p=(20.0, 0.0))
@example(mantissa=0.7071067811865475, exponent=-1074, more=0.0, p=(1 / 3, 2.0**-56))
def test_power(function, mantissa, exponent, more, p):
    found, shift = function("power")(mantissa, exponent, more, p)
    with mpmath.workprec(250):
        exact, log2 = power_of(mantissa, exponent, more, p)
        value = (mpmath.mpf(found[0]) + mpmath.mpf(found[1])) * mpmath.mpf(2) ** shift
        # A power magnifies the error of the logarithm, which is good to 100 bits of its own.
        assert abs(value - exact) <= exact * (1 + abs(log2)) * mpmath.mpf(2) ** -100
    assert is_usual(found)
    assert 0.5 < found[0] < 2


def test_a_power_of_one_is_exact(function):
    for p in (0.05, 1.0, 3.7, 1e4):
        assert function("power")(1.0, 0, 0.0, (p, 0.0)) == ((1.0, 0.0), 0)


@pytest.mark.parametrize(("exponent", "shift"), [(1023, 10**6), (-1023, -(10**6))])
def test_a_power_beyond_what_is_kept_ends_there(function, exponent, shift):
    assert function("power")(1.5, exponent, 0.0, (1e5, 0.0)) == ((1.0, 0.0), shift)


@given(a=pairs(st.floats(-0.99, 0.99, allow_subnormal=False).filter(lambda v: abs(v) > 2.0**-400)))
def test_expm1(function, a):
    found = function("_expm1")(a)
    with mpmath.workprec(600):
        exact = mpmath.expm1(mpmath.mpf(a[0]) + mpmath.mpf(a[1]))
        error = abs(mpmath.mpf(found[0]) + mpmath.mpf(found[1]) - exact)
        assert error <= abs(exact) * mpmath.mpf(2) ** -97


@given(a=st.floats(0.7071067811865476, 1.4142135623730951))
@example(a=1.0 + 2.0**-52)
@example(a=1.0 - 2.0**-53)
def test_log(function, a):
    found = function("_log")(a)
    with mpmath.workprec(300):
        exact = mpmath.log(mpmath.mpf(a))
        error = abs(mpmath.mpf(found[0]) + mpmath.mpf(found[1]) - exact)
        assert error <= mpmath.mpf(2) ** -102
    assert np.isfinite(found).all()
