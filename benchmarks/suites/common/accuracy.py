"""How exact eta is, and in how many passes Newton's method finds it."""

from decimal import Decimal, localcontext

import numpy as np

import numba_car as car
from numba_car._cpu import long_rows, maxima, newton, solve_row, sums, terms
from numba_car._cpu.tuning import plan_of
from numba_car._jit import interpreted

DIGITS = 60


def norm_at(eta, x, delta, p):
    """||min(eta |delta|, room)||_p of one row, to 60 digits."""
    eta, steps = Decimal(float(eta)), []
    for start, direction in zip(x.tolist(), delta.tolist(), strict=True):
        room = 1 - Decimal(start) if direction > 0 else Decimal(start)
        steps.append(min(eta * abs(Decimal(direction)), room))
    if p == np.inf:
        return max(steps)
    return sum(step ** Decimal(p) for step in steps) ** (1 / Decimal(p))


def worst_error(made):
    """Return the largest |N(eta) - eps| of a batch that can reach eps, in ulps of its dtype at eps."""
    eps = made.x.dtype.type(made.eps)
    found = car.eta(made.x, made.delta, eps, p=made.p)
    with localcontext(prec=DIGITS):
        wanted, ulp = Decimal(float(eps)), Decimal(float(np.spacing(eps)))
        norms = map(norm_at, found, made.x, made.delta, [made.p] * len(found))
        return float(max(abs(norm - wanted) for norm in norms) / ulp)


def counting(counts):
    """Return the library's passes over a row for `interpreted`; each notes what share of a row it reads."""

    def counted(function, share=lambda *given: 1.0):
        def counted_pass(*given):
            counts.append(share(*given))
            return function(*given)

        return counted_pass

    def of_sample(*given):
        *_, block, stride = given
        return block / stride

    return {
        newton.validate_and_sum: counted(long_rows._validate_and_sum),
        newton.sum_terms: counted(long_rows._sum_terms, of_sample),
        terms.fill_powers: counted(long_rows._fill_powers),
        maxima.max_abs: long_rows._max_abs,
        solve_row.residue: long_rows._residue,
    }


def passes(made):
    """Return the mean passes over a row that look for eta, those over a sample by their share.

    The library does not tell: its own functions are run, interpreted, with passes that are counted.
    """
    plan, counts = plan_of(made.p, made.x.dtype), []
    limits, is_plain = (made.x.dtype.type(0), made.x.dtype.type(1)), len(plan.norm) < 3
    solve = solve_row.solve_ordinary if is_plain else solve_row.solve_valid
    solve = interpreted(solve, counting(counts))
    scratch = () if is_plain else (np.empty((2, sums.padded(made.x.shape[1])), plan.powers_dtype),)
    with np.errstate(all="ignore"):
        for row in zip(made.x, made.delta, strict=True):
            solve((*row, *limits), plan.norm, made.eps, plan.block, *scratch)
    return sum(counts) / len(made.x)
