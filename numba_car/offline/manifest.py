"""The list of finished blocks, on disk: it is what a stopped run goes on from.

JSON lines. The first says what the run is; each other one names rows that are done and the CRC-32 of
their bytes and records. A line is written once its rows are, without waiting for the disk: whatever a
power cut took of the rows is found by the checksum, when the run goes on, and done again. CRC-32
because the harm to find is accidental, at 2.4 GB/s (BLAKE2b took three times as long as that).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from numba_car.offline.errors import OfflineError

Rows = tuple[int, int]
_SECONDS = 1.0  # between two writes that wait for the disk

try:
    import fcntl
except ImportError:  # not a POSIX system: two runs at once are then not kept apart
    fcntl = None  # type: ignore[assignment]


def plain(value: Any) -> Any:
    """Turn tuples and arrays into lists, keys into text, and what JSON has no number for as well."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that is whole from the first moment it has its name."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:  # the last line of a run that was cut off
        return None


def _entry(line: str) -> tuple[Rows, int] | None:
    found = _parsed(line)
    if not isinstance(found, dict) or found.keys() != {"start", "stop", "crc32"}:
        return None
    if not all(type(number) is int and number >= 0 for number in found.values()):
        return None
    return (found["start"], found["stop"]), found["crc32"]


class Manifest:
    """An open manifest, locked for this process."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+", encoding="utf-8", newline="\n", errors="replace")
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                raise OfflineError(f"{path}: another process is at work on this") from None
        first, *lines = self._file.read().split("\n")
        header = _parsed(first)
        self.header: dict[str, Any] = header if isinstance(header, dict) else {}
        self.done: dict[Rows, int] = dict(filter(None, map(_entry, lines)))
        if lines[-1:] != [""]:
            self._file.write("\n")
        self._synced = time.monotonic()

    @staticmethod
    def create(path: Path, header: dict[str, Any]) -> None:
        """Write the first line."""
        replace_file(path, (json.dumps(header) + "\n").encode())

    def append(self, rows: Rows, crc: int) -> None:
        """Say that rows are done."""
        self.done[rows] = crc
        line = {"start": rows[0], "stop": rows[1], "crc32": crc}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if time.monotonic() - self._synced > _SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Let go of it."""
        with contextlib.suppress(OSError):  # a line that a full disk refused is not missed
            self._file.close()


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Name every value that is not what it was, with both."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        found = [differences(before.get(k), now.get(k), f"{name}.{k}" if name else k) for k in keys]
        return [line for lines in found for line in lines]
    return [] if before == now else [f"{name} was {json.dumps(before)}, is {json.dumps(now)}"]
