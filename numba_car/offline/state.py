"""What lies beside an output while it is not complete: a folder that a stopped run goes on from.

`OUT.partial/` holds the results so far, a record of every row, and the manifest, which is made last.
The results leave it for their final name when they are complete and on the disk.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np

from numba_car._layout import Array
from numba_car.offline.errors import OfflineError
from numba_car.offline.job import RECORD, Work
from numba_car.offline.manifest import Manifest, Rows, differences, plain
from numba_car.offline.npy import FlatSink, bytes_of
from numba_car.offline.outputs import Output

_MANIFEST, _RECORDS = "manifest.jsonl", "rows.bin"
_CHUNK = 1 << 20  # records that are summed up in one go, whatever the blocks are


class Sink(Protocol):
    """Somewhere to write rows to, and to read them back from."""

    def write(self, start: int, block: Array) -> None:
        """Store rows from start on."""

    def read(self, start: int, stop: int) -> Array:
        """Rows start to stop as they are stored; an exception where they are not whole."""

    def discard(self, start: int) -> None:
        """Forget what may be left of a block."""

    def sync(self) -> None:
        """Have all of it on the disk."""

    def close(self) -> None:
        """Let go of it."""


def checksum(block: Array, records: Array) -> int:
    """CRC-32 of results and records."""
    return zlib.crc32(bytes_of(records).data, zlib.crc32(bytes_of(block).data))


class State:
    """The open state of a run."""

    def __init__(self, output: Output, work: Work, size: int, *, resumes: bool) -> None:
        self.size, self.resumes = size, resumes  # rows of a block, from here on
        self.output, self.folder = output, output.folder
        self.count = work.count
        with ExitStack() as opened:
            self.manifest = Manifest(self.folder / _MANIFEST)
            opened.callback(self.manifest.close)
            self.records = FlatSink(self.folder / _RECORDS, 0, (work.count,), RECORD)
            opened.callback(self.records.close)
            self.sink: Sink = output.open()
            opened.pop_all()

    @staticmethod
    def exists(output: Output) -> bool:
        """Whether there is something to go on from."""
        return (output.folder / _MANIFEST).exists()

    @staticmethod
    def create(output: Output, work: Work) -> None:
        """Make the folder, with nothing done yet."""
        if State.exists(output):
            Manifest(output.folder / _MANIFEST).close()  # raises while a run is at work
        shutil.rmtree(output.folder, ignore_errors=True)
        output.folder.mkdir()
        with (output.folder / _RECORDS).open("wb") as file:
            file.truncate(work.count * RECORD.itemsize)
        output.create(work)
        header = {"format": 1, **described(work)}
        Manifest.create(output.folder / _MANIFEST, header)

    def check(self, work: Work) -> None:
        """Raise unless the job and its inputs are those that the run began with."""
        before, now = self.manifest.header, described(work)
        if not all(isinstance(before.get(name), dict) for name in now):
            raise OfflineError(
                f"{self.folder}: the first line of its manifest is damaged; start again with force"
            )
        changed = differences(before["settings"], now["settings"])
        for name in {**before["inputs"], **now["inputs"]}:
            source = work.sources.get(name)
            label = f"{name} ({source.place.name})" if source else name
            changed += differences(before["inputs"].get(name), now["inputs"].get(name), label)
        if changed:
            raise OfflineError(
                f"{self.folder}: the run began with something else: {'; '.join(changed)}. "
                "Resume it with what it began with, or start again with force"
            )

    def pending(self) -> list[Rows]:
        """Blocks of what is not done, or no longer what the manifest says.

        What is done may have been cut into other blocks, under another bound of memory.
        """
        blocks: list[Rows] = []
        done_to = 0
        for start, stop in [*sorted(filter(self._is_whole, self.manifest.done)), (self.count,) * 2]:
            cuts = range(done_to, start, self.size)
            blocks += [(cut, min(cut + self.size, start)) for cut in cuts]
            done_to = max(done_to, stop)
        if self.resumes:
            for start, _ in blocks:
                self.sink.discard(start)
        return blocks

    def _is_whole(self, rows: Rows) -> bool:
        try:
            found = checksum(self.sink.read(*rows), self.records.read(*rows))
            return found == self.manifest.done[rows]
        except Exception:  # noqa: BLE001 - what a power cut leaves, decoders refuse in many ways
            return False

    def store(self, rows: Rows, block: Array, records: Array) -> None:
        """Write rows, then say so."""
        self.sink.write(rows[0], block)
        self.note(rows, records, checksum(block, records))

    def note(self, rows: Rows, records: Array, crc: int) -> None:
        """Say that rows are written."""
        self.records.write(rows[0], records)
        self.manifest.append(rows, crc)

    def all_records(self) -> Iterator[tuple[int, Array]]:
        """Go through the records in order; each piece comes with the row that it starts at."""
        for start in range(0, self.count, _CHUNK):
            yield start, self.records.read(start, min(start + _CHUNK, self.count))

    def every(self, field: str) -> Array:
        """One field of every record."""
        pieces = [records[field] for _, records in self.all_records()]
        return np.concatenate([*pieces, np.empty(0)])

    def publish(self) -> None:
        """Give the output its final name."""
        self.sink.sync()
        self.sink.close()
        self.output.publish()

    def close(self) -> None:
        """Let go of all files."""
        self.sink.close()
        self.records.close()
        self.manifest.close()

    def remove(self) -> None:
        """Delete the folder, the manifest first: without it there is nothing to go on from."""
        self.close()
        (self.folder / _MANIFEST).unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


def described(work: Work) -> dict[str, Any]:
    """Return the settings and the inputs, as JSON has them."""
    found: dict[str, Any] = plain({"settings": work.job.settings(), "inputs": work.identities()})
    return found


def prepared(output: Output, work: Work, size: int, resume: bool, force: bool) -> State:
    """Open the state of a run that is to go on, or make one."""
    if resume and State.exists(output):
        state = State(output, work, size, resumes=True)
        try:
            state.check(work)
        except OfflineError:
            state.close()
            raise
        return state
    if output.exists() and not force:
        raise FileExistsError(17, "exists already; force replaces it", output.place.name)
    if State.exists(output) and not force:
        what = "is of a run that was stopped; resume it, or force a new one"
        raise FileExistsError(17, what, str(output.folder))
    State.create(output, work)
    return State(output, work, size, resumes=False)
