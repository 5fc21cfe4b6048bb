"""Errors as one line each, with the status that goes with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

_EXTRAS = {"zarr": "zarr", "fsspec": "zarr", "h5py": "hdf5", "dask": "dask", "distributed": "dask"}


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


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'writing'}: {error.strerror}"
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0], "cli")
        return f"this needs {error.name}; install it with: pip install 'numba_car[{extra}]'"
    return " ".join(str(error).split())
