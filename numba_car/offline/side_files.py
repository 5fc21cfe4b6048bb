"""The files that a run writes besides its output and its report: eta of each row, and the plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from numba_car._extras import extras_named
from numba_car._layout import Array
from numba_car.offline.blocks import RECORD, BlockSolver
from numba_car.offline.files import replace_file
from numba_car.offline.places import File


@dataclass(frozen=True)
class SideFiles:
    """The names of the files, None for those that are not asked for."""

    eta_out: File | None
    plot: File | None

    def __post_init__(self) -> None:
        """Raise ModuleNotFoundError before a run, and not after it, where the plot cannot be drawn."""
        if self.plot is not None:
            with extras_named("plot="):
                import matplotlib.figure  # noqa: F401

    def given(self) -> dict[str, Path]:
        """Return those asked for, by the name of their argument."""
        return {name: Path(file) for name, file in vars(self).items() if file is not None}

    def missing(self) -> SideFiles:
        """Return those that do not exist."""
        return SideFiles(
            **{
                name: None if file is None or Path(file).exists() else file
                for name, file in vars(self).items()
            }
        )

    def write(self, every: Callable[[str], Array], solver: BlockSolver) -> None:
        """Write the files from a function that returns a field of the records of all rows."""
        if self.eta_out is not None:
            with np.errstate(over="ignore"):
                eta = every("eta").astype(solver.compute_dtype)
            replace_file(Path(self.eta_out), lambda file: np.save(file, eta))
        if self.plot is not None:
            from numba_car.offline.plot import draw

            draw(Path(self.plot), every, solver.settings)


def records_of(solver: BlockSolver, size: int) -> Array:
    """Return the records of all rows, computed again in blocks of `size` rows; no result is written."""
    records = np.empty(solver.count, RECORD)
    for start in range(0, solver.count, size):
        stop = min(start + size, solver.count)
        records[start:stop] = solver.compute(start, stop)[1]
    return records
