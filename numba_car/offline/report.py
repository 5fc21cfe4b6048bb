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


def _spread(state: State, field: str) -> dict[str, float | None]:
    """Return the smallest, mean and largest value of a field over rows where it is not NaN; None without rows.

    The sum is over pieces of fixed size, so that the mean does not depend on the size of a block.
    """
    low, high, total, count = np.inf, -np.inf, 0.0, 0
    for _, records in state.all_records():
        values = records[field][~np.isnan(records[field])]
        low, high = values.min(initial=low), values.max(initial=high)
        total, count = total + float(values.sum()), count + values.size
    if not count:
        return {"min": None, "mean": None, "max": None}
    return {"min": float(low), "mean": total / count, "max": float(high)}


def deviations(norm: Array, eps: Array, saturated: Array) -> Array:
    """Return |norm/eps - 1| of each row; NaN where the row is saturated or NaN, or eps is 0."""
    counts = ~(saturated | np.isnan(norm)) & (eps > 0)
    found = np.full(norm.shape, np.nan)
    np.divide(norm, eps, out=found, where=counts)
    deviation: Array = np.abs(found - 1)
    return deviation


def _largest_deviation(state: State) -> dict[str, Any]:
    """Return the largest |norm/eps - 1|, and the number of its row; None without rows to compare."""
    largest, row = -np.inf, -1
    for start, records in state.all_records():
        found = deviations(records["norm"], records["eps"], records["saturated"])
        if np.nanmax(found, initial=-np.inf) > largest:
            largest, row = float(np.nanmax(found)), start + int(np.nanargmax(found))
    return {"max": largest, "row": row} if row >= 0 else {"max": None, "row": None}


def summary(state: State, settings: Settings, run: dict[str, Any]) -> dict[str, Any]:
    """Return the report: statistics of the records, and `run`, which tells how long the run took."""
    each = state.all_records
    found = {
        "out": state.output.place.name,
        "rows": state.count,
        "saturated": _indices(start + np.flatnonzero(r["saturated"]) for start, r in each()),
        "nan": _indices(start + np.flatnonzero(np.isnan(r["norm"])) for start, r in each()),
        "eps": _spread(state, "eps"),
        "norm": _spread(state, "norm"),
        "deviation": _largest_deviation(state),
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
