"""The state of an incomplete run, in a folder from which a stopped run resumes.

`OUT.partial/` holds the results so far, a record of every row, and the journal, which is created last.
The results are renamed to the output once they are complete and on the disk.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from numba_car._layout import Array
from numba_car.offline.blocks import RECORD, BlockSolver
from numba_car.offline.errors import OfflineError
from numba_car.offline.journal import Journal, RowRange, as_json, differences
from numba_car.offline.sinks import FlatSink, Output, bytes_of
from numba_car.offline.sources import identity

_JOURNAL, _RECORDS = "manifest.jsonl", "rows.bin"
_CHUNK = 1 << 20  # records that are read together, whatever the size of a block


def checksum(block: Array, records: Array) -> int:
    """Return the CRC-32 of the results of a block and of their records."""
    return zlib.crc32(bytes_of(records).data, zlib.crc32(bytes_of(block).data))


class State:
    """The open files of an incomplete run: `open_state` makes it, `run` and `cluster` store blocks in it."""

    def __init__(self, output: Output, solver: BlockSolver, *, resumes: bool) -> None:
        self.output, self.folder = output, output.folder
        self.count, self.resumes = solver.count, resumes
        with ExitStack() as opened:
            self.journal = Journal(self.folder / _JOURNAL)
            opened.callback(self.journal.close)
            if resumes:
                self._check(solver)
            self.records = FlatSink(self.folder / _RECORDS, 0, (self.count,), RECORD)
            opened.callback(self.records.close)
            self.sink = output.open()
            opened.pop_all()

    @staticmethod
    def exists(output: Output) -> bool:
        """Return whether there is an incomplete run to resume."""
        return (output.folder / _JOURNAL).exists()

    @staticmethod
    def create(output: Output, solver: BlockSolver) -> None:
        """Create the folder with no row finished, in place of an older one; called by `open_state`."""
        if State.exists(output):
            Journal(output.folder / _JOURNAL).close()  # raises while another process is at work
        shutil.rmtree(output.folder, ignore_errors=True)
        output.folder.mkdir()
        header = header_of(solver, output)
        try:
            with (output.folder / _RECORDS).open("wb") as file:
                file.truncate(solver.count * RECORD.itemsize)
            output.create(solver.x.shape, solver.out_dtype, header)
            facts = {"format": 2, "dataset": output.place.dataset, "etas": solver.settings.with_eta}
            Journal.create(output.folder / _JOURNAL, facts | header)
        except BaseException:
            shutil.rmtree(output.folder, ignore_errors=True)
            raise

    def _check(self, solver: BlockSolver) -> None:
        """Raise OfflineError unless settings and input files are those that the run to resume began with."""
        if not is_header(self.journal.header):
            raise OfflineError(
                f"{self.folder}: the first line of its manifest is damaged; force=True starts again"
            )
        header = self.journal.header
        changed = changes(header, solver, self.output)
        changed += differences(header.get("dataset"), self.output.place.dataset, "dataset of out")
        if solver.settings.with_eta and not header.get("etas"):
            changed.append("it keeps no etas, which eta_out= and plot= need on a GPU")
        if changed:
            raise OfflineError(
                f"{self.folder}: the run began with something else: {'; '.join(changed)}. "
                "Resume it with what it began with, or force=True starts again"
            )

    def pending(self, size: int) -> list[RowRange]:
        """Return blocks of at most `size` rows that cover all rows not finished, or damaged; called once, first.

        The finished blocks may be of other sizes, if the run had another limit of memory before.
        """
        blocks: list[RowRange] = []
        done_to = 0
        for start, stop in [*sorted(filter(self._is_whole, self.journal.done)), (self.count,) * 2]:
            cuts = range(done_to, start, size)
            blocks += [(cut, min(cut + size, start)) for cut in cuts]
            done_to = max(done_to, stop)
        if self.resumes:
            for start, _ in blocks:
                self.sink.discard(start)
        return blocks

    def _is_whole(self, rows: RowRange) -> bool:
        """Return whether the results and records of finished rows have the checksum in the journal."""
        try:
            found = checksum(self.sink.read(*rows), self.records.read(*rows))
            return found == self.journal.done[rows]
        except Exception:  # noqa: BLE001 - decoders refuse damaged data with many classes
            return False

    def store(self, rows: RowRange, block: Array, records: Array) -> None:
        """Write the results and records of a block just solved, and enter its rows in the journal as finished."""
        self.sink.write(rows[0], block)
        self.note(rows, records, checksum(block, records))

    def note(self, rows: RowRange, records: Array, crc: int) -> None:
        """Write the records of rows and enter the rows in the journal, once `store` or a worker has written results."""
        self.records.write(rows[0], records)
        self.journal.append(rows, crc)

    def all_records(self) -> Iterator[tuple[int, Array]]:
        """Yield the records of all rows in pieces, each with the index of its first row: for the report."""
        for start in range(0, self.count, _CHUNK):
            yield start, self.records.read(start, min(start + _CHUNK, self.count))

    def every(self, field: str) -> Array:
        """Return one field of the records of all rows, once all are finished: for `eta_out` and plots."""
        pieces = [records[field] for _, records in self.all_records()]
        return np.concatenate([*pieces, np.empty(0)])

    def publish(self) -> None:
        """Flush the results to the disk and rename them to the output, once all rows are finished."""
        self.sink.sync()
        self.sink.close()
        self.output.publish()

    def close(self) -> None:
        """Close all files."""
        self.sink.close()
        self.records.close()
        self.journal.close()

    def remove(self) -> None:
        """Delete the folder, the journal first: a folder without a journal is never resumed."""
        self.close()
        self.output.remove_partial()
        (self.folder / _JOURNAL).unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


def header_of(solver: BlockSolver, output: Output) -> dict[str, Any]:
    """Return the settings and input files of a run, which decide about the bytes that it writes, and their names.

    The size of a file that holds the output as well is none of an input's.
    """
    inputs = {
        name: identity(source, with_file=not output.is_in(source.place.path))
        for name, source in solver.sources.items()
    }
    names = {name: source.place.name for name, source in solver.sources.items()}
    header = {"settings": solver.settings.compared(), "inputs": inputs, "names": names}
    found: dict[str, Any] = as_json(header)
    return found


def is_header(value: Any, *more: str) -> bool:
    """Return whether a JSON value is an object with the parts of `header_of` and those in `more`, all objects."""
    parts = ("settings", "inputs", *more)
    return isinstance(value, dict) and all(isinstance(value.get(name), dict) for name in parts)


def changes(before: dict[str, Any], solver: BlockSolver, output: Output) -> list[str]:
    """Return a text, with both values, for each setting and input in which a solver differs from a header."""
    now = header_of(solver, output)
    found = differences(before["settings"], now["settings"])
    for name in {**before["inputs"], **now["inputs"]}:
        source = solver.sources.get(name)
        label = f"{name} ({source.place.name})" if source else name
        found += differences(before["inputs"].get(name), now["inputs"].get(name), label)
    return found


def open_state(output: Output, solver: BlockSolver, resume: bool, force: bool) -> State:
    """Return the state of the stopped run if `resume`, or else of a new run, which replaces files only with `force`."""
    if resume and State.exists(output):
        return State(output, solver, resumes=True)
    output.check()
    if output.exists() and not force:
        raise FileExistsError(17, "exists already; force=True replaces it", output.place.name)
    if State.exists(output) and not force:
        what = "is of a run that was stopped; resume=True goes on, force=True starts again"
        raise FileExistsError(17, what, str(output.folder))
    State.create(output, solver)
    return State(output, solver, resumes=False)
