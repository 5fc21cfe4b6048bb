"""The report of a run, in values that JSON has."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

import numba_car as car
from numba_car._layout import Array
from numba_car.offline.journal import as_json
from numba_car.offline.settings import Settings
from numba_car.offline.state import State


def _indices(pieces: Iterator[Array]) -> dict[str, Any]:
    """Return how many rows there are in all pieces, and their indices."""
    found = np.concatenate([*pieces, np.empty(0, np.int64)])
    return {"count": len(found), "indices": found.tolist()}


def _achieved(state: State) -> dict[str, float | None]:
    """Return the smallest, mean and largest norm of the rows that are not NaN; None without rows.

    The sum is over pieces of fixed size, so that the mean does not depend on the size of a block.
    """
    low, high, total, count = np.inf, -np.inf, 0.0, 0
    for _, records in state.all_records():
        norms = records["norm"][~np.isnan(records["norm"])]
        low, high = norms.min(initial=low), norms.max(initial=high)
        total, count = total + float(norms.sum()), count + norms.size
    if not count:
        return {"min": None, "mean": None, "max": None}
    return {"min": float(low), "mean": total / count, "max": float(high)}


def summary(state: State, settings: Settings, run: dict[str, Any]) -> dict[str, Any]:
    """Return the report: statistics of the records, and `run`, which tells how long the run took."""
    each = state.all_records
    found = {
        "out": state.output.place.name,
        "rows": state.count,
        "saturated": _indices(start + np.flatnonzero(r["saturated"]) for start, r in each()),
        "nan": _indices(start + np.flatnonzero(np.isnan(r["norm"])) for start, r in each()),
        "norm": _achieved(state),
        "norm_is_of": "integers, after rounding" if settings.round else "floats",
        **run,
        "versions": {
            "numba_car": car.__version__,
            "numpy": np.__version__,
            "numba": numba.__version__,
            "python": platform.python_version(),
        },
        "parameters": settings.as_json(),
        "inputs": state.journal.header["inputs"],
    }
    result: dict[str, Any] = as_json(found)
    return result
