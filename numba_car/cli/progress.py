"""What `numba-car rescale` prints: a progress bar, and then a table of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich import progress as bars
from rich.console import Console
from rich.table import Table
from rich.text import Text


class _Rate(bars.ProgressColumn):
    def render(self, task: bars.Task) -> Text:
        """Return the rows and bytes written per second."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("- rows/s")
        return Text(f"{speed:,.0f} rows/s, {speed * task.fields['row'] / 1e9:.2f} GB/s")


@contextmanager
def bar(console: Console) -> Iterator[Callable[[int, int, int], None]]:
    """Yield the function that updates the bar; it does nothing unless the console is a terminal."""
    if not console.is_terminal:  # Progress(disable=True) of rich < 14.3 ends with an empty line
        yield lambda *_: None
        return
    columns = (bars.BarColumn(20), bars.MofNCompleteColumn(), _Rate(), bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=console, transient=True) as shown:
        task: bars.TaskID | None = None

        def progress(done: int, total: int, row: int) -> None:
            nonlocal task
            if task is None:  # rows of an earlier run do not count in the speed of this one
                task = shown.add_task("", completed=done, total=total, row=row)
            shown.update(task, completed=done)

        yield progress


def table(report: dict[str, Any]) -> Table:
    """Return a table of a report, without the indices of rows."""
    rows = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    norm = report["norm"]
    spread = ", ".join(f"{name} {value:.7g}" for name, value in norm.items() if value is not None)
    resumed = f" ({report['rows_resumed']:,} from before)" if report["rows_resumed"] else ""
    if report["rows_resumed"] == report["rows"]:
        resumed = " (complete already)"
    rows.add_row("rows", f"{report['rows']:,}{resumed}")
    rows.add_row("achieved norm", f"{spread or '-'} (of the {report['norm_is_of']})")
    rows.add_row("saturated", f"{report['saturated']['count']:,}")
    rows.add_row("NaN", f"{report['nan']['count']:,}")
    rows.add_row("time", f"{report['seconds']:.1f} s, {report['rows_per_second']:,.0f} rows/s")
    rows.add_row("output", report["out"])
    return rows
