"""Errors as one line on stderr that speaks of options, and the status of an interrupt."""

from __future__ import annotations

import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click


class _UsageError(click.ClickException):
    exit_code = 2


class Stopped(click.ClickException):
    """Ctrl-C, with the status that shells give it."""

    exit_code = 128 + signal.SIGINT


@contextmanager
def one_line_errors(traceback: bool) -> Iterator[None]:
    """Turn exceptions into one line: status 2 for wrong arguments, 130 for Ctrl-C, 1 for all else."""
    from numba_car.offline import OfflineError

    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            yield
    except KeyboardInterrupt:
        raise Stopped("stopped; the same command with --resume goes on from here") from None
    except (ValueError, TypeError, OSError, OfflineError, ModuleNotFoundError) as error:
        if traceback:
            raise
        usage = isinstance(error, (ValueError, TypeError))
        line = with_options(_line(error), _options())
        raise (_UsageError if usage else click.ClickException)(line) from error


def _show_warning(message: Warning | str, *_: Any) -> None:
    """Write a warning in one line."""
    click.echo(f"Warning: {message}", err=True)


def _options() -> dict[str, str]:
    """Return what the command that runs calls its parameters, by their names in Python."""
    context = click.get_current_context(silent=True)
    return {
        str(param.name): max(param.opts, key=len)
        if param.param_type_name == "option"
        else param.human_readable_name
        for param in (context.command.params if context else ())
    }


def with_options(message: str, options: dict[str, str]) -> str:
    """Return a message with options of the command line in the place of Python's arguments.

    Arguments stand in messages as `force=True`, `nan="keep"`, `bounds=(0, 255)` and `delta=`, and by their
    name before "must" and "was".
    """
    if not options:
        return message
    names = "|".join(map(re.escape, options))
    uses = rf'(?<![\w.])({names})(?:=True\b|="(\w+)"|=\(([^)]*)\)|=(?!\w)|(?= must\b| was\b))'

    def option(found: re.Match[str]) -> str:
        pair = (found[3] or "").replace(",", "").replace("None", "none")
        return " ".join(filter(None, (options[found[1]], found[2], pair)))

    return re.sub(uses, option, message)


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

    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield check
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _line(error: Exception) -> str:
    """Return the message of an error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'writing'}: {error.strerror}"
    return " ".join(str(error).split())
