"""`numba-car rescale`: options around `numba_car.offline.rescale`."""

from __future__ import annotations

import math
from typing import Any

import click
from rich.console import Console

from numba_car.cli.failures import kept_interrupts, one_line_errors
from numba_car.cli.options import GroupedCommand, exponent, group
from numba_car.cli.progress import bar, table


def _number_or_file(text: str) -> float | str:
    """Return a float, or the text of what is not a number: the name of a file."""
    try:
        return float(text)
    except ValueError:
        return text


def _bound(text: str) -> float | str | None:
    """Return None for `none`, and otherwise a float or the name of a file."""
    return None if text.lower() == "none" else _number_or_file(text)


_EXAMPLES = """\b
Examples:
  numba-car rescale x.npy delta.npy --eps 8 -o v.npy
  numba-car rescale x.zarr --noise sign --eps 0.03 --p inf -o v.zarr --resume
"""
_files, _directions, _norm = group("Files"), group("Directions"), group("Norm")
_machine, _running = group("Machine"), group("Running")
_FILE = {"metavar": "FILE"}
_RANGE: dict[str, Any] = {"type": (float, float), "metavar": "LO HI"}
_INTEGERS = _RANGE | {"show_default": "all of X's dtype"}
_BOUNDS: dict[str, Any] = {"type": (_bound, _bound), "metavar": "LO HI", "default": ("0", "1")}
_SEED: dict[str, Any] = {"type": click.IntRange(min=0), "metavar": "N", "default": 0}
_P: dict[str, Any] = {"type": exponent(math.ulp(0.0), math.inf), "metavar": "P", "default": "2"}
_CPUS: dict[str, Any] = {"type": click.IntRange(min=1), "metavar": "N", "show_default": "all CPUs"}
_NOISE = click.Choice(["gaussian", "uniform", "laplace", "sign"])
_FLOAT = click.Choice(["float16", "float32", "float64"])
_DTYPE: dict[str, Any] = {"type": _FLOAT, "show_default": "that of X and DELTA"}


def _choice(*values: str) -> dict[str, Any]:
    """Return the settings of an option that is one of some values, the first by default."""
    return {"type": click.Choice(values), "default": values[0]}


@click.command(cls=GroupedCommand, epilog=_EXAMPLES)
@click.argument("x")
@click.argument("delta", required=False)
@_files("-o", "--out", required=True, **_FILE, help="The output, of a kind that X may have.")
@_files("--eta-out", **_FILE, help="A .npy file for the scale of each row.")
@_files("--report", **_FILE, help="A JSON file for the report.")
@_files("--plot", **_FILE, help="A PNG file: histograms of norms and etas.")
@_files("--dtype", **_DTYPE, help="The dtype to compute and write in.")
@_files("--input-range", **_INTEGERS, help="The integers that stand for the bounds.")
@_files("--round", is_flag=True, help="Write integers, of X's dtype.")
@_directions("--noise", type=_NOISE, help="Draw the directions, instead of DELTA.")
@_directions("--seed", **_SEED, help="The seed of --noise and --eps-uniform.")
@_norm("--eps", type=_number_or_file, metavar="EPS", help="The norm, or a file of one per row.")
@_norm("--eps-uniform", **_RANGE, help="Draw the norm of each row.")
@_norm("--p", **_P, help="The p of the norm: any number > 0, or inf.")
@_norm("--bounds", **_BOUNDS, help="Numbers, none, or files that broadcast to X.")
@_norm("--infeasible", **_choice("saturate", "nan", "raise"), help="For norms out of reach.")
@_norm("--nan", **_choice("keep", "fail"), help="For rows with NaN or infinite input.")
@_machine("--memory", default="2GiB", metavar="SIZE", help="What the process may take.")
@_machine("--num-threads", **_CPUS, help="Threads to compute on.")
@_machine("--device", **_choice("cpu", "cuda"), help="Where to compute.")
@_machine("--scheduler", metavar="ADDRESS", help="A Dask scheduler (OUT in Zarr), or local.")
@_machine("--workers", **_CPUS, help="Processes of --scheduler local.")
@_running("--resume", is_flag=True, help="Go on where a run stopped; succeed if it is complete.")
@_running("--force", is_flag=True, help="Replace OUT, and discard a run that stopped.")
@_running("--traceback", is_flag=True, help="Show where an error comes from.")
def rescale(traceback: bool, **options: Any) -> None:
    """Rescale every row of a file to an exact norm inside the bounds.

    X holds the rows, along its first axis, and DELTA their directions. A file is a .npy, a .zarr (a
    folder or any URL) or a dataset in HDF5, as in file.h5:/dataset. The output gets its name when it
    is complete. Until then OUT.partial keeps the finished rows, for --resume.
    """
    with one_line_errors(traceback), kept_interrupts() as check_interrupt:
        from numba_car import offline

        with bar(Console(stderr=True)) as show:

            def progress(done: int, total: int, row: int) -> None:
                check_interrupt()
                show(done, total, row)

            report = offline.rescale(progress=progress, **options)
    Console().print(table(report), highlight=False, markup=False)
