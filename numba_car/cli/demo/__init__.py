"""`numba-car demo`."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import numba_car as car
from numba_car.cli.demo.baseline import Images, Norms, reached, scale_then_clip
from numba_car.cli.failures import one_line_errors
from numba_car.cli.options import exponent

LEVELS = (0.05, 0.3, 0.5)
SIDE = 224
RUNS = 7


class Trial(NamedTuple):
    """One norm that is asked for, and what each way of rescaling makes of it."""

    level: float
    asked: float
    norms: dict[str, Norms]  # by way
    milliseconds: dict[str, float]
    saturated: int


def _milliseconds(*functions: Callable[[], object]) -> list[float]:
    """Return the median time of each function. Calls alternate, for equal loads of the machine."""
    seconds = np.empty((RUNS, len(functions)))
    for run in range(RUNS):
        for column, function in enumerate(functions):
            start = time.perf_counter()
            function()
            seconds[run, column] = time.perf_counter() - start
    return [float(median) for median in 1e3 * np.median(seconds, axis=0)]


def _trial(x: Images, delta: Images, level: float, p: float) -> Trial:
    """Return the norms and times of both ways, for a norm of `level` in each element."""
    eps = level * x[0].size ** (1 / p)
    ways: dict[str, Callable[[], Images]] = {
        "scale, then clip": lambda: scale_then_clip(x, delta, eps, p),
        "numba_car": lambda: car.rescale(x, delta, eps, p=p),
    }
    norms = {name: reached(x, way(), p) for name, way in ways.items()}
    milliseconds = dict(zip(ways, _milliseconds(*ways.values()), strict=True))
    saturated = int(np.sum(car.solve(x, delta, eps, p=p).saturated))
    return Trial(level, eps, norms, milliseconds, saturated)


def _digits(value: float) -> str:
    """Return a number with six digits."""
    return f"{value:#.6g}"


def _spread(norms: Norms) -> tuple[str, str, str]:
    """Return the smallest, mean and largest norm as text."""
    return _digits(norms.min()), _digits(norms.mean()), _digits(norms.max())


def _table(trials: list[Trial], reachable: Norms, p: float) -> Table:
    """Return the table that the demo prints."""
    rows = len(reachable)
    table = Table(box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column(f"L{p:g} norm")
    for heading in ("min", "mean", "max", "ms", "saturated"):
        table.add_column(heading, justify="right", no_wrap=True)
    power = "" if p == np.inf else f" n^{1 / p:.3g}"
    for trial in trials:
        asked = [_digits(trial.asked)] * 3
        table.add_row(f"asked: {trial.level:g}{power}", *asked, style="bold")
        for name, norms in trial.norms.items():
            saturated = f"{trial.saturated} of {rows}" if name == "numba_car" else ""
            table.add_row(name, *_spread(norms), f"{trial.milliseconds[name]:.1f}", saturated)
        table.add_section()
    table.add_row("largest reachable", *_spread(reachable))
    return table


def _png(ctx: click.Context, param: click.Parameter, path: Path) -> Path:
    """Return the path of a PNG file that can be written, or raise BadParameter."""
    if path.suffix.lower() != ".png":
        raise click.BadParameter(f"{str(path)!r} does not end in .png", ctx, param)
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise click.BadParameter(f"cannot write in the folder of {str(path)!r}", ctx, param)
    return path


@click.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default="numba-car-demo.png",
    callback=_png,
    help="Where the picture goes (PNG).",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of crops and noise.")
@click.option("--rows", type=click.IntRange(min=1), default=32, help="Crops in the batch.")
@click.option("--p", type=exponent(0.25, 20), default="2", help="The norm: 0.25 to 20, or inf.")
def demo(out: Path, seed: int, rows: int, p: float) -> None:
    """Compare numba_car with "scale, then clip" on noisy photographs.

    Needs matplotlib and scikit-image. Takes crops of the photographs that come with scikit-image
    and random noise, prints the norms that both ways reach, and draws a picture.
    """
    from numba_car._extras import extras_named

    with one_line_errors(traceback=False), extras_named("the demo"):
        from numba_car.cli.demo.picture import draw  # isort: skip - asks for matplotlib first
        from numba_car.cli.demo.photographs import crops
    from numba_car._cpu.threads import default_threads

    console = Console(highlight=False)
    rng = np.random.default_rng(seed)
    with console.status("Taking crops, compiling, measuring"):
        x = crops(rows, SIDE, rng)
        delta = rng.standard_normal(x.shape, dtype=np.float32)
        trials = [_trial(x, delta, level, p) for level in LEVELS]
        reachable = np.asarray(car.max_norm(x, delta, p=p), dtype=np.float64)
        draw(out, x[:2], delta[:2], trials[1].asked, p)
    console.print(_table(trials, reachable, p))
    console.print(
        f"Batch of {rows}: random crops of {SIDE} x {SIDE} x 3 (n = {x[0].size}), "
        f"Gaussian noise,\nbounds [0, 1]. "
        f"Norms: of the float32 results, in float64.\n"
        f"ms: median of {RUNS} runs in memory, NumPy on 1 thread, numba_car on {default_threads()}.",
        highlight=False,
        markup=False,
    )
    if any(trial.saturated for trial in trials):
        console.print(
            "Saturated: the row cannot reach that norm; numba_car takes it as far as it goes."
        )
    console.print(f"Picture: {out}", markup=False, soft_wrap=True)
