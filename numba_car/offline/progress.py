"""The progress bar of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from numba_car._extras import extras_named
from numba_car.offline.loop import Progress


@contextmanager
def shown(progress: Progress | bool | None) -> Iterator[Progress]:
    """Yield the function to call: that given, that of a bar on stderr, or one that does nothing."""
    if callable(progress):
        yield progress
    elif progress:
        with extras_named("progress=True"):
            from numba_car.offline.bar import bar
        with bar() as update:
            yield update
    else:
        yield lambda *_: None
