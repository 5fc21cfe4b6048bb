"""Measure floors, peers and ours, and write the README's tables: ``python -m benchmarks.report``.

They go to benchmarks/results/report.md and between the README's markers, the plot to
docs/benchmark.png. ``--quick`` takes two minutes instead of some eight, and is less exact.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

from . import plot
from .suites.common.floors import threads
from .tables import TABLES

ROOT = Path(__file__).parents[1]
IN_README = ("## Peers", "## One small image", "![")  # the rest is for those who follow the link
PACKAGES = ("numba_car", "numba", "llvmlite", "numpy", "foolbox", "torch", "jax", "scikit-image")


def cpu():
    """Return the name of the CPU."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit():
    """Return the commit that is measured, and whether files differ from it."""

    def git(*words):
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--", "numba_car") else ""
    return f"commit {git('rev-parse', '--short', 'HEAD') or 'unknown'}{changed}"


def machine(quick):
    """Say what this was measured on."""
    installed = []
    for name in PACKAGES:
        try:
            installed.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            installed.append(f"{name} absent")
    load = f"load average {os.getloadavg()[0]:.1f} before, " if hasattr(os, "getloadavg") else ""
    return (
        f"Measured at {commit()} on {cpu()}, {threads()} of {os.cpu_count()} cores, {load}{platform.system()}, "
        f"Python {platform.python_version()}; {', '.join(installed)}. "
        f"Medians of alternated runs{', few of them: a rough, quick run' * quick}."
    )


def insert(path, report, name="benchmarks"):
    """Put the report between the markers of a file that has them."""
    text, begin, end = path.read_text(), f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if begin in text:
        before, rest = text.split(begin)
        path.write_text(f"{before}{begin}\n\n{report}\n{end}{rest.split(end)[1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs and smaller batches")
    quick = parser.parse_args().quick
    parts, start = [f"{machine(quick)}\n"], time.perf_counter()
    for table in TABLES:
        parts.append(table(quick))
        print(f"[{time.perf_counter() - start:.0f} s]\n{parts[-1]}", file=sys.stderr)
    plot.draw(ROOT / "docs" / "benchmark.png", quick)
    parts.append("![Time per element against the length of a row](docs/benchmark.png)\n")
    report = "\n".join(parts)
    target = ROOT / "benchmarks" / "results" / "report.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text(report.replace("(docs/", "(../../docs/"))
    shown = [parts[0], *(part for part in parts if part.startswith(IN_README))]
    shown.append("All tables: [benchmarks/results/report.md](benchmarks/results/report.md).\n")
    insert(ROOT / "README.md", "\n".join(shown).replace("## ", "### "))
    print(f"{time.perf_counter() - start:.0f} s: {target}", file=sys.stderr)


if __name__ == "__main__":
    main()
