"""The number of rows of a block, from the memory that the process may take."""

import os
import re
import sys
from pathlib import Path

from numba_car.offline.blocks import BlockSolver

_BLOCK = 16 * 2**20  # bytes of results: larger blocks leave the caches and make an interrupt wait
# Kernels that are loaded from the cache take up to 75 MiB, kernels that are compiled up to 130 MiB.
_MARGIN = 136 * 2**20
_MOST_TAKEN = 248 * 2**20  # what a process holds beyond that is the caller's, not the run's


def size_of(memory: str | int) -> int:
    """Return a number of bytes, given as such or as text: 2GiB, 500 MB."""
    if isinstance(memory, int) and not isinstance(memory, bool):
        return memory
    found = re.fullmatch(r"([\d.]+)\s*(?:([kmgt]?)(i?)b)?", str(memory).strip().lower())
    try:
        if found and (found[2] or not found[3]):
            power = " kmgt".index(found[2] or " ")
            return int(float(found[1]) * (1024 if found[3] else 1000) ** power)
    except ValueError:  # two decimal points
        pass
    raise ValueError(f"memory must be a size such as 2GiB or 500MB, found {memory!r}")


def resident() -> int:
    """Return the bytes of the process in physical memory: now, or at most so far outside Linux.

    On Windows, which has neither source, it is the most that counts.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        try:
            import resource
        except ImportError:
            return _MOST_TAKEN
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


def rows_per_block(solver: BlockSolver, memory: str | int, grain: int = 1) -> int:
    """Return the largest number of rows that keeps the process within its memory.

    With a grain above 1, that number is the grain. Where the memory does not suffice, the ValueError
    says what would.
    """
    row, taken = solver.memory_per_row, min(resident(), _MOST_TAKEN) + _MARGIN + solver.held
    free = size_of(memory) - taken
    rows = grain if grain > 1 else min(free // row, max(1, _BLOCK // solver.row_bytes))
    if free < rows * row or rows < 1:
        needed = taken + max(1, rows) * row
        raise ValueError(
            f"memory must be at least {-(-needed // 2**20)} MiB for rows of shape "
            f"{solver.x.shape[1:]}, since the process takes {resident() // 2**20} MiB by now, "
            f"found {memory}"
        )
    return rows
