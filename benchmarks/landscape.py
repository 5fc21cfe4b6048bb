"""Measure the price of exactness, function by function and cell by cell: ``python -m benchmarks.landscape``.

A figure is the time of our call on one thread over that of an inexact rescale on one thread, as fast as it
can be written: the median of rounds in which all take turns, in one process. `--cells` picks cells by a
regular expression, `--seconds` is the time that a cell's rounds take, unless one round takes longer. `--write` puts
all into benchmarks/results/landscape.json, and draws from there the table beside it and docs/landscape.svg.
"""

import argparse
import json
import re
import sys

from .machine import ROOT, machine
from .suites.common.landscape import CELLS, FUNCTIONS, measured
from .tables import markdown

SECONDS = 6
RESULTS = ROOT / "benchmarks" / "results"
PICTURE = ROOT / "docs" / "landscape.svg"
PACKAGES = ("numba_car", "numba", "llvmlite", "numpy", "torch")
CAPTION = """\
Each figure is the time of our call on one thread, exact, over that of an inexact rescale on one thread, as fast
as it can be written: one pass for the 2-norm of δ, one that writes clip(x + cδ), over contiguous rows in the
precision that the cell computes in (float32 for halves). That takes p = 2 and numbers as bounds, whatever the cell
has. Cells are 2048 rows of 3072 float32 with p = 2, unless their name says otherwise. After a stroke stands
the goal; what misses it is bold. The one-liner is NumPy's `clip(x + eps/norm(delta)*delta, 0, 1)` on the cell's own
arrays, bold where it is faster than our rescale. Torch's cells are forward and backward of `v.square().sum()`, over
the same of an inexact version in torch; the rows that are slow for Newton are over our own method="sort", and
projections, best ascent, side="inside" and results on a grid over our own rescale of the same p and rows.
"""


def measure(cells, seconds):
    """Return what is found in each cell, by name, and what it was found on."""
    found = {}
    about = machine(PACKAGES)
    for cell in cells:
        try:
            figures = measured(cell, seconds)
        except ImportError as error:
            print(f"{cell.name}: left out, {error}", file=sys.stderr)
            continue
        goals = cell.goals(figures)
        found[cell.name] = {"figures": figures, "goals": goals}
        print(f"{cell.name}: {in_words(found[cell.name])}", file=sys.stderr, flush=True)
    return {"machine": about, "seconds": seconds, "cells": found}


def number(value):
    """Show a figure with two digits, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def shown(figures, goals, name):
    """Show a figure and its goal, bold if it misses that; nothing where nothing was measured."""
    if name not in figures:
        return ""
    price = number(figures[name])
    if name not in goals:
        return price
    missed = figures[name] > goals[name]
    return f"{f'**{price}**' if missed else price} / {number(goals[name])}"


def in_words(cell):
    named = ((name, shown(cell["figures"], cell["goals"], name)) for name in cell["figures"])
    return ", ".join(f"{name} {text}" for name, text in named)


def table(found):
    """Lay out all cells as Markdown."""
    rows = []
    for name, cell in found["cells"].items():
        figures, ours = cell["figures"], cell["figures"].get("rescale", 0)
        is_faster = figures.get("one-liner", ours) < ours
        cells = [shown(figures, cell["goals"], function) for function in FUNCTIONS]
        wrong = number(figures["one-liner"]) if "one-liner" in figures else ""
        each = number(figures["ns"]) if "ns" in figures else ""
        rows.append([name, *cells, f"**{wrong}**" if is_faster else wrong, each])
    header = ["", *FUNCTIONS, "NumPy one-liner, inexact", "rescale, ns an element"]
    return f"""\
# The price of exactness

{found["machine"]} Medians of rounds in {found["seconds"]} s a cell.

{CAPTION}
![The table as a picture](../../docs/{PICTURE.name})

{markdown(header, rows)}"""


def draw(found, path):
    """Draw the figures as a heat map: cells down, functions across, white at 1, darker for what costs more."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure

    cells, columns = found["cells"], (*FUNCTIONS, "one-liner")
    prices = np.array(
        [[cell["figures"].get(name, np.nan) for name in columns] for cell in cells.values()]
    )
    with mpl.rc_context({"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "numba_car"}):
        figure = Figure((6.5, 1 + 0.2 * len(cells)), layout="constrained")
        axes = figure.subplots()
        scale = mpl.colors.LogNorm(1, 100, clip=True)
        axes.imshow(prices, mpl.colormaps["Blues"], norm=scale, aspect="auto")
        for row, cell in enumerate(cells.values()):
            for column, name in enumerate(columns):
                if name in cell["figures"]:
                    price = cell["figures"][name]
                    missed = price > cell["goals"].get(name, np.inf)
                    axes.text(
                        column,
                        row,
                        number(price),
                        ha="center",
                        va="center",
                        color="white" if price > 20 else "black",
                        weight="bold" if missed else "normal",
                    )
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(cells)), list(cells))
        axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
        axes.spines[:].set_visible(False)
        figure.savefig(path, metadata={"Date": None})


def write(found):
    """Write the figures, and what is made from them."""
    text = json.dumps(found, indent=1)
    (RESULTS / "landscape.json").write_text(text + "\n")
    (RESULTS / "landscape.md").write_text(table(found), encoding="utf-8")
    draw(found, PICTURE)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", default="", metavar="REGEX", help="only cells with such a name")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of rounds in each cell")
    parser.add_argument("--write", action="store_true", help="write the results and the picture")
    given = parser.parse_args(arguments)
    found = measure([cell for cell in CELLS if re.search(given.cells, cell.name)], given.seconds)
    if given.write:
        write(found)
    else:
        print(table(found))


if __name__ == "__main__":
    main()
