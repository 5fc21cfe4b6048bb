"""How many rows a block may have."""

import re

from numba_car.offline.job import Work

_UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_BLOCK = 16 * 2**20  # bytes of results: larger ones leave the caches, and make an end wait
RESERVED = 384 * 2**20  # what Python, NumPy, numba and its compiler take by themselves


def size_of(memory: str | int) -> int:
    """Bytes, from a number or from text such as 2GiB."""
    if isinstance(memory, int) and not isinstance(memory, bool):
        return memory
    found = re.fullmatch(r"([\d.]+)\s*([a-zA-Z]*)", str(memory).strip())
    units = {unit.lower(): size for unit, size in _UNITS.items()}
    try:
        if found:
            return int(float(found[1]) * units[found[2].lower()])
    except (KeyError, ValueError):
        pass
    raise ValueError(f"memory must be a size such as 2GiB or 500MB, found {memory!r}")


def rows_per_block(work: Work, memory: str | int, grain: int = 1) -> int:
    """As many rows as keep the process within its memory, whole grains of them."""
    row = work.memory_per_row
    free = size_of(memory) - RESERVED - work.held
    rows = grain if grain > 1 else min(free // row, max(1, _BLOCK // work.row_bytes))
    if free < rows * row or rows < 1:
        needed = RESERVED + work.held + max(1, rows) * row
        raise ValueError(
            f"memory must be at least {-(-needed // 2**20)} MiB for rows of shape "
            f"{work.x.shape[1:]}, found {memory}"
        )
    return rows
