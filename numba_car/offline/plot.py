"""Histograms of the achieved norms and of eta, as PNG."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from numba_car.offline.journal import replace_file
from numba_car.offline.state import State

_BINS = 60


def draw(path: Path, state: State, p: float) -> None:
    """Write a PNG file with histograms of the achieved norms and of eta."""
    figure = Figure(figsize=(10, 3.6), dpi=100, layout="constrained")
    title = r"achieved $L_\infty$ norm" if p == np.inf else f"achieved $L_{{{p:g}}}$ norm"
    for place, (field, label) in enumerate({"norm": title, "eta": r"$\eta$"}.items(), start=1):
        axes = figure.add_subplot(1, 2, place)
        values = state.every(field)
        values = values[np.isfinite(values)]
        spread = np.ptp(values) if values.size else 0.0
        middle = values.mean() if values.size else 0.0
        margin, is_constant = max(1e-5 * abs(middle), 1e-12), spread <= 1e-5 * abs(middle)
        around = (middle - margin, middle + margin)  # differences by rounding stay in one bar
        axes.hist(values, bins=_BINS, range=around if is_constant else None, color="#0072B2")
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.tick_params(axis="x", labelrotation=20)
        axes.set_xlabel(label)
        axes.set_ylabel("rows")
        axes.spines[["top", "right"]].set_visible(False)
    replace_file(path, lambda file: figure.savefig(file, format="png"))
