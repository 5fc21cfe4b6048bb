"""`numba-car rescale`: options around `numba_car.offline.rescale`."""

from __future__ import annotations

import math
from typing import Any

import click
from rich.console import Console

from numba_car.cli.failures import kept_interrupts, one_line_errors
from numba_car.cli.options import GroupedCommand, exponent, group
from numba_car.cli.table import table


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
  numba-car rescale photos.npy --noise gaussian --eps 30 -o noisy.npy
  numba-car rescale x.npy delta.npy --eps eps.npy --eta-out eta.npy -o v.npy
  numba-car rescale x.zarr --noise sign --eps 0.03 --p inf -o v.zarr --resume
"""
_files = group("Files")
_norm = group("Size of the perturbation: --eps, --eps-uniform or --snr-db is required")
_directions = group("Directions: the file DELTA or --noise is required")
_machine, _running = group("Machine"), group("Running")
_FILE = {"metavar": "FILE"}
_RANGE: dict[str, Any] = {"type": (float, float), "metavar": "LO HI"}
_INTEGERS = _RANGE | {"show_default": "all integers of X's dtype"}
_BOUNDS: dict[str, Any] = {"type": (_bound, _bound), "metavar": "LO HI", "default": ("0", "1")}
_SEED: dict[str, Any] = {"type": click.IntRange(min=0), "metavar": "N", "default": 0}
_P: dict[str, Any] = {"type": exponent(math.ulp(0.0), math.inf), "metavar": "P", "default": "2"}
_CPUS: dict[str, Any] = {"type": click.IntRange(min=1), "metavar": "N", "show_default": "all CPUs"}
_NOISE = click.Choice(["gaussian", "uniform", "laplace", "sign"])
_FLOAT = click.Choice(["float16", "float32", "float64"])
_DTYPE: dict[str, Any] = {
    "type": _FLOAT,
    "show_default": "that of X and DELTA; float32 for integers",
}


def _choice(*values: str) -> dict[str, Any]:
    """Return the settings of an option that is one of some values, the first by default."""
    return {"type": click.Choice(values), "default": values[0]}


@click.command(cls=GroupedCommand, epilog=_EXAMPLES)
@click.argument("x")
@click.argument("delta", required=False)
@_files("-o", "--out", required=True, **_FILE, help="The file to write, of any kind that X may be.")
@_files(
    "--eta-out",
    **_FILE,
    help="Write the factor by which each direction was scaled to this .npy file.",
)
@_files("--report", **_FILE, help="Write what was achieved to this JSON file.")
@_files(
    "--plot",
    **_FILE,
    help="Draw histograms of the achieved norms and the factors to this PNG file.",
)
@_files("--dtype", **_DTYPE, help="Compute and write in this dtype.")
@_files(
    "--input-range",
    **_INTEGERS,
    help="The integers of X that are scaled to the lower and the upper bound.",
)
@_files("--round", is_flag=True, help="Write integers, of the dtype of X.")
@_directions("--noise", type=_NOISE, help="Draw random directions.")
@_directions("--seed", **_SEED, help="The seed of everything random.")
@_norm(
    "--eps",
    type=_number_or_file,
    metavar="EPS",
    help="The norm that the change of each row gets: a number, or a file with one number for "
    "each row. It is in the units of --bounds. Integers are scaled to the bounds first: "
    "with the default bounds, 255 in 8-bit images counts as 1, and with --bounds 0 255 "
    "as 255.",
)
@_norm("--eps-uniform", **_RANGE, help="Draw the norm of each row from this range.")
@_norm(
    "--snr-db",
    type=float,
    metavar="DB",
    help="Let the norm be so many decibels below that of the row itself, in the numbers of the "
    "file: the signal-to-noise ratio.",
)
@_norm(
    "--p",
    **_P,
    help="Which norm: 2 for the length, inf for the largest change, or any number above 0.",
)
@_norm(
    "--bounds",
    **_BOUNDS,
    help="The range that results stay in, and that X must lie in. Each is a number, none, or "
    "a file that broadcasts to X.",
)
@_norm(
    "--infeasible",
    **_choice("saturate", "nan", "raise"),
    help="What becomes of rows that cannot reach their norm inside the bounds: they go as "
    "far as they can, become NaN, or end the run.",
)
@_norm(
    "--nan",
    **_choice("keep", "fail"),
    help="Whether rows with NaN or infinite input become NaN or end the run.",
)
@_machine("--memory", default="2GiB", metavar="SIZE", help="How much memory the process may take.")
@_machine("--num-threads", **_CPUS, help="How many threads to compute on.")
@_machine(
    "--device",
    **_choice("cpu", "cuda"),
    help="Where to compute: on the CPU, or on an NVIDIA GPU.",
)
@_machine(
    "--scheduler",
    metavar="ADDRESS",
    help="Compute on a Dask cluster: the address of its scheduler, or local for processes on "
    "this machine. The output must be a Zarr array.",
)
@_machine("--workers", **_CPUS, help="How many processes --scheduler local starts.")
@_running(
    "--resume",
    is_flag=True,
    help="Go on where a run was stopped, or begin one; a run that is complete counts as success.",
)
@_running(
    "--force",
    is_flag=True,
    help="Replace the output if it exists, and discard a run that was stopped.",
)
@_running("--traceback", is_flag=True, help="Show where in the program an error comes from.")
def rescale(traceback: bool, **options: Any) -> None:
    """Change every row of a file by a perturbation of an exact norm, inside bounds.

    X holds the rows, along its first axis: images, for example. DELTA holds a direction for each.
    The output is X plus the direction, scaled so that what is left of it after clipping to the bounds
    has the norm EPS.

    Files are NumPy's .npy, Zarr (a folder x.zarr or any URL) or a dataset in HDF5 (file.h5:/dataset).
    The output gets its name when it is complete. Until then the folder OUT.partial keeps the finished
    rows, for --resume.
    """
    with one_line_errors(traceback), kept_interrupts() as check_interrupt:
        from numba_car import offline
        from numba_car.offline.bar import bar

        with bar() as show:

            def progress(done: int, total: int, row: int) -> None:
                check_interrupt()
                show(done, total, row)

            report = offline.rescale(progress=progress, **options)
    Console().print(table(report), highlight=False, markup=False)
