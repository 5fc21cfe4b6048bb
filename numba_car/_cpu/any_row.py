"""One row of a call from jitted code, where p is known only at run time: its rules, its solution and its norm."""

import math

import numpy as np

from numba_car._core.constants import SLACK, SMALL_P, SMALLEST_SUM
from numba_car._core.extended_range import to_float
from numba_car._core.newton import conclude
from numba_car._core.norms import NORM_1, NORM_2, STORED_POWERS, any_norm, term
from numba_car._core.verdicts import DONE, NEEDS_MORE_DIGITS, NOT_FINITE, PENDING, SATURATED
from numba_car._cpu import newton_double_double
from numba_car._cpu.maxima import largest_step, max_abs
from numba_car._cpu.maximum_norm import solve_maximum_norm
from numba_car._cpu.measure import norm_reached, saturate_row
from numba_car._cpu.newton import solve_t
from numba_car._cpu.rescale import rescale_row
from numba_car._cpu.row import is_even
from numba_car._cpu.solve_row import residue
from numba_car._cpu.sums import float64_block, padded
from numba_car._cpu.terms import raise_row
from numba_car._cpu.validate import needs_validation, validate_row
from numba_car._jit import rows


@rows
def is_valid(row, p):
    """Return whether p, the lengths of the arrays and the values of a row keep the rules."""
    if not (p > 0 and is_even(row)):
        return False
    slack = SLACK * np.finfo(row[0].dtype).eps
    verdict = validate_row(row, slack) if needs_validation(row) else PENDING
    return verdict in (PENDING, NEEDS_MORE_DIGITS)


@rows
def _raise_row(row, norm, eps, max_abs_delta):
    """Return the terms and units of a row, where p is known only at run time."""
    scratch = np.empty((2, padded(row[0].size)))
    if norm[0] == 1.0:
        return raise_row(row, NORM_1, eps, max_abs_delta, scratch)
    if norm[0] == 2.0:
        return raise_row(row, NORM_2, eps, max_abs_delta, scratch)
    return raise_row(row, norm, eps, max_abs_delta, scratch)


@rows
def _solve_finite(row, norm, eps):
    """Return eta and the verdict for finite p."""
    max_abs_delta = max_abs(row[1])
    if max_abs_delta == 0:
        return 0.0, DONE
    terms, unit, largest = _raise_row(row, norm, eps, max_abs_delta)
    target, block = term(eps / unit, norm), float64_block(norm)
    t, verdict = solve_t(terms, STORED_POWERS, norm, target, block)
    if verdict == SATURATED and norm[0] >= SMALL_P:
        return saturate_row(row, norm, eps, block)
    return conclude(unit / largest, t, residue(terms, norm, target, t, verdict), norm, verdict)


@rows
def solve(row, eps, p):
    """Return eta, the verdict, and eta as mantissa and exponent where the verdict is NEEDS_MORE_DIGITS."""
    unknown = (0.0, 0)
    if not (0 <= eps < math.inf and is_valid(row, p)):
        return math.nan, NOT_FINITE, unknown
    if eps == 0:
        return 0.0, DONE, unknown
    norm = any_norm(p)
    eta, verdict = (
        solve_maximum_norm(row, eps, True) if p == math.inf else _solve_finite(row, norm, eps)
    )
    if verdict == DONE and (p >= SMALL_P or eta == 0):
        return eta, verdict, unknown
    pair = newton_double_double.solve_row(row, eps, (norm[0], 0.0), norm[1:], math.frexp(eta))
    return to_float(*pair), NEEDS_MORE_DIGITS, pair


@rows
def write(row, solved, out):
    """Fill out with clip(x + eta*delta), given what `solve` returned."""
    eta, verdict, pair = solved
    largest = np.finfo(out.dtype).max
    if verdict == NEEDS_MORE_DIGITS:
        newton_double_double.rescale_row(row, pair, largest, out)
    else:
        rescale_row(row, eta, largest, out)


@rows
def norm_at(row, p, eta):
    """Return N(eta) of a valid row, whose R it is for eta = inf."""
    if p == math.inf:
        return largest_step(row, eta)
    norm = any_norm(np.float64(p))
    reached = norm_reached(row, norm, eta, float64_block(norm))
    # Below, the steps were rounded as the subnormal numbers that they are.
    if p >= SMALL_P and (eta == 0 or not 0 <= reached < SMALLEST_SUM):
        return reached
    if eta == math.inf:
        return newton_double_double.max_norm(row, (norm[0], 0.0), norm[1:])
    scale = math.frexp(eta)
    return newton_double_double.norm_reached(row, (norm[0], 0.0), norm[1:], scale)
