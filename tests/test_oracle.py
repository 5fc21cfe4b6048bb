"""The oracle by itself: hand-worked rows, every corner of the definition, a root finder."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from scipy.optimize import brentq

from tests.support import oracle
from tests.support.oracle import Row

POWERS = (0.5, 1, 1.5, 2, 3, 4.7, math.inf)


def row(x, delta, eps, p=2.0, bounds=(0.0, 1.0)):
    return Row(np.asarray(x, float), np.asarray(delta, float), eps, p, *bounds)


def random_row(seed, p, eps_over_max_norm=0.6, n=12):
    rng = np.random.default_rng(seed)
    base = row(rng.random(n), rng.normal(size=n), 0.0, p)
    base.eps = eps_over_max_norm * float(oracle.max_norm(base))
    return base


def close(value, expected, digits=15):
    return mpmath.almosteq(value, expected, rel_eps=10.0**-digits, abs_eps=0)


@pytest.mark.parametrize(
    ("p", "x", "delta", "eps", "expected"),
    [
        (1, [0.75, 0.75], [1, -1], 0.75, 0.5),  # 1/4 clipped + 1/2
        (1, [0.75, 0.75], [1, -1], 0.25, 0.125),  # nothing clipped
        (2, [5 / 8, 0.75], [1, -1], 5 / 8, 0.5),  # 3, 4, 5 eighths
        (2, [5 / 8, 0.75], [2, -2], 5 / 8, 0.25),
        (3, [5 / 8, 4 / 8, 0], [1, 1, 1], 6 / 8, 5 / 8),  # 3^3 + 4^3 + 5^3 = 6^3
        (4, [0.5], [-4], 0.25, 0.0625),
        (0.5, [15 / 16, 0.5], [1, 1], 9 / 16, 0.25),  # 1/4 + 1/2 = 3/4
        (1.5, [15 / 16, 0.5], [1, 1], (9 / 64) ** (2 / 3), 0.25),  # 1/64 + 1/8 = 9/64
        (math.inf, [0.75, 0.75], [2, -1], 0.25, 0.125),  # both have the room
        (math.inf, [0.75, 0.75], [2, -1], 0.5, 0.5),  # only the slow one has
    ],
)
def test_hand_worked_rows(p, x, delta, eps, expected):
    assert close(oracle.eta(row(x, delta, eps, p)), expected)


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize(
    ("x", "delta", "eps"),
    [
        ([0.3, 0.6], [1.0, -2.0], 0.0),
        ([0.3, 0.6], [0.0, 0.0], 0.5),
        ([1.0, 0.0], [1.0, -2.0], 0.5),
        ([], [], 0.5),
    ],
    ids=["eps is 0", "delta is 0", "no room", "no element"],
)
def test_eta_is_zero(p, x, delta, eps):
    assert oracle.eta(row(x, delta, eps, p)) == 0


@pytest.mark.parametrize("p", POWERS)
def test_no_bound_is_eps_over_the_norm_of_delta(p):
    delta = np.array([3.0, -4.0, 0.0])
    total = 4.0 if math.isinf(p) else (3.0**p + 4.0**p) ** (1 / p)
    for bounds in ((None, None), (-math.inf, math.inf)):
        free = row([0.5] * 3, delta, 100.0, p, bounds)
        assert oracle.max_norm(free) == mpmath.inf
        assert oracle.largest_breakpoint(free) == mpmath.inf
        assert close(oracle.eta(free), 100 / total, digits=14)


@pytest.mark.parametrize("p", POWERS[:-1])
@pytest.mark.parametrize("factor", [1.0, 1.5, 1e300], ids=["eps = R", "eps > R", "eps >> R"])
def test_saturated_eta_is_the_largest_breakpoint(p, factor):
    # Room 1/2 at speed 1/4 is a breakpoint of 2; the element at rest has none.
    saturated = row([0.5, 0.25, 0.1], [-0.25, 1.0, 0.0], 0.0, p)
    saturated.eps = factor * float(oracle.max_norm(saturated))
    assert oracle.largest_breakpoint(saturated) == 2
    # R itself is irrational for most p; rounding it may leave eta a little short of the end.
    assert close(oracle.eta(saturated), 2, digits=14)
    assert factor == 1 or oracle.is_infeasible(saturated)


def test_saturated_eta_of_the_maximum_norm():
    # R = 3/4 is reached by the last two; the fast one decides, not the breakpoint of 1/2 / 1/64.
    saturated = row([0.5, 0.25, 0.75], [1 / 64, 0.5, -2], 5.0, math.inf)
    assert oracle.max_norm(saturated) == 0.75
    assert oracle.eta(saturated) == 0.375


def test_room_beyond_a_bound_counts_as_none():
    beyond = row([1.0000001, 0.5], [1.0, 1.0], 0.25)
    assert oracle.eta(beyond) == 0.25
    assert oracle.max_norm(beyond) == 0.5


def test_bounds_element_by_element_and_one_sided():
    mixed = row([0.5, 0.5, 0.5], [1.0, -1.0, 1.0], 1.0, 1, (None, np.array([0.75, 0.0, np.inf])))
    assert oracle.max_norm(mixed) == mpmath.inf
    assert oracle.eta(mixed) == 0.375  # 1/4 clipped, two free


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_a_root_finder(p, seed):
    here = random_row(seed, p)

    def excess(guess):
        step = np.abs(np.clip(here.x + guess * here.delta, 0, 1) - here.x)
        norm = step.max() if math.isinf(p) else np.sum(step**p) ** (1 / p)
        return norm - here.eps

    end = float(max(here.breakpoints))
    assert close(oracle.eta(here), brentq(excess, 0, end, xtol=1e-300, rtol=1e-15), digits=12)


@pytest.mark.parametrize("p", [*POWERS, 0.05, 100.0])
@pytest.mark.parametrize("spread", [0, 290])
def test_the_norm_of_eta_is_eps(p, spread):
    rng = np.random.default_rng(1)
    size = 10.0 ** rng.uniform(-spread, spread, 40)
    wide = row(np.zeros(40), size * rng.normal(size=40), 0.0, p, (None, 10 * rng.random(40) / size))
    for fraction in (1e-9, 0.3, 0.999):
        wide.eps = fraction * float(min(oracle.max_norm(wide), 1e300))
        with mpmath.workprec(oracle.BITS):
            found = oracle.eta(wide)
            speeds, rooms, unit = wide.moving
            steps = [
                found * speed if room is None else min(found * speed, mpmath.mpf(room))
                for speed, room in zip(speeds, rooms, strict=True)
            ]
            if math.isinf(p):
                norm = max(steps)
            else:
                norm = mpmath.fsum(step ** mpmath.mpf(p) for step in steps) ** (1 / mpmath.mpf(p))
            assert close(norm / unit, wide.eps, digits=60)


@pytest.mark.parametrize("p", POWERS)
def test_norm_and_eta_grow_together(p):
    here = random_row(7, p)
    end = float(oracle.largest_breakpoint(here))
    norms = [oracle.norm_at(value, here) for value in np.linspace(0, 0.999 * end, 40)]
    assert norms[0] == 0
    assert norms == sorted(norms)
    assert close(oracle.norm_at(1.2 * end, here), oracle.max_norm(here), digits=60)
    assert oracle.norm_at(math.inf, here) == oracle.max_norm(here)
    answers = []
    for eps in np.linspace(0, 1.2 * float(oracle.max_norm(here)), 40):
        here.eps = eps
        answers.append(oracle.eta(here))
    assert answers == sorted(answers)
    assert len(set(answers)) > 30


def test_cancellation_is_resolved():
    # The clipped element takes all of eps but 2^-1000 of its square; the slow one moves the rest.
    eps, tiny = 1.0, 2.0**-500
    here = row([0.0, 0.0], [1.0, tiny], eps, 2, (None, np.array([1.0 - 2.0**-53, np.inf])))
    rest = 1 - (1 - Fraction(1, 2**53)) ** 2
    assert close(
        oracle.eta(here), mpmath.sqrt(mpmath.mpf(rest.numerator) / rest.denominator) / tiny
    )
    here.p = 2.5
    assert oracle.norm_error_in_ulps(float(oracle.eta(here)), here, np.float64) < 1


def test_every_bit_of_a_float_counts():
    # 1 - 2^-53 and 2^-1074 are taken as they are: nothing is rounded to a float on the way.
    here = row([1.0 - 2.0**-53], [5e-324], 1.0)
    assert oracle.largest_breakpoint(here) == mpmath.ldexp(1, 1074 - 53)
    assert not oracle.is_normal(oracle.largest_breakpoint(here), np.float32)
    assert oracle.is_normal(oracle.largest_breakpoint(here), np.float64)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.75, 3.0, 1e-3, 1000.0])
def test_ulp_is_numpys_spacing(dtype, value):
    assert oracle.ulp(float(dtype(value)), dtype) == float(np.spacing(dtype(value)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_normal_range_is_numpys(dtype):
    info = np.finfo(dtype)
    least, most = float(info.smallest_normal), float(info.max)
    assert oracle.is_normal(least, dtype)
    assert oracle.is_normal(most, dtype)
    assert not oracle.is_normal(least / 2, dtype)
    assert not oracle.is_normal(mpmath.mpf(most) * 2, dtype)


def test_error_in_ulps_counts_floats():
    up = float(np.nextafter(np.float32(0.3), np.float32(1)))
    assert oracle.error_in_ulps(up, float(np.float32(0.3)), np.float32) == 1
