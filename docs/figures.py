"""The figures of the pages, computed by the library: ``python docs/figures.py`` draws them all."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import numba_car as car

PLAIN, EXACT, GREY = "#d55e00", "#0072b2", "#707070"  # as in `numba-car demo`
STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 11,
    "lines.linewidth": 2,
    "svg.hashsalt": "numba_car",
}

# A row of five elements inside [0, 1], and the norm that it is to move by.
X = np.array([0.85, 0.65, 0.4, 0.5, 0.4])
DELTA = np.array([0.5, 0.7, -0.55, 0.55, 0.5])
EPS = 0.85


def new(width=6.4, height=3.8):
    figure = Figure((width, height), layout="constrained")
    return figure, figure.subplots()


def norms(etas, p=2):
    """Return N(eta) by its definition, for each eta."""
    return np.linalg.norm(np.clip(X + np.multiply.outer(etas, DELTA), 0, 1) - X, p, axis=-1)


def sums(t):
    """Return G(t) for p = 2."""
    return norms(np.sqrt(t)) ** 2


def breakpoints():
    """Return where each element meets its bound."""
    return np.where(DELTA > 0, 1 - X, X) / np.abs(DELTA)


def draw_path():
    """Draw where x goes in a box of two elements, and where both ways stop."""
    figure, axes = new(5.2, 5.2)
    x, delta, eps = np.array([0.6, 0.35]), np.array([1.0, 0.55]), 0.55
    path = np.clip(x + np.linspace(0, 2, 400)[:, None] * delta, 0, 1)
    angle = np.linspace(0, 2 * np.pi, 400)
    scaled = x + eps / np.linalg.norm(delta) * delta
    clipped, v = np.clip(scaled, 0, 1), car.rescale(x, delta, eps)
    axes.add_patch(mpl.patches.Rectangle((0, 0), 1, 1, fill=False, lw=1.5))
    axes.plot(x[0] + eps * np.cos(angle), x[1] + eps * np.sin(angle), ":", color=GREY, lw=1.5)
    axes.plot(*path.T, color=EXACT, alpha=0.35, lw=5, solid_capstyle="round")
    axes.plot(*np.transpose([x, scaled, clipped]), "--", color=PLAIN, lw=1.5)
    axes.plot(*x, "ko")
    axes.plot(*clipped, "s", color=PLAIN, ms=8)
    axes.plot(*v, "o", color=EXACT, ms=9)
    label = {"xytext": (-8, 8), "textcoords": "offset points", "ha": "right"}
    label["bbox"] = {"color": "white", "pad": 0}
    axes.annotate("x", x, **label)
    short = np.linalg.norm(clipped - x)
    axes.annotate(f"scale, then clip:\n{short:.2f} from x", clipped, color=PLAIN, **label)
    axes.annotate(f"car.rescale:\n{np.linalg.norm(v - x):.2f} from x", v, color=EXACT, **label)
    axes.text(x[0], x[1] - eps - 0.08, f"at distance ε = {eps}", color=GREY, ha="center")
    axes.set(xlim=(-0.06, 1.3), ylim=(-0.32, 1.1), aspect="equal", xticks=[0, 1], yticks=[0, 1])
    axes.set(xlabel="first element", ylabel="second element")
    return figure


def draw_norm():
    """Draw N(eta) for several p."""
    figure, axes = new()
    etas = np.linspace(0, 1.6, 700)
    for p, color in ((1, PLAIN), (2, EXACT), (np.inf, "#009e73")):
        eps = 0.6 * car.max_norm(X, DELTA, p=p)
        eta = car.eta(X, DELTA, eps, p=p)
        axes.plot(etas, norms(etas, p=p), color=color, label="p = ∞" if p == np.inf else f"p = {p}")
        axes.plot([0, eta, eta], [eps, eps, 0], color=color, lw=1, ls="--")
        axes.plot(eta, eps, "o", color=color)
    axes.vlines(breakpoints(), 0, 0.05, color=GREY, lw=1.5)
    axes.set(xlabel="η", ylabel="N(η)", xlim=(0, 1.6), ylim=(0, None))
    axes.legend(frameon=False, loc="lower right")
    return figure


def draw_sums():
    """Draw G(t) for p = 2, its breakpoints, and its root."""
    figure, axes = new()
    ends, root = np.sort(breakpoints()) ** 2, car.eta(X, DELTA, EPS) ** 2
    knots = np.concatenate([[0], ends, [1.15 * ends[-1]]])
    axes.plot(knots, sums(knots), color=EXACT)
    axes.plot(ends, sums(ends), "o", color="white", mec=EXACT, mew=2, ms=8)
    most = car.max_norm(X, DELTA) ** 2
    for height, label in ((EPS**2, "ε²"), (most, "R²")):
        axes.axhline(height, color=GREY, lw=1, ls="--")
        axes.text(knots[-1], height, label, color=GREY, va="bottom", ha="right")
    axes.vlines(root, 0, EPS**2, color=PLAIN, lw=1, ls="--")
    axes.plot(root, EPS**2, "o", color=PLAIN, ms=9)
    axes.annotate("t* = η²", (root, 0), (6, 6), textcoords="offset points", color=PLAIN)
    axes.set(xlabel="t = η²", ylabel="G(t)", xlim=(0, knots[-1]), ylim=(0, 1.15 * most))
    return figure


def draw_newton():
    """Draw Newton's method on G from t = 0: each tangent gives the next t."""
    figure, axes = new()
    last = np.max(breakpoints()) ** 2
    grid = np.linspace(0, 1.1 * last, 2000)
    axes.plot(grid, sums(grid), color=EXACT)
    axes.axhline(EPS**2, color=GREY, lw=1, ls="--")
    axes.text(1.1 * last, EPS**2, "ε²", color=GREY, va="bottom", ha="right")
    t, number, root = 0.0, 0, car.eta(X, DELTA, EPS) ** 2
    while not np.isclose(t, root, rtol=1e-12):
        height, slope = sums(t), np.sum(DELTA[np.sqrt(t) < breakpoints()] ** 2)
        following = t + (EPS**2 - height) / slope
        axes.plot([t, following], [height, EPS**2], color=PLAIN, lw=1.5)
        t, number = following, number + 1
        point = t, sums(t)
        axes.vlines(t, point[1], EPS**2, color=PLAIN, lw=1, ls=":")
        axes.plot(*point, "o", color=PLAIN)
        axes.annotate(f"$t_{number}$", point, (4, -14), textcoords="offset points", color=PLAIN)
    axes.set(xlabel="t = η²", ylabel="G(t)", xlim=(0, 1.1 * last), ylim=(0, 1.35 * EPS**2))
    return figure


def draw_kinks():
    """Draw eta and its derivative by eps: it jumps at breakpoints, and stays finite."""
    figure = Figure((6.4, 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    most = car.max_norm(X, DELTA)
    eps = np.linspace(0, 1.15 * most, 1500)
    rows = np.broadcast_to(X, (len(eps), len(X)))
    above.plot(eps, car.eta(rows, DELTA, eps), color=EXACT)
    slopes = car.eta_vjp(rows, DELTA, eps, 1.0).eps
    jumps = np.abs(np.diff(slopes, append=slopes[-1])) > 0.05
    below.plot(eps, np.where(jumps, np.nan, slopes), color=EXACT)
    for axes in (above, below):
        axes.axvline(most, color=GREY, lw=1, ls="--")
        for kink in norms(breakpoints()):
            axes.axvline(kink, color=GREY, lw=0.5)
    above.text(most, 0, " R", color=GREY)
    above.set(ylabel="η", ylim=(0, None))
    below.set(xlabel="ε", ylabel="dη/dε", xlim=(0, eps[-1]))
    return figure


FIGURES = {
    "path": draw_path,
    "norm": draw_norm,
    "sums": draw_sums,
    "newton": draw_newton,
    "kinks": draw_kinks,
}


def draw(folder):
    """Draw all figures into a folder, as SVG."""
    folder.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, figure in FIGURES.items():
            figure().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(__file__).parent / "figures")
