"""The report's tables, each a function of whether to be quick that returns Markdown."""

import numpy as np

from .memory import extra_share
from .suites.common import floors, startup
from .suites.common.calls import call_of, ready
from .suites.common.data import batch, eps_of, slow_rows
from .suites.common.peers import PEERS, QUICK_PEERS, counterpart, one_liner, peer
from .suites.common.timing import medians, ratio, seconds_of

OURS = ("eta", "rescale")


def markdown(header, rows, texts=1):
    """Lay out a table, its first columns texts, the others numbers."""
    lines = [header, ["---"] * texts + ["---:"] * (len(header) - texts), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def kinds_of_multiples():
    """List what is measured against a floor: the pair, the dtype, the kind of data and p."""
    pairs, dtypes = list(floors.OURS_AND_FLOOR), ("float32", "float64")
    for pair in pairs[:3]:
        yield from ((pair, dtype, "normal", p) for dtype in dtypes for p in (1, 2, np.inf))
        yield from ((pair, "float32", kind, 2) for kind in ("cauchy", "photographs"))
    for pair, p in zip(pairs[3:], (2, 2, 3.5), strict=True):
        yield from ((pair, dtype, "normal", p) for dtype in dtypes)


def multiples(quick):
    elements, runs = (2**23, 3) if quick else (2**25, 7)
    lengths = (3072, 150528) if quick else (784, 3072, 150528, 6_000_000)
    kinds = list(kinds_of_multiples())
    cells = {kind: [] for kind in kinds}
    for n in lengths:
        for dtype, data in dict.fromkeys(kind[1:3] for kind in kinds):
            made = batch((max(floors.threads(), elements // n), n), dtype, kind=data)
            for pair, *of_batch, p in kinds:
                if of_batch == [dtype, data]:
                    asked = made._replace(p=p, eps=eps_of(n, p))
                    found = floors.multiple(pair, asked, runs)
                    cells[pair, dtype, data, p].append(f"{found:.2f}")
    rows = ([*kind, *found] for kind, found in cells.items())
    header = ["ours / floor", "dtype", "data", "p", *(f"n = {n:,}" for n in lengths)]
    return f"""\
## Multiples of the floor

`read` adds up x and δ; `fused` writes clip(x + cδ); `fused_vjp` reads x, δ and g and writes two gradients;
`read_four` adds up x, δ and two arrays of bounds; `powers` raises |δ| and the room to the power p. Each is
one pass over all cores, in the dtype's own lanes, into memory that is touched; with "new arrays" into
memory as new as that of `rescale_vjp`'s results. Some {elements:,} elements, at least one row a core.

{markdown(header, rows, texts=3)}"""


def error_of(made, result):
    """Return how far a result, or an eta, misses eps at worst."""
    x, delta = (v.astype(float) for v in made[:2])
    result = np.asarray(result, float)
    v = result if result.shape == x.shape else np.clip(x + result.reshape(-1, 1) * delta, 0, 1)
    return np.max(np.abs(np.linalg.norm(v - x, axis=1) / made.eps - 1))


def peers(quick):
    shape, count, runs = (256, 150528), 4 if quick else 32, 3 if quick else 5
    made = batch(shape)
    few = made._replace(x=made.x[:count], delta=made.delta[:count])
    candidates = [(f"numba_car.{name}", name, made, ready(name, made)) for name in OURS]
    for name in PEERS:
        problem = made if name in QUICK_PEERS else few
        call = peer(name, problem)
        if call:
            candidates.append((name, counterpart(name), problem, call))
    seconds = seconds_of([call for *_, call in candidates], runs)
    rows, ours = [], {}
    for (name, like, problem, call), taken in zip(candidates, seconds.T, strict=True):
        each = 1e9 * np.array([np.median(taken), taken.min()]) / problem.x.size
        times = each / ours.setdefault(like, each)  # ours come first
        cells = [f"{each[0]:.2f}", f"{times[0]:.1f}", f"{each[1]:.2f}", f"{times[1]:.1f}"]
        rows.append([name, len(problem.x), *cells, f"{error_of(few, call()[:count]):.0e}"])
    header = [
        "",
        "rows",
        "ns per element",
        "times ours",
        "fastest run",
        "times ours",
        "norm off by",
    ]
    return f"""\
## Peers

{shape[0]} x {shape[1]}, float32, p = 2, ε = 0.3 √n. Slow peers were run on the first {count} rows and
their time is per element, which favours them if anything: less memory is in use.
Beside other work on the machine torch's runs differ by a factor of up to 100: go by its fastest then.

{markdown(header, rows)}"""


def one_image(quick):
    made = batch((1, 784))
    calls = [*(ready(name, made) for name in OURS), one_liner(made)]
    seconds = medians(calls, runs=5 if quick else 15, number=200)
    rows = [
        [name, f"{1e6 * taken:.1f}", f"{taken / seconds[-1]:.1f}"]
        for name, taken in zip((*OURS, "NumPy one-liner, inexact"), seconds, strict=True)
    ]
    header = ["one call, 1 x 784, float32", "µs", "times the one-liner"]
    return f"## One small image\n\n{markdown(header, rows)}"


def scaling(quick):
    runs, rows = 3 if quick else 9, []
    long, short, cached = (batch(shape) for shape in ((1, 10**7), (10**3, 10**4), (256, 3072)))
    for name in ("eta", "rescale", "rescale_vjp"):
        growth = ratio(ready(name, long), ready(name, short), runs)
        one, two = (ready(name, cached, num_threads=count) for count in (1, 2))
        rows.append([name, f"{growth:.2f}", f"{ratio(one, two, 5 * runs):.2f}"])
    header = [
        "float32, p = 2",
        "time at 1 x 10⁷ / at 1000 x 10⁴",
        "speed-up by 2 threads, in cache",
    ]
    return f"## Scaling\n\n{markdown(header, rows)}"


def slow(quick):
    rows = []
    for count, n in ((64, 3072), (8, 150528), (1, 6_000_000)):
        made = slow_rows(count, n)
        calls = [call_of("eta", made, method=method) for method in ("newton", "sort")]
        newton, sort = medians(calls, runs=1 if quick else 5)
        rows.append([f"{count} x {n}", f"{1e9 * newton / made.x.size:.0f}", f"{newton / sort:.2f}"])
    header = ["float64, p = 2", "ns per element", "times the sort's time"]
    return f"## Rows built to make Newton's method slow\n\n{markdown(header, rows)}"


def memory(quick):
    shapes = ("256x150528",) if quick else ("256x150528", "8x6000000")
    rows = [
        [method, *(f"{100 * extra_share(method, shape):.2g} %" for shape in shapes)]
        for method in ("newton", "sort")
    ]
    header = ["extra peak memory of eta / its input", *shapes]
    return f"## Memory\n\n{markdown(header, rows)}"


def start_up(quick):
    rows = []
    for name in startup.CODES:
        startup.seconds_of(name)
        taken = [startup.seconds_of(name) for _ in range(1 if quick else 5)]
        rows.append([name, f"{np.median(taken):.2f}"])
    return f"## Start-up\n\n{markdown(['in a process of its own', 's'], rows)}"


TABLES = (multiples, peers, one_image, scaling, memory, start_up, slow)
