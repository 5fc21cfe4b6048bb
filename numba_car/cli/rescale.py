"""`numba-car rescale`: options around `numba_car.offline.rescale`, and no logic of its own."""

from __future__ import annotations

import math
from typing import Any

import click
from rich.console import Console

from numba_car.cli.failures import kept_interrupts, one_line_errors, require
from numba_car.cli.options import GroupedCommand, exponent, in_group
from numba_car.cli.progress import bar, table


class _NumberOrFile(click.ParamType):  # type: ignore[type-arg]
    name = "number or file"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ARG002
        """Take what is no number for a file."""
        try:
            return float(value)
        except ValueError:
            return value


class _Bound(_NumberOrFile):
    name = "number, none or file"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Take `none` for no bound."""
        return None if str(value).lower() == "none" else super().convert(value, param, ctx)


_EXAMPLES = """\b
Examples:
  numba-car rescale x.npy delta.npy --eps 8 -o v.npy
  numba-car rescale x.zarr --noise sign --eps 0.03 --p inf -o v.zarr --resume
"""


@click.command(cls=GroupedCommand, epilog=_EXAMPLES)
@click.argument("x")
@click.argument("delta", required=False)
@in_group(
    "Files",
    "-o",
    "--out",
    required=True,
    metavar="FILE",
    help="The result. Its end tells its kind, as for X.",
)
@in_group("Files", "--eta-out", metavar="FILE", help="A .npy file for the scale of each row.")
@in_group("Files", "--report", metavar="FILE", help="A JSON file for all there is to say.")
@in_group("Files", "--plot", metavar="FILE", help="A PNG file: histograms of norms and etas.")
@in_group(
    "Files",
    "--dtype",
    type=click.Choice(["float16", "float32", "float64"]),
    help="What to compute and write in.",
    show_default="that of X and DELTA",
)
@in_group(
    "Files",
    "--input-range",
    type=(float, float),
    metavar="LO HI",
    help="The integers that are the bounds.",
    show_default="all of X's dtype",
)
@in_group("Files", "--round", is_flag=True, help="Write integers, as X has.")
@in_group(
    "Directions",
    "--noise",
    type=click.Choice(["gaussian", "uniform", "laplace", "sign"]),
    help="Draw them, instead of DELTA.",
)
@in_group(
    "Directions",
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Of --noise and --eps-uniform.",
)
@in_group(
    "Norm",
    "--eps",
    type=_NumberOrFile(),
    metavar="EPS",
    help="The norm asked for, or a file of one per row.",
)
@in_group(
    "Norm", "--eps-uniform", type=(float, float), metavar="LO HI", help="Draw it for each row."
)
@in_group(
    "Norm",
    "--p",
    type=exponent(math.ulp(0.0), math.inf),
    default="2",
    metavar="P",
    help="The norm: any number > 0, or inf.",
)
@in_group(
    "Norm",
    "--bounds",
    type=(_Bound(), _Bound()),
    default=("0", "1"),
    metavar="LO HI",
    help="The box: numbers, none, or files that broadcast to X.",
)
@in_group(
    "Norm",
    "--infeasible",
    type=click.Choice(["saturate", "nan", "raise"]),
    default="saturate",
    help="For a norm out of a row's reach.",
)
@in_group(
    "Norm",
    "--nan",
    type=click.Choice(["keep", "fail"]),
    default="keep",
    help="For rows with NaN or infinite input.",
)
@in_group("Machine", "--memory", default="2GiB", metavar="SIZE", help="What the process may take.")
@in_group(
    "Machine",
    "--num-threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads to compute on.",
    show_default="all CPUs",
)
@in_group(
    "Machine",
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    help="Where to compute.",
)
@in_group(
    "Machine",
    "--scheduler",
    metavar="ADDRESS",
    help="A Dask scheduler, for OUT in Zarr; local: processes here.",
)
@in_group(
    "Machine",
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes of --scheduler local.",
    show_default="all CPUs",
)
@in_group("Running", "--resume", is_flag=True, help="Go on where a run stopped, if one did.")
@in_group("Running", "--force", is_flag=True, help="Replace OUT, and what is left of a run.")
@in_group("Running", "--traceback", is_flag=True, help="Show where an error comes from.")
def rescale(traceback: bool, **options: Any) -> None:
    """Put every row of a file at its exact norm inside the box.

    X holds the rows, along its first axis, and DELTA their directions. A file is a .npy, a .zarr (a
    folder or any URL) or a dataset in HDF5, as in file.h5:/dataset. The result has its name once it
    is complete. Until then OUT.partial keeps what is done, for --resume.
    """
    if options["plot"]:
        require("demo", "matplotlib")
    with one_line_errors(traceback), kept_interrupts() as check_interrupt:
        from numba_car import offline

        with bar(Console(stderr=True)) as show:

            def progress(done: int, total: int, row: int) -> None:
                check_interrupt()
                show(done, total, row)

            report = offline.rescale(progress=progress, **options)
    Console().print(table(report), highlight=False, markup=False)
