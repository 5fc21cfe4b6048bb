"""The p of a p-norm, as the type of a command's option."""

import math
from collections.abc import Callable

import click


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
