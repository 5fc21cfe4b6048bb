"""A quick judge of whole batches, in wider floats and with a bound on its own error; ours in nothing.

It only ever says that a row is surely right. `checks` looks at the others in exact arithmetic.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import ml_dtypes
import numpy as np

from tests.support.oracle import Row

NORM_ULPS, SOLVED_ULPS, SATURATED_ULPS, CLEARLY = 4, 5, 2, 8
LONG = 2**12


@dataclass(eq=False)
class Batch:
    """Rows of one dtype, p and kind of bounds: numbers, None, or arrays that broadcast to x."""

    x: np.ndarray
    delta: np.ndarray
    eps: np.ndarray
    p: float
    lower: object
    upper: object
    family: str
    axis: object = None
    """As it is passed: 1 and None mean the same, but a call that says 1 is never a plain one."""
    way: str = "as it is"
    part: int = 0
    """As far larger batches are solved: in "chunks" of so many elements, or "blocks" of so many rows."""

    @property
    def dtype(self):
        return self.x.dtype

    @property
    def options(self):
        return {"p": self.p, "bounds": (self.lower, self.upper), "axis": self.axis}

    @property
    def common_eps(self):
        """One number, where all rows have the same."""
        return self.eps[0] if self.axis is None and (self.eps == self.eps[0]).all() else self.eps

    def row(self, index):
        lower, upper = (
            np.broadcast_to(bound, self.x.shape)[index] if isinstance(bound, np.ndarray) else bound
            for bound in (self.lower, self.upper)
        )
        return Row(self.x[index], self.delta[index], float(self.eps[index]), self.p, lower, upper)

    @cached_property
    def info(self):
        return ml_dtypes.finfo(self.dtype)

    @cached_property
    def wide(self):
        """The judge's own floats: 11 bits more than the batch has, or 29."""
        return np.longdouble if self.dtype == float or self.p < 0.01 else np.float64

    @cached_property
    def speed(self):
        return np.abs(self.delta.astype(self.wide))

    @cached_property
    def room(self):
        """How far each element can move; 0 where delta is 0."""
        x, delta = self.x.astype(self.wide), self.delta
        lower = np.asarray(-np.inf if self.lower is None else self.lower).astype(self.wide)
        upper = np.asarray(np.inf if self.upper is None else self.upper).astype(self.wide)
        room = np.where(delta > 0, upper - x, x - lower)
        return np.where(delta == 0, 0, np.maximum(room, 0))

    @cached_property
    def rounding(self):
        return float(np.finfo(self.wide).eps)

    @cached_property
    def bound(self):
        """Relative error of `norm`: half an ulp for each room, ratio and root, one for powers."""
        terms = 0 if math.isinf(self.p) else (additions(self.x.shape[1]) + 8) / self.p
        return self.rounding * (4 + terms / 2)

    @cached_property
    def reach(self):
        return norm(self.room, self.p)

    @cached_property
    def target(self):
        return np.minimum(self.eps.astype(self.wide), self.reach)

    @cached_property
    def is_saturated(self):
        """Whether eps is surely out of reach."""
        return self.eps > self.reach * (1 + 2 * self.bound)

    def norm_at(self, eta):
        eta = np.broadcast_to(np.asarray(eta, self.wide), self.eps.shape)[:, None]
        steps = np.minimum(np.where(self.speed > 0, eta, 0) * self.speed, self.room)
        return norm(steps, self.p)

    def ulp(self, values):
        return spacing(values, self.info)

    def errors(self, found, reference, own=None):
        """Error in ulps of the batch's dtype; and that with what this judge may be wrong by."""
        ulp = self.ulp(reference)
        error = np.abs(np.asarray(found).astype(self.wide) - reference) / ulp
        slack = 2 * (self.bound if own is None else own) * reference / ulp
        equal = found == reference
        return np.where(equal, 0, error), np.where(equal & np.isinf(reference), 0, error + slack)


def spacing(values, info):
    """Spacing of a dtype at these values, as if its exponent had no upper limit."""
    values = np.asarray(values)
    least = math.frexp(float(info.smallest_normal))[1] - 1
    exponent = np.where(np.isfinite(values) & (values != 0), np.frexp(values)[1] - 1, least)
    return np.ldexp(values.dtype.type(1), np.maximum(exponent, least) - info.nmant)


def power(values, p):
    """`values ** p`, without a power where roots and products will do."""
    halves = 2 * p
    if halves != int(halves) or halves > 8:
        return values ** values.dtype.type(p)
    out = np.sqrt(values) if halves % 2 else np.ones_like(values)
    for _ in range(int(p)):
        out = out * values
    return out


def additions(n):
    """How many additions may follow one another in a sum of n terms."""
    return n if n <= LONG else 2 * math.isqrt(n) + 4


def total(terms):
    """Sum of each row; of a long one by blocks, so that few additions follow one another."""
    n = terms.shape[1]
    if n <= LONG:
        return terms.sum(axis=1)
    starts = np.arange(0, n, math.isqrt(n) + 1)
    return np.add.reduceat(terms, starts, axis=1).sum(axis=1)


def norm(steps, p):
    """||steps||_p of each row."""
    most = steps.max(axis=1)
    if math.isinf(p):
        return most
    unit = np.where((most > 0) & np.isfinite(most), most, 1)
    found = total(power(steps / unit[:, None], p))
    root = np.sqrt(found) if p == 2 else found ** (1 / steps.dtype.type(p))
    return np.where(most > 0, most * root, 0)


def arrival(batch, level):
    """The least eta at which the fastest element with that much room has come so far (p = inf)."""
    level = np.asarray(level)
    fastest = np.where(batch.room >= level[:, None], batch.speed, 0).max(axis=1)
    return level / fastest


def last_breakpoint(batch):
    """Eta where all has been reached that can be."""
    if math.isinf(batch.p):
        return arrival(batch, batch.reach)
    return np.where(batch.speed > 0, batch.room / batch.speed, 0).max(axis=1)


def latest(batch):
    """The largest eta that rounding can excuse for p = inf, where the norm does not tell."""
    ulps = CLEARLY * float(batch.info.eps)
    later = arrival(batch, batch.target * (1 + ulps))
    return np.where(np.isfinite(later), later, arrival(batch, batch.reach)) * (1 + ulps)


def is_normal(batch, eta):
    """Whether eta is a normal number of the dtype, so that its norm can be asked for."""
    least, most = float(batch.info.smallest_normal), float(batch.info.max)
    return (eta >= least) & (eta <= most) & (batch.target > 0)


def judge_eta(batch, found):
    """Return which etas are surely right, and the errors of their norms in ulps."""
    target, bound, found = batch.target, 2 * batch.bound, found.astype(batch.wide)
    least, most = float(batch.info.smallest_normal), float(batch.info.max)
    normal = is_normal(batch, found)
    error, at_most = batch.errors(np.where(normal, batch.norm_at(found), 0), target)
    sure = normal & (at_most <= NORM_ULPS)
    saturated = normal & batch.is_saturated
    if saturated.any():
        _, known = batch.errors(found, last_breakpoint(batch), batch.rounding)
        sure &= ~saturated | (known <= SATURATED_ULPS)
    if math.isinf(batch.p):
        sure &= found <= latest(batch)
    other = ~normal
    if other.any():
        underflows = batch.norm_at(least) >= target * (1 + bound)
        underflows |= batch.is_saturated & (last_breakpoint(batch) < least / 2)
        overflows = batch.norm_at(most) <= target * (1 - bound)
        sure |= other & (target == 0) & (found == 0)
        sure |= other & (target > 0) & underflows & (found >= 0) & (found <= 2 * least)
        sure |= other & (target > 0) & overflows & (found >= 0.999 * most)
    return sure, np.where(normal, error, 0)


def judge_max_norm(batch, found):
    """Return which reachable norms are surely right, and their errors in ulps."""
    most = float(batch.info.max)
    error, at_most = batch.errors(found, batch.reach)
    beyond = batch.reach * (1 - 2 * batch.bound) > most
    return np.where(beyond, found >= most, at_most <= NORM_ULPS), np.where(beyond, 0, error)


def judge_solution(batch, solution, normal):
    """Return which norms and flags are surely right, and the errors of the norms in ulps."""
    doubtful = CLEARLY * batch.ulp(batch.reach) + 2 * batch.bound * batch.reach
    near = np.isfinite(batch.reach) & (abs(batch.eps - batch.reach) <= doubtful)
    sure = near | (solution.saturated == (batch.eps > batch.reach))
    of_target, at_most = batch.errors(solution.norm, batch.target)
    reached = batch.norm_at(solution.eta)
    is_right = batch.errors(solution.norm, reached)[1] <= NORM_ULPS
    sure &= ~normal | ((at_most <= SOLVED_ULPS) & is_right)
    sure &= (batch.target > 0) | (solution.norm == 0)
    return sure, np.where(normal, of_target, 0)


def judge_rescaled(batch, v, normal):
    """Return which rescaled rows are inside their bounds and may be as far away as they should."""
    x, delta, wide = batch.x, batch.delta, batch.wide
    sure = np.isfinite(v).all(axis=1)
    for bound, beyond in ((batch.lower, np.less), (batch.upper, np.greater)):
        if bound is not None:
            sure &= ~beyond(v, bound).any(axis=1)
    sure &= ~np.where(delta > 0, v < x, np.where(delta < 0, v > x, v != x)).any(axis=1)
    sure &= (batch.target > 0) | (v == x).all(axis=1)
    steps = np.where(delta != 0, abs(v.astype(wide) - x.astype(wide)), 0)
    widest = np.maximum(np.maximum(abs(x), abs(v)).astype(wide), steps)
    hidden = np.where(delta != 0, batch.ulp(widest), 0)
    slack = NORM_ULPS * batch.ulp(batch.target) - 2 * batch.bound * batch.target
    shortest, longest = (norm(np.maximum(steps + sign * hidden, 0), batch.p) for sign in (-1, 1))
    reached = (shortest <= batch.target + slack) & (longest >= batch.target - slack)
    return sure & (~normal | reached)
