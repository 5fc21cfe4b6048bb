"""Options of a command: in groups with a heading in `--help`, and the type of p."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import click


class _GroupedOption(click.Option):
    """An option with a group. `--help` shows its default, if it has one that is no flag's."""

    def __init__(self, *args: Any, group: str, **settings: Any) -> None:
        self.group = group
        settings.setdefault("show_default", "default" in settings)
        super().__init__(*args, **settings)


def group(name: str) -> Callable[..., Callable[[Any], Any]]:
    """Return `click.option` for options of a group."""
    return partial(click.option, cls=_GroupedOption, group=name)


class GroupedCommand(click.Command):
    """A command whose help has a heading for each group, in the order of their first options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and isinstance(param, click.Option):
                groups.setdefault(getattr(param, "group", "Help"), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def exponent(low: float, high: float) -> Callable[[str], float]:
    """Return the type of an option that is a number from `low` to `high`, or inf."""

    def p(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if low <= value <= high or value == math.inf:
            return value
        rule = "above 0" if high == math.inf else f"from {low:g} to {high:g}"
        raise click.BadParameter(f"{text!r} is not a number {rule}, or inf")

    return p
