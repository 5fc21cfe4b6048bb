"""A progress bar of rich, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as bars
from rich.console import Console
from rich.text import Text

from numba_car.offline.loop import Progress


class _Rate(bars.ProgressColumn):
    def render(self, task: bars.Task) -> Text:
        """Return the rows and bytes written per second."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("- rows/s")
        return Text(f"{speed:,.0f} rows/s, {speed * task.fields['row'] / 1e9:.2f} GB/s")


@contextmanager
def bar(console: Console | None = None) -> Iterator[Progress]:
    """Yield the function that updates the bar; it does nothing unless the console is one of a person.

    The console is by default that of stderr.
    """
    console = console or Console(stderr=True)
    if not (
        console.is_terminal or console.is_jupyter
    ):  # Progress(disable=True) of rich < 14.3 ends with an empty line
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
