"""Measure floors, peers and ours, and write their tables: ``python -m benchmarks.report``.

They go to benchmarks/results/report.md, the plot to docs/benchmark.png; then `benchmarks.landscape`
writes its table and picture. ``--quick`` takes some minutes instead of some sixteen, and is less exact.
"""

import argparse
import sys
import time

from . import landscape, plot
from .machine import ROOT, machine
from .tables import TABLES


def insert(path, report, name):
    """Put a table between the markers of a file that has them."""
    text, begin, end = path.read_text(), f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if begin in text:
        before, rest = text.split(begin)
        path.write_text(f"{before}{begin}\n\n{report}\n{end}{rest.split(end)[1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs and smaller batches")
    quick = parser.parse_args().quick
    runs = "Medians of alternated runs" + ", few of them: a rough, quick run" * quick
    parts, start = [f"{machine()} {runs}.\n"], time.perf_counter()
    for table in TABLES:
        parts.append(table(quick))
        print(f"[{time.perf_counter() - start:.0f} s]\n{parts[-1]}", file=sys.stderr)
    plot.draw(ROOT / "docs" / "benchmark.png", quick)
    parts.append("![Time per element against the length of a row](../../docs/benchmark.png)\n")
    target = ROOT / "benchmarks" / "results" / "report.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(parts))
    landscape.write(landscape.measure(landscape.CELLS, 1 if quick else landscape.SECONDS))
    print(f"{time.perf_counter() - start:.0f} s: {target}", file=sys.stderr)


if __name__ == "__main__":
    main()
