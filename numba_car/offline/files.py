"""Files of the operating system: written as a whole, renamed and locked, on POSIX and on Windows."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

_TRIES, _PAUSE = 20, 0.05  # of a rename that Windows refuses while a scanner has the file open
_BYTE = (
    2**30
)  # the byte of a file that is locked on Windows: it cannot be read, and nothing is there


def _module(name: str) -> Any:
    """Return a module that only some operating systems have, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_IS_WINDOWS = os.name == "nt"
_fcntl, _msvcrt = _module("fcntl"), _module("msvcrt")


def lock(descriptor: int) -> bool:
    """Lock an open file for this process until it is closed; return False if another process has it locked."""
    try:
        if _fcntl is not None:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        elif _msvcrt is not None:
            os.lseek(descriptor, _BYTE, os.SEEK_SET)
            _msvcrt.locking(descriptor, _msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
    except (BlockingIOError, PermissionError):
        return False
    return True


def rename(before: Path, after: Path) -> None:
    """Give a file or a folder another name, in place of a file that has it.

    Windows refuses this while any process has one of the two open.
    """
    for left in reversed(range(_TRIES)):
        try:
            os.replace(before, after)  # noqa: PTH105 - a name to patch in tests
        except PermissionError as error:
            if not _IS_WINDOWS:
                raise
            if not left:
                what = "is open in another program; close it there, resume=True goes on from here"
                raise PermissionError(error.errno, what, str(after)) from error
            time.sleep(_PAUSE)
        else:
            return


def sync_folder(path: Path) -> None:
    """Wait until the entries of a folder are on the disk."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace_file(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Call `write` with an open file, which gets its name when all its bytes are on the disk."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        partial.unlink(missing_ok=True)
        error.filename = error.filename or str(path)  # writing to an open file names none
        raise
    rename(partial, path)
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a value as a JSON file."""
    replace_file(path, lambda file: file.write((json.dumps(value, indent=1) + "\n").encode()))
