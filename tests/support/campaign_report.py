"""What a campaign has seen so far: totals that add up over runs, and their tables."""

import hashlib
import math
from pathlib import Path

import numba_car as car
from tests.support.campaign_gradients import GRADIENT_ULPS
from tests.support.campaign_judge import NORM_ULPS

METHODS = ("newton", "sort")
FUNCTIONS = (*METHODS, "norm", "max_norm", "eta_vjp", "rescale_vjp", "eta_jvp", "rescale_jvp")
DTYPES = ("float16", "bfloat16", "float32", "float64")
POWERS = (0.5, 1.0, 2.0, 3.5, math.inf)
COLUMNS = ("0 to 0.1", "0.1 to 1", "0.5", "1", "1 to 10", "2", "3.5", "10 to 1000", "inf")


def nothing():
    """Totals of no rows."""
    counts = {"exactly": 0, "failures": 0, "CPU seconds": 0.0}
    return {"code": stamp(), "rows": {}, "worst": {}, "left out": {}, "counts": counts}


def stamp():
    """A hash of what decides the CPU's results: its sources."""
    folder = Path(car.__file__).parent
    files = [path for part in ("_core", "_cpu") for path in (folder / part).glob("*.py")]
    digest = hashlib.sha256()
    for path in sorted([*files, folder / "_jit.py"]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def column_of(p):
    """The column of the table that a power belongs to."""
    if p in POWERS:
        return f"{p:g}"
    return next(f"{a:g} to {b:g}" for a, b in ((0, 0.1), (0.1, 1), (1, 10), (10, 1e3)) if p <= b)


def note(totals, batch, verdict, counts):
    """Add a batch to totals."""
    place = f"{batch.dtype}|{batch.family}|{column_of(batch.p)}"
    totals["rows"][place] = totals["rows"].get(place, 0) + len(batch.x)
    worst = totals["worst"].setdefault(place, {})
    for name, found in verdict.errors.items():
        worst[name] = max(worst.get(name, 0), float(found.max()))
    for name, count in counts.items():
        totals["counts"][name] += count
    for reason, rows in verdict.left_out.items():
        totals["left out"][reason] = totals["left out"].get(reason, 0) + int(rows.sum())


def _sums(old, new):
    return {key: old.get(key, 0) + new.get(key, 0) for key in old | new}


def added(old, new):
    """Totals of two sets of runs of the same code: counts add up, worst errors do not."""
    return {
        "code": new["code"],
        **{name: _sums(old[name], new[name]) for name in ("rows", "left out", "counts")},
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

    def most(names, *parts):
        """The worst of all places that have these parts."""
        places = [place for place in worst if set(parts) <= set(place.split("|"))]
        found = [worst[place].get(name, 0) for place in places for name in names]
        return f"{max(found):.2f}" if found else ""

    def number(dtype):
        return f"{sum(rows[place] for place in rows if place.startswith(dtype)):,}"

    by_dtype = [
        [dtype, number(dtype), *(most([name], dtype) for name in FUNCTIONS)] for dtype in DTYPES
    ]
    families = sorted({place.split("|")[1] for place in rows})
    parts = [
        f"""\
# The norms that are reached, against exact arithmetic

{count:,} rows in {counts["CPU seconds"] / 60:.0f} minutes of one CPU, \
{count / counts["CPU seconds"]:,.0f} a second; \
{counts["failures"]:,} failures. Written by `python -m tests.support.campaign`, where the kinds of rows are described.
The solver's code has the stamp `{totals["code"]}`: rows that other code was judged by are not among these.
{counts["exactly"]:,} rows were judged one by one in exact arithmetic, among them a sample of those \
that the quick judge had passed, to judge the judge.

The derivatives of some rows were left out, of others in part; gradients of bounds that rows or elements share, too.

{table(["left out", "rows"], [[why, f"{rows:,}"] for why, rows in totals["left out"].items()])}
Worst errors in ulps of the dtype: of the norm that eta reaches against min(eps, R), by method; of the norm and \
the largest norm that `solve` returns; and of derivatives, in ulps of the sum of their terms' sizes over 1 + p, where eps = 0 over 1 + p + 1/p. \
The bounds are {NORM_ULPS} for norms and {GRADIENT_ULPS} for derivatives.

{table(["dtype", "rows", *FUNCTIONS], by_dtype)}"""
    ]
    for dtype in DTYPES:
        lines = [
            [family, *(most(METHODS, dtype, family, column) for column in COLUMNS)]
            for family in families
        ]
        title = f"## {dtype}: the norm that eta reaches, by kind of row and p"
        parts.append(f"{title}\n\n{table(['rows', *COLUMNS], lines)}")
    return "\n".join(parts)
