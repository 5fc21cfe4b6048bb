"""Options of a command: in groups, each with a heading of its own in `--help`, and the type of p."""

import math
from collections.abc import Callable
from typing import Any

import click


class _GroupedOption(click.Option):
    group = ""


def in_group(group: str, *names: str, **settings: Any) -> Callable[[Any], Any]:
    """Add an option under a heading, which shows its default, unless it has to be given."""
    shown = "off" if settings.get("is_flag") else "default" in settings or "none"
    settings.setdefault("show_default", not settings.get("required") and shown)

    def decorate(function: Any) -> Any:
        function = click.option(*names, cls=_GroupedOption, **settings)(function)
        function.__click_params__[-1].group = group
        return function

    return decorate


class GroupedCommand(click.Command):
    """A command whose help has a heading for each group, in the order of their first options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and isinstance(param, click.Option):
                groups.setdefault(getattr(param, "group", "Help"), []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def exponent(low: float, high: float) -> Callable[[str], float]:
    """Accept a number from `low` to `high`, or inf."""

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
