"""The record of a finished run, in `OUT.run.json`: `resume` finds by it that nothing is left to do.

It holds the settings and input files, the identities of the files that were written, and the report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numba_car.offline.blocks import BlockSolver
from numba_car.offline.errors import OfflineError
from numba_car.offline.formats import open_source
from numba_car.offline.journal import differences, parsed, write_json
from numba_car.offline.settings import File
from numba_car.offline.sinks import Output
from numba_car.offline.sources import file_identity, identity
from numba_car.offline.state import changes, is_header


def record_path(output: Output) -> Path:
    """Return where the record is: next to the folder in which the state was."""
    return output.folder.with_suffix(".run.json")


def _identities(output: Output, side_files: dict[str, File | None]) -> dict[str, Any]:
    """Return what tells each written file from a changed one; None where a file does not exist."""
    found: dict[str, Any] = {f"out ({output.place.name})": identity(open_source(output.place.name))}
    for name, file in side_files.items():
        if file is not None:
            found[name] = file_identity(file) if Path(file).exists() else None
    return found


def write_record(
    output: Output, header: dict[str, Any], report: dict[str, Any], side_files: dict[str, Any]
) -> None:
    """Write the record of a run whose files are complete."""
    files = _identities(output, side_files)
    record = {"format": 1, **header, "files": files, "report": report}
    write_json(record_path(output), record)


def finished_report(
    output: Output, solver: BlockSolver, side_files: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the report of the run that wrote the output, or None where there is no record of one.

    Raise OfflineError, with both values of what differs, unless settings, input files and written files
    are those of that run.
    """
    path = record_path(output)
    record: Any = parsed(path.read_text("ascii", "replace")) if path.exists() else None
    if not output.exists() or not is_header(record, "files", "report"):
        return None
    files = _identities(output, side_files)
    written = {name: record["files"].get(name) for name in files}
    if changed := changes(record, solver) + differences(written, files):
        raise OfflineError(
            f"{output.place.name}: complete, but written with something else: {'; '.join(changed)}. "
            "Ask for the same, or replace it with force"
        )
    report: dict[str, Any] = record["report"]
    return report
