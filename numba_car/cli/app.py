"""The `numba-car` group, which every subcommand is registered on."""

from typing import Any

import click

import numba_car as car
from numba_car.cli.demo import demo
from numba_car.cli.failures import Stopped
from numba_car.cli.info import info
from numba_car.cli.rescale import rescale
from numba_car.cli.warmup import warmup


class _Group(click.Group):
    """A group whose commands exit with the status of an interrupt after Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped("stopped") from None


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(car.__version__, prog_name="numba-car")
def app() -> None:
    """Make perturbations of an exact size that stay inside their bounds.

    Noise that is scaled to a size, added to data and clipped to the allowed range ends up smaller than
    it was meant to be. numba_car scales it so that it has exactly that size after clipping.
    """


app.add_command(demo)
app.add_command(info)
app.add_command(rescale)
app.add_command(warmup)
