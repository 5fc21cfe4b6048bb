"""The `numba-car` group, which every subcommand is registered on."""

import click

import numba_car as car
from numba_car.cli.demo import demo
from numba_car.cli.info import info
from numba_car.cli.rescale import rescale
from numba_car.cli.warmup import warmup


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(car.__version__, prog_name="numba-car")
def app() -> None:
    """Perturbations of an exact norm, inside their bounds.

    numba_car finds, for each row, the eta for which clip(x + eta * delta) lies exactly as far
    from x as was asked for.
    """


app.add_command(demo)
app.add_command(info)
app.add_command(rescale)
app.add_command(warmup)
