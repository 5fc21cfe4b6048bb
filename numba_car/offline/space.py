"""Free space on the disk: compared with what a run will write, and named when it is used up."""

from __future__ import annotations

import errno
import shutil
import warnings

from numba_car.offline.blocks import RECORD, BlockSolver
from numba_car.offline.sinks import Output

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def check_space(output: Output, solver: BlockSolver, rows: int) -> None:
    """Raise OSError if the disk cannot hold rows of the output; warn where the format compresses them."""
    if output.is_url:
        return
    needed = rows * (solver.row_bytes + RECORD.itemsize) + output.bytes_to_publish(
        solver.count * solver.row_bytes
    )
    free = shutil.disk_usage(output.folder).free
    if needed <= free:
        return
    what = f"takes {_size(needed)}, and {_size(free)} are free on the disk"
    if not output.is_compressed:
        raise OSError(errno.ENOSPC, f"the output {what}", output.place.name)
    warnings.warn(
        f"{output.place.name}: without compression the output {what}", RuntimeWarning, stacklevel=4
    )


def _size(count: int) -> str:
    """Return a number of bytes as text."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB")):
        if count >= 1000**power:
            return f"{count / 1000**power:.1f} {unit}"
    return f"{count / 1000:.1f} kB"


def describe_full_disk(error: OSError, name: str, *, resumable: bool) -> None:
    """Let an error name a file, and where the disk is full, that the run can be resumed."""
    if error.errno is None:
        return
    error.filename = error.filename or name  # writing to an open file names none
    if error.errno in _FULL and resumable:
        error.strerror = f"{error.strerror}; resume=True goes on from here"
