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


def _histogram(axes: Axes, values: Array) -> None:
    """Draw a histogram of the finite values; values that differ by rounding stay in one bar."""
    values = values[np.isfinite(values)]
    spread = np.ptp(values) if values.size else 0.0
    middle = values.mean() if values.size else 0.0
    margin, is_constant = max(1e-5 * abs(middle), 1e-12), spread <= 1e-5 * abs(middle)
    around = (middle - margin, middle + margin)
    axes.hist(values, bins=_BINS, range=around if is_constant else None, color="#0072B2")
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.tick_params(axis="x", labelrotation=20)
    axes.set_ylabel("rows")
    axes.spines[["top", "right"]].set_visible(False)


def _mark_eps(axes: Axes, eps: Array) -> None:
    """Mark the norm that was asked for: a line, or the histogram of norms that differ by row."""
    if eps.size and eps.min() == eps.max():
        axes.axvline(eps[0], color=_ASKED, linestyle="--", label=f"asked for: {eps[0]:.7g}")
    elif eps.size:
        style: dict[str, Any] = {"histtype": "step", "color": _ASKED, "linestyle": "--"}
        axes.hist(eps, bins=_BINS, label="asked for", **style)
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
    _histogram(left, norm)
    _mark_eps(left, eps)
    left.set_title("Achieved norms")
    left.set_xlabel(f"$L_{{{order}}}$ norm" + (" after rounding" if settings.round else ""))
    _histogram(right, every("eta"))
    right.set_title("Scales")
    right.set_xlabel(r"$\eta$")
    replace_file(path, lambda file: figure.savefig(file, format="png"))
