"""Time per element against the length of a row: peers, floors and ours."""

import numpy as np

from .suites.common import floors
from .suites.common.calls import ready
from .suites.common.data import batch
from .suites.common.peers import PEERS, QUICK_PEERS, peer
from .suites.common.timing import medians

OURS = {  # and the floors
    "numba_car.eta": lambda made: ready("eta", made),
    "numba_car.rescale": lambda made: ready("rescale", made),
    "floor of eta: read": floors.read,
    "floor of rescale: fused": floors.fused,
}
STYLES = {
    "numba_car.eta": {"color": "#0b5fa5", "linewidth": 2.5},
    "numba_car.rescale": {"color": "#4fa3e0", "linewidth": 2.5},
    "floor of eta: read": {"color": "#666666", "linestyle": "--"},
    "floor of rescale: fused": {"color": "#aaaaaa", "linestyle": "--"},
}
PEER_COLORS = ("#d1495b", "#edae49", "#7b4ea3", "#2e8b57", "#8c564b", "#e377c2")


def lengths(quick):
    steps = np.arange(1, 6.5, 2.5) if quick else np.arange(1, 7.25, 0.5)
    return [int(n) for n in np.round(10**steps)]


def measure(quick):
    """Return the nanoseconds per element of each candidate at each length, NaN where it is absent."""
    ours, theirs, runs = (2**21, 2**17, 1) if quick else (2**23, 2**19, 3)
    found = {name: [] for name in (*OURS, *PEERS)}
    for n in lengths(quick):
        many, few = (batch((max(1, size // n), n)) for size in (ours, theirs))
        calls = {name: build(many) for name, build in OURS.items()}
        times = medians(list(calls.values()), 3 * runs) / many.x.size
        for name, seconds in zip(calls, times, strict=True):
            found[name].append(1e9 * seconds)
        for name in PEERS:
            problem = many if name in QUICK_PEERS else few
            call = peer(name, problem)
            seconds = medians([call], runs)[0] if call else np.nan
            found[name].append(1e9 * seconds / problem.x.size)
    return found


def draw(path, quick):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    styles = STYLES | {
        name: {"color": color} for name, color in zip(PEERS, PEER_COLORS, strict=True)
    }
    for name, each in measure(quick).items():
        if not np.isnan(each).all():
            axes.plot(lengths(quick), each, marker=".", label=name, **styles[name])
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="elements in a row, n",
        ylabel="ns per element",
        title=f"float32, p = 2, ε = 0.3 √n, {floors.threads()} cores",
    )
    axes.grid(visible=True, which="major", color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
    # The entries in the order of their lines, the slowest first.
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(handles)), key=lambda i: -handles[i].get_ydata()[-1])
    axes.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        frameon=False,
    )
    figure.savefig(path, dpi=150)
