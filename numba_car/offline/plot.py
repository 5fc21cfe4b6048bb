"""Histograms of the achieved norms and of eta, as PNG."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from numba_car._layout import Array
from numba_car.offline.files import replace_file
from numba_car.offline.report import deviations
from numba_car.offline.settings import Settings

_BINS = 60
_ASKED = "#D55E00"


def _edges(values: Array) -> Array:
    """Return the edges of bars for finite values; those that differ by rounding get one bar."""
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    if high - low <= 1e-5 * abs(high):
        margin = max(1e-5 * abs(high), 1e-12)
        low, high = low - margin, high + margin
    return np.linspace(low, high, _BINS + 1)


def _histogram(axes: Axes, values: Array, edges: Array) -> None:
    """Draw a histogram of the finite values."""
    axes.hist(values[np.isfinite(values)], bins=edges.tolist(), color="#0072B2")
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.tick_params(axis="x", labelrotation=20)
    axes.set_ylabel("rows")
    axes.spines[["top", "right"]].set_visible(False)


def _mark_eps(axes: Axes, eps: Array, edges: Array) -> None:
    """Mark the norm that was asked for: a line, or the histogram of norms that differ by row."""
    style: dict[str, Any] = {"color": _ASKED, "linestyle": "--"}
    if eps.min() == eps.max():
        axes.axvline(eps[0], label=f"asked for: {eps[0]:.7g}", **style)
    else:
        axes.hist(eps, bins=edges.tolist(), histtype="step", label="asked for", **style)
    axes.legend(frameon=False)


def draw(path: Path, every: Callable[[str], Array], settings: Settings) -> None:
    """Write a PNG file, from a function that returns a field of the records of all rows."""
    norm, eps, saturated = every("norm"), every("eps"), every("saturated") > 0
    figure = Figure(figsize=(10, 4.2), dpi=100, layout="constrained")
    off = deviations(norm, eps, saturated)
    largest = f"{np.nanmax(off):.2g}" if np.isfinite(off).any() else "-"
    figure.suptitle(
        f"{norm.size:,} rows, {saturated.sum():,} saturated, {np.isnan(norm).sum():,} NaN; "
        f"largest |norm/eps - 1| of the others: {largest}"
    )
    left, right = figure.subplots(1, 2)
    order = r"\infty" if settings.p == np.inf else f"{settings.p:g}"
    is_by_row = eps.size and eps.min() < eps.max()
    edges = _edges(np.append(norm, eps) if is_by_row else norm)
    _histogram(left, norm, edges)
    if eps.size:
        _mark_eps(left, eps, edges)
    left.set_title("Achieved norms")
    left.set_xlabel(f"$L_{{{order}}}$ norm" + (" after rounding" if settings.round else ""))
    eta = every("eta")
    _histogram(right, eta, _edges(eta))
    right.set_title("Scales")
    right.set_xlabel(r"$\eta$")
    replace_file(path, lambda file: figure.savefig(file, format="png"))
