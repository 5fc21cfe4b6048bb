"""The table of a report that `numba-car rescale` prints."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

_SHOWN = 5  # numbers of rows


def _spread(values: dict[str, float | None]) -> str:
    """Return the smallest, mean and largest value as text, or one value where they are the same."""
    if values["mean"] is None:
        return "-"
    if values["min"] == values["max"]:
        return f"{values['min']:.7g}"
    return ", ".join(f"{name} {value:.7g}" for name, value in values.items())


def _rows(found: dict[str, Any], meaning: str) -> str:
    """Return how many rows there are, what that means, and the numbers of the first."""
    count, first = found["count"], ", ".join(f"{row}" for row in found["indices"][:_SHOWN])
    if not count:
        return "0"
    more = ", ..." if count > _SHOWN else ""
    return f"{count:,} {meaning}: row{'s' if count > 1 else ''} {first}{more}"


def table(report: dict[str, Any]) -> Table:
    """Return the table of a report."""
    rows = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    resumed = f" ({report['rows_resumed']:,} from before)" if report["rows_resumed"] else ""
    if report["rows_resumed"] == report["rows"]:
        resumed = " (complete already)"
    after = "" if report["norm_is_of"] == "floats" else " (after rounding)"
    largest, row = report["deviation"]["max"], report["deviation"]["row"]
    off = "-" if largest is None else f"at most {largest:.2g} (row {row})"
    rows.add_row("rows", f"{report['rows']:,}{resumed}")
    rows.add_row("eps", _spread(report["eps"]))
    rows.add_row("achieved norm", _spread(report["norm"]) + after)
    rows.add_row("|norm/eps - 1|", off)
    rows.add_row("saturated", _rows(report["saturated"], "cannot reach eps"))
    rows.add_row("NaN", _rows(report["nan"], "have no result"))
    rows.add_row("time", f"{report['seconds']:.1f} s, {report['rows_per_second']:,.0f} rows/s")
    rows.add_row("output", report["out"])
    return rows
