"""Derivatives of whole batches by the closed formulas, in wider floats, where no kink is near.

The free set is the exact one: rows in which some eta whose norm is right to rounding has another
are left out. The formulas are then taken at the eta that was returned, which `judge_eta` judges.
"""

import math
from typing import NamedTuple

import numpy as np

from tests.support.campaign_judge import CLEARLY, norm, power

GRADIENT_ULPS = 16
"""Error allowed, in ulps of the sum of the terms' sizes, times 1 + p: powers magnify errors.

At eps = 0, where d eta / d eps = 1/||delta||_p, it is times 1 + p + 1/p: so do roots.
"""

RANGE = 2.0**900
"""Rows are left out whose factors are outside this range, in which float64 holds their products."""

SMALLEST = {8: 2.0**-1022, 4: 2.0**-126, 2: 2.0**-126}
"""Those too in which a room is below the normal numbers of the arithmetic, or is once divided by eps.

So for steps in float64; those of float32 are divided by eps before they are small.
"""


class Partials(NamedTuple):
    """Derivatives of eta by element or row, the free elements, and which rows can be judged."""

    free: np.ndarray
    by_delta: np.ndarray
    by_room: np.ndarray
    by_eps: np.ndarray
    smooth: np.ndarray


def _free(batch, eta):
    return (batch.delta == 0) | (eta[:, None] * batch.speed < batch.room)


def _is_same(batch, eta, rounding):
    """By element, whether it is free or not within the rounding of eta."""
    return _free(batch, eta * (1 - rounding)) == _free(batch, eta * (1 + rounding))


def _by_delta(batch, by_speed):
    return np.where(batch.delta > 0, by_speed, -by_speed)


def _on_a_piece(batch, eta, eps, rounding):
    """Finite p, eps within reach. The formulas of `problem.md`, in units of eps."""
    free, p = _free(batch, eta), batch.wide(batch.p)
    moving = free & (batch.speed > 0)
    u, q = eta[:, None] * batch.speed / eps[:, None], batch.room / eps[:, None]
    share = power(np.where(moving, u, 0), batch.p).sum(axis=1)
    rate = eta / eps / share
    width = rounding / np.minimum(share, 1)  # beyond 1 is eta's own rounding
    smooth = (width < 0.25) & _is_same(batch, eta, width).all(axis=1)
    has_slope = ~free & ((q > 0) | (p >= 1))  # room = 0 has none for p < 1
    by_speed = np.where(moving, -(rate * eta)[:, None] * np.where(moving, u, 1) ** (p - 1), 0)
    by_room = np.where(has_slope, -rate[:, None] * np.where(has_slope, q, 1) ** (p - 1), 0)
    return Partials(free, _by_delta(batch, by_speed), by_room, rate, smooth)


def _fastest(batch, level):
    """The fastest element with that much room, the first of equals."""
    return np.where(batch.room >= level[:, None], batch.speed, -1).argmax(axis=1)


def _by_one(batch, eta, decider, rounding, saturated):
    """One element alone decides. In a saturated row it and its equals count as clipped."""
    rows = np.arange(len(eta))
    speed, room = (values[rows, decider] for values in (batch.speed, batch.room))
    by_speed, by_room = np.zeros_like(batch.speed), np.zeros_like(batch.speed)
    by_speed[rows, decider] = -eta / speed
    equal = np.zeros(batch.x.shape, bool)
    if saturated:
        by_room[rows, decider] = 1 / speed
        equal = (batch.speed == speed[:, None]) & (batch.room == room[:, None])
    free = _free(batch, eta) & ~equal
    smooth = (_is_same(batch, eta, rounding) | equal).all(axis=1)
    by_eps = 0 * eta if saturated else 1 / speed
    return Partials(free, _by_delta(batch, by_speed), by_room, by_eps, smooth)


def _within_reach(batch, eta, eps, rounding):
    if not math.isinf(batch.p):
        return _on_a_piece(batch, eta, eps, rounding)
    decider = _fastest(batch, eps)
    found = _by_one(batch, eta, decider, rounding, saturated=False)
    levels = (eps * (1 - rounding), eps * (1 + rounding))
    clear = [_fastest(batch, level) == decider for level in levels]
    return found._replace(smooth=found.smooth & clear[0] & clear[1])


def _saturated(batch, eta, rounding):
    if not math.isinf(batch.p):
        ends = np.where(batch.speed > 0, batch.room / batch.speed, -1)
        return _by_one(batch, eta, ends.argmax(axis=1), rounding, saturated=True)
    decider = _fastest(batch, batch.reach)
    found = _by_one(batch, eta, decider, rounding, saturated=True)
    clear = _fastest(batch, batch.reach * (1 - rounding)) == decider
    return found._replace(smooth=found.smooth & clear)


def _at_rest(batch, eta):
    """Eps = 0, or nothing can move."""
    speed = norm(np.where(batch.room > 0, batch.speed, 0), batch.p)
    by_eps, none = np.where(speed > 0, 1 / speed, 0), np.zeros_like(batch.speed)
    free = (batch.delta == 0) | (batch.room > 0)
    return Partials(free, none, none, by_eps, np.full(len(eta), True))


def partials(batch, eta):
    """Derivatives of eta at an eta that was returned."""
    eps = batch.eps.astype(batch.wide)
    rounding = CLEARLY * batch.ulp(eps) / eps
    found = _within_reach(batch, eta, eps, rounding)
    for rows, other in (
        (eps > batch.reach, _saturated(batch, eta, rounding)),
        (batch.target == 0, _at_rest(batch, eta)),
    ):
        found = Partials(
            *(
                np.where(rows if values.ndim == 1 else rows[:, None], others, values)
                for values, others in zip(found, other, strict=True)
            )
        )
    near_reach = abs(eps - batch.reach) <= rounding * eps
    return found._replace(smooth=found.smooth & (~near_reach | (batch.target == 0)))


def upstream(batch):
    """Upstream of a result, and tangents of x and delta: the same for all rows of a length."""
    values = np.random.default_rng(batch.x.shape[1]).standard_normal((3, batch.x.shape[1]))
    return values.astype(batch.dtype)


def _expected(batch, eta, d):
    """By function and argument, what is expected, and the sum of the sizes of its terms."""
    g, of_x, of_delta = upstream(batch).astype(batch.wide)
    delta, up, is_clipped = batch.delta.astype(batch.wide), batch.delta > 0, ~d.free
    of_eta = {
        "x": np.where(up, -d.by_room, d.by_room),
        "delta": d.by_delta,
        "eps": d.by_eps,
        "lower": np.where(up, 0, -d.by_room),
        "upper": np.where(up, d.by_room, 0),
    }
    direct = {
        "x": np.where(d.free, g, 0),
        "delta": np.where(d.free, eta[:, None] * g, 0),
        "eps": 0 * eta,
        "lower": np.where(is_clipped & ~up, g, 0),
        "upper": np.where(is_clipped & up, g, 0),
    }
    pull = np.where(d.free, g * delta, 0)
    for name, partial in of_eta.items():
        by_element = (slice(None), None) if partial.ndim == 2 else slice(None)
        through, size = pull.sum(axis=1)[by_element], abs(pull).sum(axis=1)[by_element]
        yield "eta_vjp", name, partial, abs(partial)
        value = direct[name] + through * partial
        yield "rescale_vjp", name, value, abs(direct[name]) + size * abs(partial)
    parts = np.hstack([of_eta["x"] * of_x, d.by_delta * of_delta, d.by_eps[:, None]])
    pushed, size = parts.sum(axis=1), abs(parts).sum(axis=1)
    yield "eta_jvp", None, pushed, size
    moved = of_x + eta[:, None] * of_delta + pushed[:, None] * delta
    most = abs(of_x) + eta[:, None] * abs(of_delta) + size[:, None] * abs(delta)
    yield "rescale_jvp", None, np.where(d.free, moved, 0), np.where(d.free, most, 0)


def _pull(batch, free=True):
    """The most that can flow into eta from these elements."""
    parts = abs(upstream(batch)[0].astype(batch.wide)) * batch.speed
    return np.where(free, parts, 0).sum(axis=1)


def _in_range(batch, eta, d):
    """Whether float64 holds the factors of a row's derivatives."""
    size = _pull(batch, d.free)
    factors = [
        eta,
        batch.eps,
        d.by_eps,
        eta * d.by_eps,
        size,
        size * d.by_eps,
        size * eta * d.by_eps,
    ]
    factors += [abs(values).max(axis=1) for values in (d.by_delta, d.by_room)]
    return np.all([(v == 0) | ((v > 1 / RANGE) & (v < RANGE)) for v in factors], axis=0)


def _has_digits(batch, eta):
    """Whether no room and no step of a row is a subnormal number on the way."""
    eps, least = batch.eps.astype(batch.wide), SMALLEST[batch.dtype.itemsize]
    of_room = np.maximum(eps, 1)
    of_step = of_room if batch.dtype == float else eps
    # Of steps from rest, whatever eps will be, it is the ratios that count.
    fastest = batch.speed.max(axis=1)
    pace, of_step = np.where(eps > 0, eta, 1), np.where(eps > 0, of_step, fastest)
    sizes = (batch.room, of_room), (pace[:, None] * batch.speed, of_step)
    digits = [((v == 0) | (v >= least * unit[:, None])).all(axis=1) for v, unit in sizes]
    return np.all(digits, axis=0)


def _reasons(batch, eta, d, is_known):
    """Why rows are left out, each for the first reason that there is."""
    left, reasons = np.full(len(eta), True), {}
    for name, is_so in (
        ("eta no normal number", ~is_known),
        ("a kink near", ~d.smooth),
        ("a factor out of range", ~_in_range(batch, eta, d)),
        ("a room or step subnormal", ~_has_digits(batch, eta)),
    ):
        reasons[name] = left & is_so
        left &= ~is_so
    return reasons


def _growth(batch):
    """By row, how much rounding of sums and powers may grow."""
    if math.isinf(batch.p):
        return np.full(len(batch.x), 2.0)
    return 1 + batch.p + np.where(batch.target == 0, 1 / batch.p, 0)


def judge_gradients(batch, eta, found, is_known):
    """Return which rows are right, errors in ulps over 1 + p, and by reason which were not judged.

    `found` has what each function returned, by name, for the arguments that `upstream` gives. Only
    where eta `is_known`, 0 or a normal number, can they be judged. What is pulled back must be finite
    wherever the sum of what flows into eta is.
    """
    info, eta = batch.info, eta.astype(batch.wide)
    d = partials(batch, eta)
    reasons = _reasons(batch, eta, d, is_known)
    left_out, overflows = np.any(list(reasons.values()), axis=0), np.full(len(eta), False)
    most, least = float(info.max), float(info.smallest_subnormal)
    growth = _growth(batch)
    # A power below the dtype's range is lost, whatever it is multiplied by afterwards.
    lost = 4 * least * (1 + (1 + eta) * abs(d.by_eps) * (1 + _pull(batch)))
    errors = {}
    for function, name, expected, size in _expected(batch, eta, d):
        values = found[function] if name is None else getattr(found[function], name)
        if values is None or np.shape(values) != expected.shape:
            continue  # of a bound that all rows share
        is_wrong = np.isnan(values) | (np.isinf(values) & function.endswith("vjp"))
        shown, wanted = (np.clip(v.astype(batch.wide), -most, most) for v in (values, expected))
        by_row = (slice(None), None)[: size.ndim]
        slack = lost[by_row]
        missed = abs(shown - wanted) / (float(info.eps) * size + slack)
        missed /= growth[by_row]
        is_cut = (size > most) & (shown != wanted)  # terms that overflow on their own
        missed = np.where((shown == wanted) | is_cut, 0, missed)
        missed, is_wrong, is_cut = (
            v if v.ndim == 1 else v.max(axis=1) for v in (missed, is_wrong, is_cut)
        )
        overflows |= is_cut & ~left_out
        missed = np.where(left_out, 0, np.where(np.isnan(missed), np.inf, missed))
        may_judge = ~left_out | (function.endswith("vjp") & (_pull(batch) < RANGE))
        missed = np.where(is_wrong & may_judge, np.inf, missed)
        errors[function] = np.maximum(errors.get(function, 0), missed)
    right = np.all([error <= GRADIENT_ULPS for error in errors.values()], axis=0)
    return right, errors, reasons | {"in part: a term overflows": overflows}
