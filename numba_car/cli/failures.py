"""Errors as one line on stderr, with exit status 1 or 2."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

_EXTRAS = {"zarr": "zarr", "fsspec": "zarr", "h5py": "hdf5", "dask": "dask", "distributed": "dask"}
_EXTRAS |= {"matplotlib": "demo", "skimage": "demo"}


class _UsageError(click.ClickException):
    exit_code = 2


@contextmanager
def one_line_errors(traceback: bool) -> Iterator[None]:
    """Turn exceptions into one line: status 2 for wrong arguments, 1 for all else."""
    from numba_car.offline import OfflineError

    try:
        yield
    except KeyboardInterrupt:
        raise click.ClickException(
            "stopped; the same command with --resume goes on from here"
        ) from None
    except (ValueError, TypeError, OSError, OfflineError, ModuleNotFoundError) as error:
        if traceback:
            raise
        usage = isinstance(error, (ValueError, TypeError))
        raise (_UsageError if usage else click.ClickException)(_line(error)) from error


@contextmanager
def kept_interrupts() -> Iterator[Callable[[], None]]:
    """Yield a function that raises KeyboardInterrupt once Ctrl-C was pressed.

    Python drops the first KeyboardInterrupt if it is raised in a callback of C code, or in an import whose
    failure is ignored. The run would then go on.
    """
    seen = False

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal seen
        seen = True
        raise KeyboardInterrupt

    def check() -> None:
        if seen:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _line(error: Exception) -> str:
    """Return the message of an error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'writing'}: {error.strerror}"
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0], "cli")
        return f"this needs {error.name}; install it with: pip install 'numba_car[{extra}]'"
    return " ".join(str(error).split())
