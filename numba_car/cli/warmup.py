"""`numba-car warmup`."""

import math
import time
from collections.abc import Callable
from functools import partial

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

import numba_car as car
from numba_car.cli.options import exponent


def _calls(p: float, dtype: str) -> list[Callable[[], object]]:
    """Return calls that together compile the usual kernels of a norm and a dtype."""
    x = np.full((2, 8), 0.5, dtype)
    delta = np.linspace(-1, 1, x.size, dtype=dtype).reshape(x.shape)
    eps = np.array([0.3, 1e30])  # in reach and beyond: saturated rows have a kernel of their own
    calls: list[Callable[[], object]] = []
    for bounds in ((0.0, 1.0), (np.zeros_like(x), np.ones_like(x))):
        calls.append(partial(car.max_norm, x, delta, p=p, bounds=bounds))
        for method in ("newton", "sort"):
            for function in (car.eta, car.rescale, car.solve):
                calls.append(partial(function, x, delta, eps, p=p, bounds=bounds, method=method))
    return calls


@click.command()
@click.option(
    "--p",
    "ps",
    type=exponent(math.ulp(0.0), math.inf),
    multiple=True,
    default=("1", "2", "3", "inf"),
    help="A norm to compile for; may be repeated.",
)
@click.option(
    "--dtype",
    "dtypes",
    type=click.Choice(["float32", "float64"]),
    multiple=True,
    default=("float32", "float64"),
    help="A dtype to compile for; may be repeated.",
)
def warmup(ps: tuple[float, ...], dtypes: tuple[str, ...]) -> None:
    """Compile the usual functions and cache them.

    Later processes then start without compiling, as long as the cache folder is theirs too.
    """
    from numba_car._jit import cache_folder

    console = Console()
    start = time.perf_counter()
    plan = {(p, dtype): _calls(p, dtype) for p in ps for dtype in dtypes}
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=sum(map(len, plan.values())))
        for (p, dtype), calls in plan.items():
            progress.update(task, description=f"p = {p:g}, {dtype}")
            for call in calls:
                call()
                progress.advance(task)
    seconds = time.perf_counter() - start
    folder = cache_folder()
    kept = f"kept in {folder}" if folder else "not kept: caching is off or impossible here"
    console.print(
        f"Ready in {seconds:.1f} s; compiled code is {kept}.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
