"""The picture that `numba-car demo` saves."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.style import context

import numba_car as car
from numba_car.cli.demo.baseline import Images, reached, scale_then_clip

CLIPPED = "#D55E00"
EXACT = "#0072B2"
GREY = "#595959"
STYLE = {
    "font.size": 16,
    "axes.titlesize": 17,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2.5,
}
POINTS = 27


def _draw_photographs(figure: Figure, x: Images, delta: Images, eps: float, p: float) -> None:
    """Draw each photograph, and what both ways make of it."""
    grid = figure.add_gridspec(
        len(x), 3, left=0.006, right=0.59, bottom=0.025, top=0.805, wspace=0.03, hspace=0.14
    )
    columns = (
        ("photograph", x, "black"),
        ("scale, then clip", scale_then_clip(x, delta, eps, p), CLIPPED),
        ("numba_car", np.asarray(car.rescale(x, delta, eps, p=p)), EXACT),
    )
    for column, (name, images, color) in enumerate(columns):
        norms = reached(x, images, p)
        for row, image in enumerate(images):
            ax = figure.add_subplot(grid[row, column])
            ax.imshow(image, interpolation="nearest")
            ax.set_axis_off()
            heading: dict[str, Any] = {"color": color, "ha": "center", "transform": ax.transAxes}
            if images is not x:
                ax.text(0.5, 1.025, f"norm {norms[row]:#.6g}", **heading)
            if row == 0:
                ax.text(0.5, 1.13, name, fontsize=21, fontweight="bold", **heading)


def _draw_curves(ax: Axes, x: Images, delta: Images, p: float) -> None:
    """Draw the norm that both ways reach against the norm asked for."""
    largest = float(car.max_norm(x, delta, p=p)[0])
    asked = np.linspace(0, 1.3 * largest, POINTS)
    batch = np.broadcast_to(x, (POINTS, *x.shape[1:]))
    clipped = reached(batch, scale_then_clip(batch, delta, asked, p), p)
    exact = reached(batch, np.asarray(car.rescale(batch, delta, asked, p=p)), p)

    ax.axhline(largest, color=GREY, linewidth=1.3, linestyle="--")
    ax.plot(asked, clipped, color=CLIPPED, marker="s", markersize=6, clip_on=False)
    ax.plot(asked, exact, color=EXACT, marker="o", markersize=7, clip_on=False)
    ax.text(0.03 * largest, 1.02 * largest, f"largest norm in reach, R = {largest:.4g}", color=GREY)
    label: dict[str, Any] = {"fontsize": 18, "fontweight": "bold"}
    ax.text(0.66 * largest, 0.74 * largest, "numba_car", color=EXACT, ha="right", **label)
    below = np.interp(0.72 * largest, asked, clipped) - 0.03 * largest
    ax.text(0.75 * largest, below, "scale, then clip", color=CLIPPED, va="top", **label)
    ax.set_title("the first photograph, at every norm", pad=14)
    ax.set_xlabel("norm asked for")
    ax.set_ylabel("norm reached")
    ax.set_xlim(0, 1.3 * largest)
    ax.set_ylim(0, 1.1 * largest)
    ax.ticklabel_format(scilimits=(-4, 5))


def draw(out: Path, x: Images, delta: Images, eps: float, p: float) -> None:
    """Write a PNG file: the rows of x at norm eps, and for row 0 the norms reached and asked for."""
    with context(["default", STYLE]):
        figure = Figure(figsize=(16, 2.8 + 2.4 * len(x)), dpi=100)
        norm = r"$L_\infty$" if p == np.inf else f"$L_{{{p:g}}}$"
        figure.suptitle(
            f"Noise that was asked to have an {norm} norm of {eps:#.6g}, inside [0, 1]",
            x=0.018,
            y=0.975,
            ha="left",
            fontsize=23,
        )
        _draw_photographs(figure, x, delta, eps, p)
        curves = figure.add_axes((0.665, 0.1, 0.315, 0.705))
        _draw_curves(curves, x[:1], delta[:1], p)
        figure.savefig(out, format="png")
