"""The record of a finished run, in `OUT.run.json`: `resume` finds by it that nothing is left to do.

It holds the settings and input files, the identities of the files that were written, and the report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numba_car.offline.blocks import BlockSolver
from numba_car.offline.errors import OfflineError
from numba_car.offline.files import write_json
from numba_car.offline.formats import open_source
from numba_car.offline.journal import differences, parsed
from numba_car.offline.side_files import SideFiles
from numba_car.offline.sinks import Output
from numba_car.offline.sources import file_identity, identity
from numba_car.offline.state import changes, is_header

_FORMAT = 2


def record_path(output: Output) -> Path:
    """Return where the record is: next to the output, with the name of a dataset that is one of several."""
    dataset = output.place.dataset.strip("/").replace("/", ".")
    return output.folder.with_suffix(f".{dataset}.run.json" if dataset else ".run.json")


def _identity_of(output: Output) -> dict[str, Any]:
    """Return what tells the output from a changed one; a file of HDF5 may get other datasets."""
    return identity(open_source(output.place.name), with_file=output.place.kind == "npy")


def write_record(
    output: Output, header: dict[str, Any], report: dict[str, Any], side_files: SideFiles
) -> None:
    """Write the record of a run whose files are complete."""
    facts = {name: header[name] for name in ("settings", "inputs", "names")}
    written = {name: [file_identity(path)] for name, path in side_files.given().items()}
    files = {"out": _identity_of(output), "side_files": written}
    write_json(record_path(output), {"format": _FORMAT, **facts, "files": files, "report": report})


def add_side_files(output: Output, record: dict[str, Any], side_files: SideFiles) -> None:
    """Enter more files, written for a finished run, in its record."""
    written = record["files"]["side_files"]
    for name, path in side_files.given().items():
        written[name] = [*written.get(name, []), file_identity(path)]
    write_json(record_path(output), record)


def finished_record(
    output: Output, solver: BlockSolver, side_files: SideFiles
) -> dict[str, Any] | None:
    """Return the record of the run that wrote the output, or None where there is none.

    Raise OfflineError, with both values of what differs, unless settings, input files, the output and
    those side files that exist are those of that run.
    """
    path = record_path(output)
    record: Any = parsed(path.read_text("ascii", "replace")) if path.exists() else None
    if not output.exists() or not is_header(record, "files", "report"):
        return None
    files = record["files"]
    if record.get("format") != _FORMAT or not isinstance(files.get("side_files"), dict):
        return None
    changed = changes(record, solver, output)
    changed += differences(files.get("out"), _identity_of(output), "out")
    if changed:
        raise OfflineError(
            f"{output.place.name}: complete, but written with something else: "
            f"{'; '.join(changed)}. Ask for the same, or force=True replaces it"
        )
    for name, file in side_files.given().items():
        if file.exists() and file_identity(file) not in files["side_files"].get(name, []):
            raise OfflineError(f"{file}: is not what this run wrote; give {name}= another name")
    found: dict[str, Any] = record
    return found
