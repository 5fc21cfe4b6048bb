"""Hard rows without end, judged: `python tests/campaign.py --seconds 600 --seed 1 --write benchmarks/results/exactness.md`.

A batch goes through every function. `campaign_judge` passes what is surely right; what it cannot
tell, and a sample of the rest, goes to `checks`, in exact arithmetic. Failures become files that
`test_campaign.py` tries for ever. Totals add up over runs, in JSON beside the Markdown.
"""

import argparse
import json
import math
import sys
import time
import warnings
from pathlib import Path

import campaign_gradients
import campaign_judge
import campaign_rows
import checks
import ml_dtypes
import numpy as np
from campaign_judge import Batch

import numba_car as car

FAILURES = Path(__file__).parent / "data" / "campaign"
METHODS = ("newton", "sort")
SAMPLE = 1 / 1000
POWERS = (0.5, 1.0, 2.0, 3.5, math.inf)


def results(batch):
    """What each function returns for a batch, by name."""
    given = batch.x, batch.delta, batch.eps
    options = {"axis": 1, **batch.options}
    g, of_x, of_delta = campaign_gradients.upstream(batch)
    found = {method: car.eta(*given, method=method, **options) for method in METHODS}
    found["max_norm"] = car.max_norm(*given[:2], **options)
    found["solve"] = car.solve(*given, **options)
    found["rescale"] = car.rescale(*given, **options)
    found["eta_vjp"] = car.eta_vjp(*given, 1.0, **options)
    found["rescale_vjp"] = car.rescale_vjp(*given, g, **options)
    found["eta_jvp"] = car.eta_jvp(*given, of_x, of_delta, 1.0, **options)
    found["rescale_jvp"] = car.rescale_jvp(*given, of_x, of_delta, 1.0, **options)
    return found


class Verdict:
    """By row: `sure` of all but gradients, their own, what was left out of them, errors by name."""

    def __init__(self, batch, found):
        self.errors, self.sure = {}, np.full(len(batch.x), True)
        for method in METHODS:
            sure, is_normal, self.errors[method] = campaign_judge.judge_eta(batch, found[method])
            self.sure &= sure
        sure, self.errors["max_norm"] = campaign_judge.judge_max_norm(batch, found["max_norm"])
        solution = found["solve"]
        self.sure &= sure & (solution.max_norm == found["max_norm"])
        self.sure &= solution.eta == found["newton"]
        sure, self.errors["norm"] = campaign_judge.judge_solution(batch, solution, is_normal)
        self.sure &= sure & campaign_judge.judge_rescaled(batch, found["rescale"], is_normal)
        right, left_out, errors = campaign_gradients.judge_gradients(batch, found["newton"], found)
        judged = is_normal | (batch.target == 0)
        self.right = right | ~judged
        self.left_out = left_out | ~judged
        self.errors |= {name: np.where(judged, error, 0) for name, error in errors.items()}


def check_exactly(batch, index, found):
    """Check one row in exact arithmetic, and that alone it has the same answer; return its errors."""
    row = batch.row(index)
    for method in METHODS:
        alone = checks.eta_of(row, method)
        assert alone == float(found[method][index]), (method, alone)
        checks.check_saturated_eta(row, method)
        checks.check_rescale(row, method)
    norm = max(checks.check_solve(row, method) for method in METHODS)
    eta = checks.check_eta(row)
    return {"newton": eta, "sort": eta, "norm": norm, "max_norm": checks.check_max_norm(row)}


def hexadecimal(values):
    """Floats of any dtype as text that keeps every bit, whatever the nesting."""
    if values is None or isinstance(values, str):
        return values
    if np.ndim(values):
        return [hexadecimal(value) for value in values]
    return float(values).hex()


def stored(batch, index, reason):
    """One row as plain data, and why it was kept."""
    row = batch.row(index)
    fields = {name: hexadecimal(getattr(row, name)) for name in ("x", "delta", "lower", "upper")}
    numbers = {"eps": row.eps.hex(), "p": row.p.hex()}
    return {"dtype": row.dtype.name, **numbers, **fields, "family": batch.family, "why": reason}


def restored(data):
    """The batch of one row that `stored` has put away."""
    dtype = ml_dtypes.finfo(data["dtype"]).dtype

    def array(name):
        value = data[name]
        if isinstance(value, list):
            return np.array([[float.fromhex(v) for v in value]]).astype(dtype)
        return value if value is None else float.fromhex(value)

    eps = np.array([float.fromhex(data["eps"])]).astype(dtype)
    rest = float.fromhex(data["p"]), array("lower"), array("upper"), data["family"]
    return Batch(array("x"), array("delta"), eps, *rest)


def keep(batch, index, reason):
    """Store a failure under a name of its own."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    name = f"{batch.dtype}-{batch.family}-{time.time_ns():x}.json"
    text = json.dumps(stored(batch, index, reason), indent=1)
    (FAILURES / name).write_text(text + "\n", encoding="utf-8")


def judged(batch):
    """What each function returned, and the verdict."""
    found = results(batch)
    with np.errstate(all="ignore"):
        return found, Verdict(batch, found)


def failures(batch, sampled):
    """Return the verdict on a batch, how many rows were judged exactly, and what failed: (row, why).

    `sampled` says by row whether to judge it exactly even where that seems needless.
    """
    found, verdict = judged(batch)
    failed = [(row, "a derivative") for row in np.flatnonzero(~verdict.right)]
    exactly = np.flatnonzero(~verdict.sure | sampled)
    for row in exactly:
        quick = {name: verdict.errors[name][row] for name in METHODS}
        try:
            exact = check_exactly(batch, row, found)
            assert not verdict.sure[row] or max(quick.values()) <= exact["newton"] + 0.1, quick
        except AssertionError as error:
            surely = "the quick judge is wrong: " if verdict.sure[row] else ""
            failed.append((row, surely + (str(error) or repr(error))))
            exact = dict.fromkeys(verdict.errors, 0)
        for name, value in exact.items():
            verdict.errors[name][row] = value
    return verdict, len(exactly), failed


def column_of(p):
    """The column of the table that a power belongs to."""
    if p in POWERS:
        return f"{p:g}"
    return next(f"{a:g} to {b:g}" for a, b in ((0, 0.1), (0.1, 1), (1, 10), (10, 1e3)) if p <= b)


COLUMNS = ("0 to 0.1", "0.1 to 1", "0.5", "1", "1 to 10", "2", "3.5", "10 to 1000", "inf")


def run(seconds, seed):
    """Judge batches for so long; return totals."""
    rng, started, cpu = np.random.default_rng(seed), time.monotonic(), time.process_time()
    totals = {"rows": {}, "worst": {}, "counts": {"exactly": 0, "left out": 0, "failures": 0}}
    counts = totals["counts"]
    while time.monotonic() - started < seconds:
        with np.errstate(all="ignore"):
            batch = campaign_rows.draw(rng)
        sampled = rng.random(len(batch.x)) < SAMPLE
        verdict, exactly, failed = failures(batch, sampled)
        for row, reason in failed[:3]:
            sys.stdout.write(f"{batch.dtype} {batch.family} p = {batch.p}: {reason}\n")
            keep(batch, row, reason)
        counts["exactly"] += exactly
        counts["left out"] += int(verdict.left_out.sum())
        counts["failures"] += len(failed)
        place = f"{batch.dtype}|{batch.family}|{column_of(batch.p)}"
        totals["rows"][place] = totals["rows"].get(place, 0) + len(batch.x)
        worst = totals["worst"].setdefault(place, {})
        for name, errors in verdict.errors.items():
            worst[name] = max(worst.get(name, 0), float(errors.max()))
    counts["CPU seconds"] = time.process_time() - cpu
    return totals


def added(old, new):
    """Totals of two sets of runs: counts add up, worst errors do not."""
    return {
        "rows": {
            k: old["rows"].get(k, 0) + new["rows"].get(k, 0) for k in old["rows"] | new["rows"]
        },
        "counts": {k: old["counts"][k] + new["counts"][k] for k in new["counts"]},
        "worst": {
            place: {
                name: max(d["worst"].get(place, {}).get(name, 0) for d in (old, new))
                for name in old["worst"].get(place, {}) | new["worst"].get(place, {})
            }
            for place in old["worst"] | new["worst"]
        },
    }


def table(header, lines):
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows) + "\n"


def report(totals):
    """Markdown of the totals."""
    rows, worst, counts = totals["rows"], totals["worst"], totals["counts"]
    count = sum(rows.values())

    def most(dtype, family, column, names):
        found = [
            worst[place].get(name, 0)
            for place in worst
            for name in names
            if all(
                b in ("", a) for a, b in zip(place.split("|"), (dtype, family, column), strict=True)
            )
        ]
        return f"{max(found):.2f}" if found else ""

    dtypes = ("float16", "bfloat16", "float32", "float64")
    functions = (*METHODS, "norm", "max_norm", "eta_vjp", "rescale_vjp", "eta_jvp", "rescale_jvp")
    by_dtype = [
        [dtype, f"{sum(v for k, v in rows.items() if k.startswith(dtype + '|')):,}"]
        + [most(dtype, "", "", [name]) for name in functions]
        for dtype in dtypes
    ]
    families = sorted({place.split("|")[1] for place in rows})
    parts = [
        f"""\
# The norms that are reached, against exact arithmetic

{count:,} rows in {counts["CPU seconds"] / 60:.0f} minutes of one CPU, \
{count / counts["CPU seconds"]:,.0f} a second; \
{counts["failures"]:,} failures. Written by `python tests/campaign.py`, where the kinds of rows are described.
{counts["exactly"]:,} rows were judged one by one in exact arithmetic, among them a sample of those \
that the quick judge had passed, to judge the judge. The derivatives of {counts["left out"]:,} rows were left out: \
a kink is near, or a factor of theirs is out of range.

Worst errors in ulps of the dtype: of the norm that eta reaches against min(eps, R), by method; of the norm and \
the largest norm that `solve` returns; and of derivatives, in ulps of the sum of their terms' sizes over 1 + p. \
The bounds are {campaign_judge.NORM_ULPS} for norms and {campaign_gradients.GRADIENT_ULPS} for derivatives.

{table(["dtype", "rows", *functions], by_dtype)}"""
    ]
    for dtype in dtypes:
        lines = [
            [family, *(most(dtype, family, column, METHODS) for column in COLUMNS)]
            for family in families
        ]
        title = f"## {dtype}: the norm that eta reaches, by kind of row and p"
        parts.append(f"{title}\n\n{table(['rows', *COLUMNS], lines)}")
    return "\n".join(parts)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="Markdown; the totals so far lie beside it")
    options = parser.parse_args(arguments)
    warnings.simplefilter("error")
    totals = run(options.seconds, options.seed)
    if options.write:
        sums = options.write.with_suffix(".json")
        if sums.exists():
            totals = added(json.loads(sums.read_text(encoding="utf-8")), totals)
        sums.write_text(json.dumps(totals, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        options.write.write_text(report(totals), encoding="utf-8")
    sys.stdout.write(report(totals))
    return totals["counts"]["failures"] > 0


if __name__ == "__main__":
    sys.exit(main())
